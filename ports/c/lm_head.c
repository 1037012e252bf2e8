#include "lm_head.h"

#include <math.h>
#include <stdio.h>

#include "lm_shared.h"

static const struct {
    const char *name, *remedy;
} CODES[] = {
    [LM_OK] = {"ok", "nothing to do"},
    [LM_BAD_DTYPE] = {"bad_dtype", "convert it to float32"},
    [LM_BAD_SHAPE] = {"bad_shape", "the vocabulary needs at least one token, and both factors the same d"},
    [LM_BAD_LOGITS] = {"bad_logits", "logits must be finite, or -inf for a masked token, and one must be finite"},
    [LM_BAD_TEMPERATURE] = {"bad_temperature", "it must be finite and > 0; for greedy decoding take the argmax"},
    [LM_OVERFLOW] = {"overflow", "it overflows: use a higher temperature or a lower penalty, or look for huge numbers"},
    [LM_BAD_K] = {"bad_k", "it must be an integer of at least 1; to keep every token pass k = V"},
    [LM_BAD_TIES] = {"bad_ties", "it must be lowest_id or all"},
    [LM_BAD_PROBS] = {"bad_probs", "probabilities must be finite and >= 0, and one of a row above zero"},
    [LM_BAD_NOISE] = {"bad_noise", "it must be finite and >= 0"},
    [LM_BAD_NUM_SAMPLES] = {"bad_num_samples", "draw from 1 to as many as there are tokens of non-zero probability"},
    [LM_BAD_UNIFORM] = {"bad_uniform", "it must be in [0, 1)"},
    [LM_BAD_HIDDEN] = {"bad_hidden", "it must be finite"},
    [LM_BAD_WEIGHT] = {"bad_weight", "it must be finite"},
    [LM_BAD_EPSILON] = {"bad_epsilon", "it must be finite and > 0"},
    [LM_BAD_SCALE] = {"bad_scale", "it must be > 0, and finite unless it is the cap"},
    [LM_BAD_SHARE] = {"bad_share", "it must be between 0 and 1; 0 is only for min-p and a probability, 1 not for all"},
    [LM_BAD_UNTIL] = {"bad_until", "it must be reached or exceeded"},
    [LM_BAD_N] = {"bad_n", "it must be finite and > 0"},
    [LM_BAD_PENALTY] = {"bad_penalty", "it must be finite, and > 0 for a repetition"},
    [LM_BAD_BIASES] = {"bad_biases", "an id may stand once, its bias must be finite, or -inf to mask the token"},
    [LM_BAD_COUNT] = {"bad_count", "it must be an integer of at least 1"},
    [LM_BAD_TOKEN_IDS] = {"bad_token_ids", "ids lie in [0, V), the vocabulary; leave out padding"},
    [LM_BAD_STEPS] = {"bad_steps", "steps are [name, {argument: value}], each a function from logits to logits"},
    [LM_BAD_SEED] = {"bad_seed", "it must be an integer from -2^63 to 2^64 - 1, or one that the runtime takes"},
    [LM_BAD_RUNTIME] = {"bad_runtime", "it must be the name of a runtime whose stream is known"},
    [LM_BAD_BUNDLE] = {"bad_bundle", "export it again"},
};

const char *lm_name(lm_code code) { return CODES[code].name; }

void lm_describe(lm_refusal refusal, char *text, size_t size) {
    char place[64] = "";
    if (refusal.column >= 0)
        snprintf(place, sizeof place, "[%lld, %lld]", (long long)refusal.row, (long long)refusal.column);
    else if (refusal.row >= 0)
        snprintf(place, sizeof place, "[%lld]", (long long)refusal.row);
    snprintf(text, size, "%s%s is %.9g: %s", refusal.argument, place, refusal.value, CODES[refusal.code].remedy);
}

