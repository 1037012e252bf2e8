#include "lm_filters.h"

#include <math.h>

#include "lm_shared.h"

/* A number between 0 and 1. The two ends are refused unless they are allowed. */
static lm_refusal check_share(const char *argument, double share, int zero, int one) {
    int fits = (share > 0 && share < 1) || (zero && share == 0) || (one && share == 1);
    return fits ? FINE : refuse(LM_BAD_SHARE, argument, share, -1, -1);
}

/* What every filter is given, checked. */
static lm_refusal check_filter(const float *logits, size_t rows, size_t V, const char *argument, double share, int zero,
                               int one) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    return refusal.code ? refusal : check_share(argument, share, zero, one);
}

/* The softmax of a row, q = weight / total, in double. */
typedef struct {
    double max, total;
} row_sum;

/* exp(z - max): 1 for the largest, 0 for a masked token. */
static double weight(float logit, row_sum row) { return exp(logit - row.max); }

static row_sum sum_up(const float *logits, size_t V) {
    row_sum row = {-INFINITY, 0};
    for (size_t v = 0; v < V; v++) row.max = fmax(row.max, logits[v]);
    for (size_t v = 0; v < V; v++) row.total += weight(logits[v], row);
    return row;
}

/* -ln q, infinite for a masked token. It is not the logarithm of a weight, which may be 0. */
static double surprise(float logit, row_sum row) { return log(row.total) - (logit - row.max); }

/* -q ln q, which is 0 for a token of no weight. */
static double entropy_part(float logit, row_sum row) {
    double w = weight(logit, row);
    return w > 0 ? w / row.total * surprise(logit, row) : 0;
}

static double entropy(const float *logits, size_t V, row_sum row) {
    double sum = 0;
    for (size_t v = 0; v < V; v++) sum += entropy_part(logits[v], row);
    return sum;
}

static int before(const lm_scored *a, const lm_scored *b) {
    return a->score > b->score || (a->score == b->score && a->id < b->id);
}

/* Lets the token at `root` sink to its place in a heap of n, whose top is the first of the ranking. */
static void sink(lm_scored *heap, size_t root, size_t n) {
    lm_scored token = heap[root];
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &token)) break;
        heap[root] = heap[child];
    }
    heap[root] = token;
}

/* Keeps the first of a ranking, the largest score first and of equal ones the lowest id, up to where the running sum of
 * their weights has this share of the total; with all_ties, also what scores as the last one. `heap` holds V tokens and
 * their scores. Those that stay move to its end, one by one, so only these are ever brought into order. */
static void keep_first(const float *logits, size_t V, row_sum row, double share, lm_until until, int all_ties,
                       lm_scored *heap, float *kept) {
    double running = 0, enough = share * row.total, last = 0;
    int full = 0;
    size_t left = V; /* in the heap */
    for (size_t i = V / 2; i-- > 0;) sink(heap, i, V);
    while (left > 0 && (!full || (all_ties && heap[0].score == last))) {
        lm_scored first = heap[0];
        heap[0] = heap[--left];
        heap[left] = first;
        sink(heap, 0, left);
        running += weight(logits[first.id], row);
        full = until == LM_EXCEEDED ? running > enough : running >= enough;
        last = first.score;
    }
    for (size_t i = 0; i < V; i++) kept[heap[i].id] = i < left ? -INFINITY : logits[heap[i].id];
}

lm_refusal lm_keep_top_p(const float *logits, size_t rows, size_t V, double p, lm_until until, lm_ties ties,
                         lm_scored *scratch, float *kept) {
    lm_refusal refusal = check_filter(logits, rows, V, "p", p, 0, 1);
    if (refusal.code) return refusal;
    if (until != LM_REACHED && until != LM_EXCEEDED) return refuse(LM_BAD_UNTIL, "until", (double)until, -1, -1);
    if (ties != LM_LOWEST_ID && ties != LM_ALL) return refuse(LM_BAD_TIES, "ties", (double)ties, -1, -1);
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        for (size_t v = 0; v < V; v++) {
            scratch[v].score = logits[v];
            scratch[v].id = (int64_t)v;
            if (p == 1) kept[v] = logits[v]; /* all of them, whatever the rounding of the sum */
        }
        if (p < 1) keep_first(logits, V, sum_up(logits, V), p, until, ties == LM_ALL, scratch, kept);
    }
    return FINE;
}

lm_refusal lm_keep_min_p(const float *logits, size_t rows, size_t V, double p, float *kept) {
    lm_refusal refusal = check_filter(logits, rows, V, "p", p, 1, 1);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        row_sum sum = sum_up(logits, V);
        for (size_t v = 0; v < V; v++) kept[v] = weight(logits[v], sum) >= p ? logits[v] : -INFINITY;
    }
    return FINE;
}

