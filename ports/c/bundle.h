/* Reads the head and the contexts of a bundle (weights_export/FORMAT.md); checks sizes and SHA-256, widens 16 bits. */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <stddef.h>

typedef struct {
    size_t V, d, contexts;
    float *embedding; /* [V, d] */
    float *context;   /* [contexts, d]; NULL if there are none */
} bundle;

/* NULL, or in words why the folder is no bundle; `opened` is then unchanged. */
const char *bundle_open(const char *folder, bundle *opened);

void bundle_close(bundle *opened);

#endif