lm_refusal lm_compute_logits(const float *context, const float *embedding, size_t rows, size_t V, size_t d,
                             float *logits) {
    if (V == 0) return refuse(LM_BAD_SHAPE, "V", 0, -1, -1);
    for (size_t row = 0; row < rows; row++, context += d, logits += V) {
        for (size_t v = 0; v < V; v++) {
            const float *w = embedding + v * d; /* size_t: v * d does not fit 32 bits for large models */
            float sum[8] = {0};                 /* eight sums, so that no addition waits for the one before it */
            size_t i = 0;
            for (; i + 8 <= d; i += 8)
                for (size_t j = 0; j < 8; j++) sum[j] += context[i + j] * w[i + j];
            for (; i < d; i++) sum[0] += context[i] * w[i];
            logits[v] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
        }
    }
    return FINE;
}

lm_refusal lm_apply_temperature(const float *logits, size_t rows, size_t V, double temperature, float *scaled) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    float divisor = (float)temperature; /* as a float, 1e-46 is 0 and 1e39 is inf */
    if (!(divisor > 0 && divisor < INFINITY)) return refuse(LM_BAD_TEMPERATURE, "temperature", temperature, -1, -1);
    for (size_t i = 0; i < rows * V; i++) scaled[i] = logits[i] / divisor; /* not a product with 1 / divisor */
    return check_logits(scaled, rows, V, LM_OVERFLOW);
}

/* The order of top-k and of the race: a is behind b if its score is less, or if it is equal and a is the higher id. */
static int behind(const float *score, int64_t a, int64_t b) {
    return score[a] < score[b] || (score[a] == score[b] && a > b);
}

/* Lets the id at `root` sink to its place in a heap, whose top is the id that is last in order. */
static void sink(const float *score, int64_t *heap, size_t root, size_t n) {
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && behind(score, heap[child + 1], heap[child])) child++;
        if (behind(score, heap[root], heap[child])) return;
        int64_t id = heap[root];
        heap[root] = heap[child];
        heap[child] = id;
    }
}

/* The ids of the k largest of V scores, in order; 1 <= k <= V. A heap holds the k best so far, so V is never sorted. */
static void largest(const float *score, size_t V, size_t k, int64_t *ids) {
    for (size_t i = 0; i < k; i++) ids[i] = (int64_t)i;
    for (size_t i = k / 2; i-- > 0;) sink(score, ids, i, k);
    for (size_t v = k; v < V; v++) {
        if (score[v] > score[ids[0]]) { /* at a tie the lower id stays: it came first */
            ids[0] = (int64_t)v;
            sink(score, ids, 0, k);
        }
    }
    for (size_t n = k - 1; n > 0; n--) { /* takes the last in order from the top and puts it at the end */
        int64_t id = ids[0];
        ids[0] = ids[n];
        ids[n] = id;
        sink(score, ids, 0, n);
    }
}

lm_refusal lm_top_k(const float *logits, size_t rows, size_t V, int64_t k, float *values, int64_t *ids) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    if (k < 1) return refuse(LM_BAD_K, "k", (double)k, -1, -1);
    size_t n = (uint64_t)k < V ? (size_t)k : V;
    for (size_t row = 0; row < rows; row++, logits += V, values += n, ids += n) {
        largest(logits, V, n, ids);
        for (size_t i = 0; i < n; i++) values[i] = logits[ids[i]];
    }
    return FINE;
}

lm_refusal lm_keep_top_k(const float *logits, size_t rows, size_t V, int64_t k, lm_ties ties, int64_t *scratch,
                         float *kept) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    if (k < 1) return refuse(LM_BAD_K, "k", (double)k, -1, -1);
    if (ties != LM_LOWEST_ID && ties != LM_ALL) return refuse(LM_BAD_TIES, "ties", (double)ties, -1, -1);
    size_t n = (uint64_t)k < V ? (size_t)k : V;
    for (size_t row = 0; row < rows; row++, logits += V, kept += V) {
        largest(logits, V, n, scratch);
        size_t last = ties == LM_ALL ? V : (size_t)scratch[n - 1]; /* the highest id kept of those tied with the k-th */
        float kth = logits[scratch[n - 1]];
        for (size_t v = 0; v < V; v++)
            kept[v] = logits[v] > kth || (logits[v] == kth && v <= last) ? logits[v] : -INFINITY;
    }
    return FINE;
}

