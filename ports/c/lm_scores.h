/* Log-probabilities, as interfaces return them: of every token, of the best, of a given one, and their mean.
 *
 * They are raw from the logits of the model, and processed from what temperature, penalties and filters have left: the
 * same functions of other logits. In nats: divide by ln 2 for bits. Arrays and refusals are as in lm_head.h. What is
 * refused: [LOGPROB-5].
 */
#ifndef LM_SCORES_H
#define LM_SCORES_H

#include "lm_head.h"

/* (rows, V) -> log_probs (rows, V): z - max - ln sum exp(z - max)  [LOGPROB-1]. */
lm_refusal lm_log_probs(const float *logits, size_t rows, size_t V, float *log_probs);

/* (rows, V) -> log_probs, ids, each (rows, min(k, V)), those of lm_top_k and in its order  [LOGPROB-2]. */
lm_refusal lm_top_log_probs(const float *logits, size_t rows, size_t V, int64_t k, float *log_probs, int64_t *ids);

/* (rows, V), token_ids (rows) -> ranks (rows): how many tokens come before the given one  [LOGPROB-3]. */
lm_refusal lm_rank(const float *logits, const int64_t *token_ids, size_t rows, size_t V, lm_ties ties, int64_t *ranks);

/* (rows, V), token_ids (rows) -> loss: minus the mean of the log-probabilities of the ids, except for those that are
 * ignore_index  [LOGPROB-4]. */
lm_refusal lm_cross_entropy(const float *logits, const int64_t *token_ids, size_t rows, size_t V, int64_t ignore_index,
                            float *loss);

#endif
