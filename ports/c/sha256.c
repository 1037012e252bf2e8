#include "sha256.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t turn(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t fraction(double x) { return (uint32_t)((x - floor(x)) * 0x1p32); }

static void block(uint32_t state[8], const uint32_t k[64], const unsigned char *bytes) {
    uint32_t w[64], s[8];
    for (int t = 0; t < 16; t++)
        w[t] = (uint32_t)bytes[4 * t] << 24 | (uint32_t)bytes[4 * t + 1] << 16 | (uint32_t)bytes[4 * t + 2] << 8 |
               bytes[4 * t + 3];
    for (int t = 16; t < 64; t++)
        w[t] = w[t - 16] + w[t - 7] + (turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3) +
               (turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10);
    memcpy(s, state, sizeof s);
    for (int t = 0; t < 64; t++) { /* each round moves the eight words by one place: here their names move instead */
        uint32_t *a = &s[-t & 7], *b = &s[(1 - t) & 7], *c = &s[(2 - t) & 7], *d = &s[(3 - t) & 7];
        uint32_t e = s[(4 - t) & 7], f = s[(5 - t) & 7], g = s[(6 - t) & 7], *h = &s[(7 - t) & 7];
        uint32_t t1 = *h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[t] + w[t];
        *d += t1;
        *h = t1 + (turn(*a, 2) ^ turn(*a, 13) ^ turn(*a, 22)) + ((*a & *b) ^ (*a & *c) ^ (*b & *c));
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

void sha256(const unsigned char *bytes, size_t size, char hex[65]) {
    uint32_t state[8], k[64];
    int n = 0;
    for (int p = 2; n < 64; p++) { /* the constants are fractional parts of square and cube roots of the first primes */
        int prime = 1;
        for (int q = 2; q * q <= p; q++) prime &= p % q != 0;
        if (!prime) continue;
        if (n < 8) state[n] = fraction(sqrt(p));
        k[n++] = fraction(cbrt(p));
    }
    size_t whole = size / 64 * 64, rest = size - whole, last = rest < 56 ? 64 : 128;
    for (size_t at = 0; at < whole; at += 64) block(state, k, bytes + at);
    unsigned char end[128] = {0}; /* the bytes left over, a bit 1, zeros, and the length in bits */
    memcpy(end, bytes + whole, rest);
    end[rest] = 0x80;
    for (int i = 0; i < 8; i++) end[last - 1 - i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
    for (size_t at = 0; at < last; at += 64) block(state, k, end + at);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", (unsigned)state[i]);
}