lm_refusal lm_softmax(const float *logits, size_t rows, size_t V, float *probs) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, logits += V, probs += V) {
        float max = logits[0]; /* subtracted: GPT-2's logits lie near -100, where exp alone gives 0 / 0 */
        for (size_t v = 1; v < V; v++) max = logits[v] > max ? logits[v] : max;
        double total = 0;
        for (size_t v = 0; v < V; v++) total += probs[v] = expf(logits[v] - max); /* exp(-inf) is exactly 0 */
        for (size_t v = 0; v < V; v++) probs[v] = (float)(probs[v] / total);
    }
    return FINE;
}

lm_refusal lm_multinomial(const float *probs, const float *noise, size_t rows, size_t V, int64_t num_samples,
                          float *scratch, int64_t *ids) {
    if (num_samples < 1) return refuse(LM_BAD_NUM_SAMPLES, "num_samples", (double)num_samples, -1, -1);
    lm_refusal refusal = check_probs(probs, rows, V, num_samples);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, probs += V, noise += V, ids += num_samples) {
        for (size_t v = 0; v < V; v++) {
            if (!(noise[v] >= 0 && noise[v] < INFINITY))
                return refuse(LM_BAD_NOISE, "noise", noise[v], (int64_t)row, (int64_t)v);
            /* Noise may be 0, and then the token wins; -0 counts as 0. Tokens of probability zero are behind all. */
            scratch[v] = probs[v] > 0 ? probs[v] / fabsf(noise[v]) : -1;
        }
        largest(scratch, V, (size_t)num_samples, ids);
    }
    return FINE;
}

lm_refusal lm_inverse_cdf(const float *probs, const double *uniform, size_t rows, size_t V, int64_t *ids) {
    lm_refusal refusal = check_probs(probs, rows, V, 1);
    if (refusal.code) return refusal;
    for (size_t row = 0; row < rows; row++, probs += V) {
        if (!(uniform[row] >= 0 && uniform[row] < 1))
            return refuse(LM_BAD_UNIFORM, "uniform", uniform[row], (int64_t)row, -1);
        double total = 0, running = 0; /* in float a running sum often ends below its own total */
        for (size_t v = 0; v < V; v++) total += probs[v];
        for (size_t v = 0; v < V && !(running > uniform[row] * total); v++) {
            running += probs[v];
            if (probs[v] > 0) ids[row] = (int64_t)v; /* so the last possible one, if rounding leaves none above */
        }
    }
    return FINE;
}

lm_refusal lm_head(const float *context, const float *embedding, size_t rows, size_t V, size_t d, double temperature,
                   int64_t k, int64_t *scratch, float *probs) {
    lm_refusal refusal = lm_compute_logits(context, embedding, rows, V, d, probs); /* (rows, d) -> (rows, V) */
    if (!refusal.code) refusal = lm_apply_temperature(probs, rows, V, temperature, probs);
    if (!refusal.code) refusal = lm_keep_top_k(probs, rows, V, k, LM_LOWEST_ID, scratch, probs);
    if (!refusal.code) refusal = lm_softmax(probs, rows, V, probs);
    return refusal;
}

/* Every one of `rows` times `n` numbers is finite. `numbers` may be NULL. */
static lm_refusal check_finite(lm_code code, const char *argument, const float *numbers, size_t rows, size_t n) {
    for (size_t i = 0; numbers && i < rows * n; i++)
        if (!isfinite(numbers[i])) return refuse(code, argument, numbers[i], (int64_t)(i / n), (int64_t)(i % n));
    return FINE;
}

