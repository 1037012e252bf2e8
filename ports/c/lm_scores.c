#include "lm_scores.h"

#include <math.h>

#include "lm_shared.h"

/* What a logit less `max` loses to become a log-probability: ln sum exp(z - max). */
static double log_total(const float *logits, size_t V, double *max) {
    double total = 0;
    *max = -INFINITY;
    for (size_t v = 0; v < V; v++) *max = fmax(*max, logits[v]);
    for (size_t v = 0; v < V; v++) total += exp(logits[v] - *max); /* exp(-inf) is exactly 0 */
    return log(total);
}

lm_refusal lm_log_probs(const float *logits, size_t rows, size_t V, float *log_probs) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V, log_probs += V) {
        double max, total = log_total(logits, V, &max);
        for (size_t v = 0; v < V; v++) log_probs[v] = (float)(logits[v] - max - total); /* a mask stays a mask */
    }
    return FINE;
}

lm_refusal lm_top_log_probs(const float *logits, size_t rows, size_t V, int64_t k, float *log_probs, int64_t *ids) {
    lm_refusal refusal = lm_top_k(logits, rows, V, k, log_probs, ids);
    if (refusal.code) return refusal;
    size_t n = (uint64_t)k < V ? (size_t)k : V;
    for (size_t row = 0; row < rows; row++, logits += V, log_probs += n) {
        double max, total = log_total(logits, V, &max);
        for (size_t i = 0; i < n; i++) log_probs[i] = (float)(log_probs[i] - max - total);
    }
    return FINE;
}

static int in_vocabulary(int64_t id, size_t V) { return id >= 0 && (uint64_t)id < V; }

lm_refusal lm_rank(const float *logits, const int64_t *token_ids, size_t rows, size_t V, lm_ties ties, int64_t *ranks) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    if (ties != LM_LOWEST_ID && ties != LM_ALL) return refuse(LM_BAD_TIES, "ties", (double)ties, -1, -1);
    for (size_t row = 0; row < rows; row++, logits += V) {
        int64_t id = token_ids[row];
        if (!in_vocabulary(id, V)) return refuse(LM_BAD_TOKEN_IDS, "token_ids", (double)id, (int64_t)row, -1);
        size_t given = (size_t)id, before = 0;
        for (size_t v = 0; v < V; v++) {
            int tied = logits[v] == logits[given] && v != given;
            before += logits[v] > logits[given] || (tied && (ties == LM_ALL || v < given));
        }
        ranks[row] = (int64_t)before;
    }
    return FINE;
}

lm_refusal lm_cross_entropy(const float *logits, const int64_t *token_ids, size_t rows, size_t V, int64_t ignore_index,
                            float *loss) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    double sum = 0, counted = 0;
    for (size_t row = 0; row < rows; row++, logits += V) {
        int64_t id = token_ids[row];
        if (id == ignore_index) continue;
        if (!in_vocabulary(id, V)) return refuse(LM_BAD_TOKEN_IDS, "token_ids", (double)id, (int64_t)row, -1);
        double max, total = log_total(logits, V, &max);
        sum += logits[id] - max - total;
        counted++;
    }
    if (counted == 0) return refuse(LM_BAD_TOKEN_IDS, "the number of token_ids that count", 0, -1, -1);
    *loss = (float)(-sum / counted);
    return FINE;
}
