#include "lm_penalties.h"

#include <math.h>
#include <string.h>

#include "lm_shared.h"

/* Ids (rows, n) lie in [0, V). A list of ids is n rows of one, whose place is one number. */
static lm_refusal check_ids(const char *argument, const int64_t *ids, size_t rows, size_t n, size_t V) {
    for (size_t i = 0; i < rows * n; i++)
        if (!(ids[i] >= 0 && (uint64_t)ids[i] < V))
            return refuse(LM_BAD_TOKEN_IDS, argument, (double)ids[i], (int64_t)(i / n), n > 1 ? (int64_t)(i % n) : -1);
    return FINE;
}

/* Logits, and a history or a list of ids, in one. */
static lm_refusal check_both(const float *logits, size_t rows, size_t V, const char *argument, const int64_t *ids,
                             size_t id_rows, size_t n) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    return refusal.code ? refusal : check_ids(argument, ids, id_rows, n, V);
}

static float repeated(float x, float penalty, int64_t count) {
    (void)count;
    return x < 0 ? x * penalty : x / penalty; /* divided throughout, a negative logit would gain */
}

static float each_time(float x, float penalty, int64_t count) {
    float all = penalty * (float)count;
    return x - all;
}

static float once(float x, float penalty, int64_t count) {
    (void)count;
    return x - penalty;
}

/* Changes the logits of what occurs in the history; the others keep their bits, and a mask stays a mask. */
static lm_refusal penalise(float (*change)(float x, float penalty, int64_t count), const float *logits,
                           const int64_t *history, size_t rows, size_t V, size_t n, double penalty, int64_t *counts,
                           float *penalised) {
    lm_refusal refusal = check_both(logits, rows, V, "history", history, rows, n);
    if (refusal.code) return refusal;
    float rounded = (float)penalty; /* as a float, 1e-46 is 0 and 1e39 is inf */
    if (!isfinite(rounded) || (change == repeated && !(rounded > 0)))
        return refuse(LM_BAD_PENALTY, "penalty", penalty, -1, -1);
    for (size_t row = 0; row < rows; row++, logits += V, penalised += V) {
        memset(counts, 0, V * sizeof *counts);
        for (size_t i = 0; i < n; i++) counts[history[row * n + i]]++;
        for (size_t v = 0; v < V; v++) {
            float x = logits[v];
            penalised[v] = counts[v] && isfinite(x) ? change(x, rounded, counts[v]) : x;
            if (isfinite(x) && !isfinite(penalised[v]))
                return refuse(LM_OVERFLOW, "penalised", penalised[v], (int64_t)row, (int64_t)v);
        }
    }
    return FINE;
}

lm_refusal lm_repetition_penalty(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                                 double penalty, int64_t *counts, float *penalised) {
    return penalise(repeated, logits, history, rows, V, n, penalty, counts, penalised);
}

lm_refusal lm_frequency_penalty(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                                double penalty, int64_t *counts, float *penalised) {
    return penalise(each_time, logits, history, rows, V, n, penalty, counts, penalised);
}

lm_refusal lm_presence_penalty(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                               double penalty, int64_t *counts, float *penalised) {
    return penalise(once, logits, history, rows, V, n, penalty, counts, penalised);
}

static void copy(const float *logits, size_t size, float *copied) {
    for (size_t i = 0; i < size; i++) copied[i] = logits[i]; /* not memcpy: it may be the same buffer */
}

lm_refusal lm_logit_bias(const float *logits, const int64_t *biased, const double *biases, size_t rows, size_t V,
                         size_t n, int64_t *counts, float *moved) {
    lm_refusal refusal = check_both(logits, rows, V, "biased", biased, n, 1);
    if (refusal.code) return refusal;
    memset(counts, 0, V * sizeof *counts);
    for (size_t i = 0; i < n; i++) {
        /* A finite bias that is infinite as a float is none of the two that are allowed; nan is neither. */
        if (!(isfinite((float)biases[i]) || biases[i] == -INFINITY))
            return refuse(LM_BAD_BIASES, "biases", biases[i], (int64_t)i, -1);
        if (counts[biased[i]]++)
            return refuse(LM_BAD_BIASES, "the second of biased", (double)biased[i], (int64_t)i, -1);
    }
    copy(logits, rows * V, moved);
    for (size_t row = 0; row < rows; row++) {
        for (size_t i = 0; i < n; i++) {
            float *x = &moved[row * V + (size_t)biased[i]], before = *x, bias = (float)biases[i];
            *x += bias;
            if (isinf(*x) && isfinite(before) && isfinite(bias))
                return refuse(LM_OVERFLOW, "moved", *x, (int64_t)row, biased[i]);
        }
    }
    return check_logits(moved, rows, V, LM_BAD_LOGITS); /* is one of each row left? */
}

lm_refusal lm_ban(const float *logits, const int64_t *banned, size_t rows, size_t V, size_t n, float *kept) {
    lm_refusal refusal = check_both(logits, rows, V, "banned", banned, n, 1);
    if (refusal.code) return refusal;
    copy(logits, rows * V, kept);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < n; i++) kept[row * V + (size_t)banned[i]] = -INFINITY;
    return check_logits(kept, rows, V, LM_BAD_LOGITS);
}

lm_refusal lm_no_repeat_ngram(const float *logits, const int64_t *history, size_t rows, size_t V, size_t n,
                              int64_t ngram_size, float *kept) {
    lm_refusal refusal = check_both(logits, rows, V, "history", history, rows, n);
    if (refusal.code) return refusal;
    if (ngram_size < 1) return refuse(LM_BAD_COUNT, "ngram_size", (double)ngram_size, -1, -1);
    copy(logits, rows * V, kept);
    if ((uint64_t)ngram_size > n) return FINE; /* no run is that long */
    size_t begun = (size_t)ngram_size - 1;     /* how many ids of a run there are before its last */
    for (size_t row = 0; row < rows; row++, history += n) {
        for (size_t i = begun; i < n; i++) /* a run that ends at i */
            if (memcmp(history + i - begun, history + n - begun, begun * sizeof *history) == 0)
                kept[row * V + (size_t)history[i]] = -INFINITY;
    }
    return check_logits(kept, rows, V, LM_BAD_LOGITS);
}

lm_refusal lm_min_length(const float *logits, const int64_t *history, const int64_t *end_ids, size_t rows, size_t V,
                         size_t n, size_t m, int64_t length, float *kept) {
    lm_refusal refusal = check_both(logits, rows, V, "history", history, rows, n);
    if (!refusal.code) refusal = check_ids("end_ids", end_ids, m, 1, V);
    if (refusal.code) return refusal;
    if (length < 1) return refuse(LM_BAD_COUNT, "length", (double)length, -1, -1);
    return lm_ban(logits, end_ids, rows, V, (uint64_t)length > n ? m : 0, kept);
}
