#include "lm_streams.h"

#include <string.h>

#include "lm_shared.h"

static const char *const NAMES[] = {"llama.cpp", "llama2.c", "llm.c", "transformers.js", "jax", "numpy", "nanochat"};

int lm_runtime_named(const char *name) {
    for (int i = 0; i <= LM_NANOCHAT; i++)
        if (strcmp(name, NAMES[i]) == 0) return i;
    return -1;
}

/* ---- generators ---- */

typedef struct {
    uint64_t high, low;
} wide; /* 128 bits, which C99 does not have */

typedef struct {
    lm_rng mt;
    uint64_t xorshift;
    wide state, increment;
} numbers;

static wide add(wide a, wide b) {
    wide sum = {a.high + b.high, a.low + b.low};
    sum.high += sum.low < a.low;
    return sum;
}

static wide times(wide a, wide b) {
    uint64_t a0 = a.low & 0xffffffffu, a1 = a.low >> 32, b0 = b.low & 0xffffffffu, b1 = b.low >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & 0xffffffffu);
    wide product = {a1 * b1 + (middle >> 32) + (other >> 32) + a.high * b.low + a.low * b.high, a.low * b.low};
    return product;
}

static const wide PCG = {0x2360ED051FC65DA4u, 0x4385DF649FCCF645u};

/* NumPy's SeedSequence: one word of it. `constant` goes on by `factor` with each. */
static uint32_t hashed(uint32_t value, uint32_t *constant, uint32_t factor) {
    value ^= *constant;
    *constant *= factor;
    value *= *constant;
    return value ^ value >> 16;
}

static void seed_pcg64(numbers *of, uint32_t seed) {
    uint32_t pool[4] = {seed, 0, 0, 0}, constant = 0x43b0d7e5u, words[8];
    for (int i = 0; i < 4; i++) pool[i] = hashed(pool[i], &constant, 0x931e8875u);
    for (int source = 0; source < 4; source++)
        for (int i = 0; i < 4; i++) {
            if (i == source) continue;
            uint32_t mixed = 0xca01f9ddu * pool[i] - 0x4973f715u * hashed(pool[source], &constant, 0x931e8875u);
            pool[i] = mixed ^ mixed >> 16;
        }
    constant = 0x8b51f9ddu;
    for (int i = 0; i < 8; i++) words[i] = hashed(pool[i % 4], &constant, 0x58f38dedu);
    uint64_t w[4];
    for (int i = 0; i < 4; i++) w[i] = words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
    wide start = {w[0], w[1]}, increment = {w[2] << 1 | w[3] >> 63, w[3] << 1 | 1};
    of->increment = increment;
    of->state = add(times(add(increment, start), PCG), increment);
}

/* init_by_array of mt19937ar.c, with one word. */
static void seed_as_python(lm_rng *rng, uint32_t seed) {
    uint32_t *s = rng->state, i = 1;
    lm_seed(rng, 19650218);
    for (int k = 0; k < 624 + 623; k++) {
        uint32_t previous = s[i - 1] ^ s[i - 1] >> 30;
        s[i] = k < 624 ? (s[i] ^ previous * 1664525u) + seed : (s[i] ^ previous * 1566083941u) - i;
        if (++i == 624) {
            s[0] = s[623];
            i = 1;
        }
    }
    s[0] = 0x80000000u;
}

static double next_of_mt19937(numbers *of) {
    double low = lm_output(&of->mt), high = lm_output(&of->mt), u = (low + high * 0x1p32) * 0x1p-64;
    return u < 1 ? u : 1 - 0x1p-53;
}

static double next_of_python(numbers *of) {
    double high = lm_output(&of->mt) >> 5;
    return (high * 0x1p26 + (lm_output(&of->mt) >> 6)) * 0x1p-53;
}

static double next_of_xorshift(numbers *of) {
    of->xorshift ^= of->xorshift >> 12;
    of->xorshift ^= of->xorshift << 25;
    of->xorshift ^= of->xorshift >> 27;
    return (double)(of->xorshift * 0x2545F4914F6CDD1Du >> 40) * 0x1p-24;
}

static double next_of_pcg64(numbers *of) {
    of->state = add(times(of->state, PCG), of->increment);
    uint64_t folded = of->state.high ^ of->state.low;
    int turn = (int)(of->state.high >> 58);
    return (double)((folded >> turn | folded << (-turn & 63)) >> 11) * 0x1p-53;
}

