/* What the files of the port share: how they refuse, and what all of them ask of logits and probabilities. Not for callers. */
#ifndef LM_SHARED_H
#define LM_SHARED_H

#include <float.h>
#include <math.h>

#include "lm_head.h"

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "compile without -ffast-math: the head needs infinities, nan, true division and subnormal numbers"
#endif
#if FLT_EVAL_METHOD != 0
#error "float must be computed as float (on 32-bit x86: -msse2 -mfpmath=sse): a quotient may be rounded only once"
#endif

static const lm_refusal FINE = {LM_OK, "", 0, -1, -1};

static inline lm_refusal refuse(lm_code code, const char *argument, double value, int64_t row, int64_t column) {
    lm_refusal refusal = {code, argument, value, row, column};
    return refusal;
}

/* Logits are finite or -inf, and at least one of each row is finite. A comparison with nan is false, so the test is
 * written to refuse what is not below infinity: that includes nan. */
static inline lm_refusal check_logits(const float *logits, size_t rows, size_t V, lm_code code) {
    if (V == 0) return refuse(LM_BAD_SHAPE, "V", 0, -1, -1);
    for (size_t row = 0; row < rows; row++, logits += V) {
        int alive = 0;
        for (size_t v = 0; v < V; v++) {
            if (!(logits[v] < INFINITY)) return refuse(code, "logits", logits[v], (int64_t)row, (int64_t)v);
            alive |= logits[v] > -INFINITY;
        }
        if (!alive) return refuse(code, "every one of logits", -INFINITY, (int64_t)row, -1);
    }
    return FINE;
}

/* Probabilities are finite and >= 0, and at least `num_samples` of each row are above zero. */
static inline lm_refusal check_probs(const float *probs, size_t rows, size_t V, int64_t num_samples) {
    if (V == 0) return refuse(LM_BAD_SHAPE, "V", 0, -1, -1);
    for (size_t row = 0; row < rows; row++, probs += V) {
        int64_t possible = 0;
        for (size_t v = 0; v < V; v++) {
            if (!(probs[v] >= 0 && probs[v] < INFINITY))
                return refuse(LM_BAD_PROBS, "probs", probs[v], (int64_t)row, (int64_t)v);
            possible += probs[v] > 0;
        }
        if (possible == 0) return refuse(LM_BAD_PROBS, "the sum of probs", 0, (int64_t)row, -1);
        if (possible < num_samples) return refuse(LM_BAD_NUM_SAMPLES, "num_samples", (double)num_samples, -1, -1);
    }
    return FINE;
}

#endif
