/* Reads the head and the contexts of a bundle of version 2 or 3 (weights_export/FORMAT.md). Checks the size and SHA-256
 * of every file and converts 16-bit numbers to float. */
#ifndef BUNDLE_H
#define BUNDLE_H

#include <stddef.h>

typedef struct {
    size_t V, d, contexts;
    float *embedding; /* [V, d] */
    float *context;   /* [contexts, d]; NULL if the bundle has no contexts */
    /* What lm_finish_logits takes; for a GPT-2 it changes nothing. */
    float *bias; /* [V]; NULL if the model has none */
    double multiplier, divisor, cap;
} bundle;

/* Opens a bundle. Returns NULL, or why the folder is not a bundle; `opened` is unchanged then. */
const char *bundle_open(const char *folder, bundle *opened);

void bundle_close(bundle *opened);

#endif
