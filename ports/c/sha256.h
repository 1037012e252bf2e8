/* SHA-256 (FIPS 180-4), for the manifest's hashes. */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>

/* Writes the hash of `size` bytes to `hex`: 64 hexadecimal digits and a terminating zero. */
void sha256(const unsigned char *bytes, size_t size, char hex[65]);

#endif