/* Both norms. The sums are kept in double, where the squares of floats cannot overflow. */
static lm_refusal norm(const float *hidden, const float *weight, const float *bias, size_t rows, size_t d,
                       double epsilon, double weight_offset, int centred, float *context) {
    if (d == 0) return refuse(LM_BAD_SHAPE, "d", 0, -1, -1);
    float eps = (float)epsilon, offset = (float)weight_offset; /* as floats, 1e-46 is 0 and 1e39 is inf */
    lm_refusal refusal = check_finite(LM_BAD_HIDDEN, "hidden", hidden, rows, d);
    if (!refusal.code) refusal = check_finite(LM_BAD_WEIGHT, "weight", weight, 1, d);
    if (!refusal.code) refusal = check_finite(LM_BAD_WEIGHT, "bias", bias, 1, d);
    if (refusal.code) return refusal;
    if (!isfinite(offset)) return refuse(LM_BAD_WEIGHT, "weight_offset", weight_offset, -1, -1);
    if (!(eps > 0 && eps < INFINITY)) return refuse(LM_BAD_EPSILON, "epsilon", epsilon, -1, -1);
    for (size_t row = 0; row < rows; row++, hidden += d, context += d) {
        double mean = 0, square = 0;
        for (size_t i = 0; centred && i < d; i++) mean += hidden[i];
        mean /= (double)d;
        for (size_t i = 0; i < d; i++) square += (hidden[i] - mean) * (hidden[i] - mean); /* a second pass */
        double r = 1 / sqrt(square / (double)d + eps);
        for (size_t i = 0; i < d; i++) {
            float factor = offset + weight[i];
            context[i] = (float)((hidden[i] - mean) * r * factor + (bias ? bias[i] : 0));
            if (!isfinite(context[i])) return refuse(LM_OVERFLOW, "context", context[i], (int64_t)row, (int64_t)i);
        }
    }
    return FINE;
}

lm_refusal lm_layer_norm(const float *hidden, const float *weight, const float *bias, size_t rows, size_t d,
                         double epsilon, double weight_offset, float *context) {
    return norm(hidden, weight, bias, rows, d, epsilon, weight_offset, 1, context);
}

lm_refusal lm_rms_norm(const float *hidden, const float *weight, size_t rows, size_t d, double epsilon,
                       double weight_offset, float *context) {
    return norm(hidden, weight, NULL, rows, d, epsilon, weight_offset, 0, context);
}

lm_refusal lm_finish_logits(const float *logits, const float *bias, size_t rows, size_t V, double multiplier,
                            double divisor, double cap, float *finished) {
    lm_refusal refusal = check_logits(logits, rows, V, LM_BAD_LOGITS);
    if (!refusal.code) refusal = check_finite(LM_BAD_WEIGHT, "bias", bias, 1, V);
    if (refusal.code) return refusal;
    float m = (float)multiplier, q = (float)divisor, limit = (float)cap;
    if (!(m > 0 && m < INFINITY)) return refuse(LM_BAD_SCALE, "multiplier", multiplier, -1, -1);
    if (!(q > 0 && q < INFINITY)) return refuse(LM_BAD_SCALE, "divisor", divisor, -1, -1);
    if (!(limit > 0)) return refuse(LM_BAD_SCALE, "cap", cap, -1, -1);
    for (size_t i = 0; i < rows * V; i++) {
        float z = bias ? logits[i] + bias[i % V] : logits[i];
        z = z * m / q; /* two roundings: not a product with m / q */
        if (isinf(z) && isfinite(logits[i]))
            return refuse(LM_OVERFLOW, "finished", z, (int64_t)(i / V), (int64_t)(i % V));
        finished[i] = isinf(z) || isinf(limit) ? z : limit * tanhf(z / limit); /* a mask stays a mask */
    }
    return FINE;
}

void lm_seed(lm_rng *rng, uint64_t seed) {
    rng->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < 624; i++) {
        uint32_t previous = rng->state[i - 1];
        rng->state[i] = 1812433253u * (previous ^ (previous >> 30)) + i;
    }
    rng->next = 624;
}

uint32_t lm_output(lm_rng *rng) {
    uint32_t *s = rng->state;
    if (rng->next == 624) {
        for (int i = 0; i < 624; i++) {
            uint32_t joined = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
            s[i] = s[(i + 397) % 624] ^ (joined >> 1) ^ (joined & 1 ? 0x9908b0dfu : 0);
        }
        rng->next = 0;
    }
    uint32_t y = s[rng->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

float lm_uniform32(lm_rng *rng) { return (float)(lm_output(rng) & 0xffffffu) * 0x1p-24f; }

double lm_uniform64(lm_rng *rng) {
    uint64_t high = lm_output(rng); /* the first output is the high word */
    return (double)(((high << 32) | lm_output(rng)) & 0x1fffffffffffffu) * 0x1p-53;
}

double lm_exponential(lm_rng *rng) { return -log1p(-lm_uniform64(rng)); }