static uint32_t turned(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* Threefry-2x32 in 20 rounds (Salmon et al. 2011) of key (0, seed): both words, one over the other. */
static uint32_t threefry(uint32_t seed, uint64_t counter) {
    static const int TURNS[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    const uint32_t keys[3] = {0, seed, seed ^ 0x1BD11BDAu};
    uint32_t a = (uint32_t)(counter >> 32), b = (uint32_t)counter + seed;
    for (uint32_t block = 1; block <= 5; block++) {
        for (int i = 0; i < 4; i++) {
            a += b;
            b = turned(b, TURNS[(block + 1) % 2][i]) ^ a;
        }
        a += keys[block % 3];
        b += keys[(block + 1) % 3] + block;
    }
    return a ^ b;
}

/* ---- draws: each returns a place among n weights ---- */

static double total_of(const float *weights, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += weights[i];
    return total;
}

static size_t walk_llama_cpp(const float *weights, size_t n, numbers *of) {
    double target = next_of_mt19937(of) * total_of(weights, n), running = 0;
    for (size_t i = 0; i < n; i++)
        if ((running += weights[i]) >= target) return i;
    return n - 1;
}

/* llama2.c, and llm.c with its own target. */
static size_t walk_in_float(const float *weights, size_t n, float target) {
    float running = 0;
    for (size_t i = 0; i < n; i++)
        if ((running += weights[i]) > target) return i;
    return n - 1;
}

static size_t walk_transformers_js(const float *weights, size_t n, numbers *of) {
    volatile double target = next_of_python(of) * total_of(weights, n); /* rounded before anything is subtracted */
    double left = target;
    for (size_t i = 0; i < n; i++)
        if ((left -= weights[i]) < 0) return i;
    return n - 1;
}

static size_t walk_numpy(const float *weights, size_t n, numbers *of) {
    double u = next_of_pcg64(of), total = total_of(weights, n), running = 0;
    for (size_t i = 0; i < n; i++)
        if ((running += weights[i]) / total > u) return i;
    return n - 1;
}

static float ln(float x) { return (float)log(x); } /* rounded once */

static size_t race_jax(const float *weights, size_t n, uint32_t seed, uint64_t counter) {
    size_t best = 0;
    float largest = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        float u = (float)(threefry(seed, counter + i) >> 9) * 0x1p-23f;
        float value = ln(weights[i]) - ln(-ln(u > 0 ? u : FLT_MIN));
        if (value > largest) {
            largest = value;
            best = i;
        }
    }
    return best;
}

static size_t race_nanochat(const float *weights, size_t n, numbers *of) {
    size_t best = 0;
    float largest = -1;
    for (size_t i = 0; i < n; i++) {
        float value = weights[i] / (float)fabs(lm_exponential(&of->mt));
        if (value > largest) {
            largest = value;
            best = i;
        }
    }
    return best;
}

lm_refusal lm_draw_as(const float *probs, size_t rows, size_t V, lm_runtime runtime, uint64_t seed, float *scratch,
                      int64_t *order, int64_t *ids) {
    lm_refusal refusal = check_probs(probs, rows, V, 1);
    if (refusal.code) return refusal;
    int known = (int)runtime >= 0 && runtime <= LM_NANOCHAT, of_xorshift = runtime == LM_LLAMA2_C || runtime == LM_LLM_C;
    if (!known) return refuse(LM_BAD_RUNTIME, "runtime", (double)runtime, -1, -1);
    if (seed > UINT32_MAX || (seed == UINT32_MAX && runtime == LM_LLAMA_CPP) || (seed == 0 && of_xorshift))
        return refuse(LM_BAD_SEED, "seed", (double)seed, -1, -1);
    numbers of;
    of.xorshift = seed;
    if (runtime == LM_TRANSFORMERS_JS)
        seed_as_python(&of.mt, (uint32_t)seed);
    else
        lm_seed(&of.mt, seed);
    seed_pcg64(&of, (uint32_t)seed);
    int by_rank = runtime == LM_LLAMA_CPP || runtime == LM_TRANSFORMERS_JS || runtime == LM_NANOCHAT;
    for (size_t row = 0; row < rows; row++, probs += V) {
        const float *weights = probs;
        size_t n = V, place = 0;
        if (by_rank) {
            n = 0;
            for (size_t v = 0; v < V; v++) n += probs[v] > 0;
            lm_top_k(probs, 1, V, (int64_t)n, scratch, order);
            weights = scratch;
        }
        switch (runtime) {
        case LM_LLAMA_CPP: place = walk_llama_cpp(weights, n, &of); break;
        case LM_LLAMA2_C: place = walk_in_float(weights, n, (float)next_of_xorshift(&of)); break;
        case LM_LLM_C: place = walk_in_float(weights, n, (float)(next_of_xorshift(&of) * total_of(weights, n))); break;
        case LM_TRANSFORMERS_JS: place = walk_transformers_js(weights, n, &of); break;
        case LM_JAX: place = race_jax(weights, n, (uint32_t)seed, (uint64_t)row * V); break;
        case LM_NUMPY: place = walk_numpy(weights, n, &of); break;
        case LM_NANOCHAT: place = race_nanochat(weights, n, &of); break;
        }
        ids[row] = by_rank ? order[place] : (int64_t)place;
    }
    return FINE;
}