lm_refusal lm_keep_typical(const float *logits, size_t rows, size_t V, double mass, lm_scored *scratch, float *kept) {
    lm_refusal refusal = check_filter(logits, rows, V, "mass", mass, 0, 0);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        row_sum sum = sum_up(logits, V);
        double h = entropy(logits, V, sum);
        for (size_t v = 0; v < V; v++) {
            scratch[v].score = -fabs(surprise(logits[v], sum) - h); /* the closest first */
            scratch[v].id = (int64_t)v;
        }
        keep_first(logits, V, sum, mass, LM_REACHED, 1, scratch, kept);
    }
    return FINE;
}

/* The tokens of at least this probability, and those that equal the largest. */
static void keep_probable(const float *logits, size_t V, row_sum row, double least, float *kept) {
    for (size_t v = 0; v < V; v++) {
        int stays = weight(logits[v], row) >= least * row.total || logits[v] == row.max;
        kept[v] = stays ? logits[v] : -INFINITY;
    }
}

lm_refusal lm_keep_epsilon(const float *logits, size_t rows, size_t V, double cutoff, float *kept) {
    lm_refusal refusal = check_filter(logits, rows, V, "cutoff", cutoff, 0, 0);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V, kept += V)
        keep_probable(logits, V, sum_up(logits, V), cutoff, kept);
    return FINE;
}

lm_refusal lm_keep_eta(const float *logits, size_t rows, size_t V, double cutoff, float *kept) {
    lm_refusal refusal = check_filter(logits, rows, V, "cutoff", cutoff, 0, 0);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        row_sum sum = sum_up(logits, V);
        keep_probable(logits, V, sum, fmin(cutoff, sqrt(cutoff) * exp(-entropy(logits, V, sum))), kept);
    }
    return FINE;
}

#define MOST 100 /* the number is part of the rule */

lm_refusal lm_keep_top_h(const float *logits, size_t rows, size_t V, double h, float *kept) {
    lm_refusal refusal = check_filter(logits, rows, V, "h", h, 0, 1);
    if (refusal.code) return refusal;
    float values[MOST];
    int64_t ids[MOST];
    size_t n = V < MOST ? V : MOST;
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        lm_top_k(logits, 1, V, MOST, values, ids);
        row_sum sum = sum_up(values, n);
        double running = 0, whole = entropy(values, n, sum);
        for (size_t v = 0; v < V; v++) kept[v] = -INFINITY;
        for (size_t i = 0; i < n; i++) {
            running += entropy_part(values[i], sum);
            if (i == 0 || running <= h * whole) kept[ids[i]] = values[i];
        }
    }
    return FINE;
}

lm_refusal lm_keep_top_n_sigma(const float *logits, size_t rows, size_t V, double n, float *kept) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    if (!(n > 0 && n < INFINITY)) return refuse(LM_BAD_N, "n", n, -1, -1);
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        double max = -INFINITY, mean = 0, square = 0, unmasked = 0;
        for (size_t v = 0; v < V; v++) {
            if (!(logits[v] > -INFINITY)) continue;
            max = fmax(max, logits[v]);
            mean += logits[v];
            unmasked++;
        }
        mean /= unmasked;
        for (size_t v = 0; v < V; v++) /* a second pass: where the mean is large, one pass would cancel */
            if (logits[v] > -INFINITY) square += (logits[v] - mean) * (logits[v] - mean);
        double threshold = max - n * sqrt(square / unmasked);
        for (size_t v = 0; v < V; v++) kept[v] = logits[v] >= threshold ? logits[v] : -INFINITY;
    }
    return FINE;
}

lm_refusal lm_keep_xtc(const float *logits, const double *uniform, size_t rows, size_t V, double threshold,
                       double probability, float *kept) {
    lm_refusal refusal = check_filter(logits, rows, V, "threshold", threshold, 0, 1);
    if (!refusal.code) refusal = check_share("probability", probability, 1, 1);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        if (!(uniform[row] >= 0 && uniform[row] < 1))
            return refuse(LM_BAD_UNIFORM, "uniform", uniform[row], (int64_t)row, -1);
        row_sum sum = sum_up(logits, V);
        float least = INFINITY; /* of those that reach the threshold; what is above it falls */
        for (size_t v = 0; uniform[row] < probability && v < V; v++)
            if (logits[v] < least && weight(logits[v], sum) >= threshold * sum.total) least = logits[v];
        for (size_t v = 0; v < V; v++) kept[v] = logits[v] > least ? -INFINITY : logits[v];
    }
    return FINE;
}

lm_refusal lm_greedy(const float *logits, size_t rows, size_t V, int64_t *ids) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V) {
        size_t best = 0;
        for (size_t v = 1; v < V; v++)
            if (logits[v] > logits[best]) best = v; /* at a tie the lower id stays: it came first */
        ids[row] = (int64_t)best;
    }
    return FINE;
}
