/* Penalties: logits changed by what the text holds already, before temperature and filters.
 *
 *     logits [rows, V], history [rows, n]
 *         |   lm_repetition_penalty                           what occurred is divided or multiplied
 *         |   lm_frequency_penalty, lm_presence_penalty       ... or loses a number, for each time or once
 *         |   lm_logit_bias                                   a number for each token
 *         |   lm_ban, lm_no_repeat_ngram, lm_min_length       -inf
 *     logits [rows, V]
 *
 * Arrays, refusals and the use of one buffer for input and output are as in lm_head.h. The history holds the token ids
 * so far, n for each row; n may be 0, and the array NULL then. The caller passes those that count, as runtimes differ
 * in which do  [PENALTY-1]. A masked token stays masked. What is refused: [PENALTY-7]. `counts` is scratch: it has room
 * for V numbers.
 */
#ifndef LM_PENALTIES_H
#define LM_PENALTIES_H

#include "lm_head.h"

/* What occurs in the history: x * penalty below zero, x / penalty from zero on, however often  [PENALTY-2]. */
lm_refusal lm_repetition_penalty(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                                 double penalty, int64_t *counts, float *penalised);

/* x - penalty * c for what occurs c times in the history  [PENALTY-3]. */
lm_refusal lm_frequency_penalty(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                                double penalty, int64_t *counts, float *penalised);

/* x - penalty for what occurs in the history, however often  [PENALTY-4]. */
lm_refusal lm_presence_penalty(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                               double penalty, int64_t *counts, float *penalised);

/* x + bias for the ids biased (n), in every row; each id stands once, and a bias of -INFINITY masks  [PENALTY-5]. */
lm_refusal lm_logit_bias(const float *logits, const int64_t *biased, const double *biases, size_t rows, size_t V,
                         size_t n, int64_t *counts, float *moved);

/* -inf for the ids banned (n), in every row  [PENALTY-6]. */
lm_refusal lm_ban(const float *logits, const int64_t *banned, size_t rows, size_t V, size_t n, float *kept);

/* -inf for what would complete a run of `ngram_size` tokens that the history holds already  [PENALTY-6]. */
lm_refusal lm_no_repeat_ngram(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                              int64_t ngram_size, float *kept);

/* -inf for end_ids (m), while the history has fewer than `length` ids  [PENALTY-6]. */
lm_refusal lm_min_length(const float *logits, const int64_t *history, const int64_t *end_ids, size_t rows, size_t V,
                         size_t n, size_t m, int64_t length, float *kept);

#endif
