/* Filters: which tokens may be drawn at all. Each takes logits (rows, V), and writes -inf where a token falls.
 *
 *     logits [rows, V]
 *         |   lm_keep_top_p, lm_keep_typical, lm_keep_top_h          the first of a ranking, until that is enough
 *         |   lm_keep_min_p, lm_keep_epsilon, lm_keep_eta,
 *         |   lm_keep_top_n_sigma                                    what reaches a threshold
 *         |   lm_keep_xtc                                            now and then, all but the most likely
 *     logits [rows, V]      survivors have the bits they came with
 *
 * Arrays, refusals and the use of one buffer for input and output are as in lm_head.h. At least one token survives, and
 * a masked one never does  [FILTER-1]. Each filter looks at the softmax q of what it is given. It sums and compares in
 * double, since float sums over a large vocabulary are off by thousands of tokens. Other parameters than those named
 * here are refused  [FILTER-11].
 */
#ifndef LM_FILTERS_H
#define LM_FILTERS_H

#include "lm_head.h"

/* Whether a running sum of exactly p is enough [FILTER-2], or only one above it [FILTER-3]. */
typedef enum { LM_REACHED, LM_EXCEEDED } lm_until;

/* A token in a ranking. */
typedef struct {
    double score;
    int64_t id;
} lm_scored;

/* The most probable tokens, up to the first at which their running sum reaches p, in (0, 1]; `scratch` has room for V
 * tokens  [FILTER-2, FILTER-3]. */
lm_refusal lm_keep_top_p(const float *logits, size_t rows, size_t V, double p, lm_until until, lm_ties ties,
                         lm_scored *scratch, float *kept);

/* exp(z - max) >= p, in [0, 1]  [FILTER-4]. */
lm_refusal lm_keep_min_p(const float *logits, size_t rows, size_t V, double p, float *kept);

/* The tokens whose -ln q is closest to the entropy, until their sum reaches `mass`, in (0, 1); `scratch` has room for V
 * tokens  [FILTER-5]. */
lm_refusal lm_keep_typical(const float *logits, size_t rows, size_t V, double mass, lm_scored *scratch, float *kept);

/* q >= cutoff, in (0, 1); the largest in any case  [FILTER-6]. */
lm_refusal lm_keep_epsilon(const float *logits, size_t rows, size_t V, double cutoff, float *kept);

/* q >= min(cutoff, sqrt(cutoff) exp(-entropy)); the largest in any case  [FILTER-6]. */
lm_refusal lm_keep_eta(const float *logits, size_t rows, size_t V, double cutoff, float *kept);

/* Of the 100 largest, the first whose running sum of -r ln r is at most h, in (0, 1], of the whole sum  [FILTER-7]. */
lm_refusal lm_keep_top_h(const float *logits, size_t rows, size_t V, double h, float *kept);

/* z >= max - n s, with s the standard deviation of the unmasked logits  [FILTER-8]. */
lm_refusal lm_keep_top_n_sigma(const float *logits, size_t rows, size_t V, double n, float *kept);

/* Where uniform (rows), in [0, 1), is below `probability`, in [0, 1]: of the tokens with q >= threshold, in (0, 1],
 * only the least probable stays  [FILTER-9]. */
lm_refusal lm_keep_xtc(const float *logits, const double *uniform, size_t rows, size_t V, double threshold,
                       double probability, float *kept);

/* logits (rows, V) -> ids (rows): that of the largest logit, of several the lowest  [FILTER-10]. */
lm_refusal lm_greedy(const float *logits, size_t rows, size_t V, int64_t *ids);

#endif
