/* The language-model head in C99: from one context vector to the next token. float32, libc and libm, no allocation.
 *
 *     context [rows, d]     what the model knows so far, after the final layer norm
 *         |   lm_compute_logits      one score per token: the product with every row of the embedding [V, d]
 *     logits [rows, V]
 *         |   lm_apply_temperature   divide: below 1 sharpens, above 1 flattens
 *         |   lm_keep_top_k          all but the k best become -inf
 *         |   lm_softmax             scores become probabilities, -inf becomes exactly 0
 *     probs [rows, V]
 *         |   lm_multinomial         one draw: an exponential race (as PyTorch) ...
 *         |   lm_inverse_cdf         ... or a walk along the running sum (as most other runtimes)
 *     ids [rows, n]
 *
 * Arrays are dense and row-major. `rows` may be 0. Inputs are never modified, unless the output of a stage [rows, V] is
 * the same buffer as its input; this is allowed, so that one buffer can go through the whole head. A stage that refuses
 * its input says so in its return value, and its output must not be used then. The rules in brackets are those of
 * reference/SPEC.md.
 *
 * lm_filters.h, lm_penalties.h and lm_scores.h have what may come between the logits and the softmax, or in its place,
 * and lm_streams.h the draws of other runtimes.
 */
#ifndef LM_HEAD_H
#define LM_HEAD_H

#include <stddef.h>
#include <stdint.h>

/* Why an input was refused. `lm_name` returns the name of a code in the protocol: "bad_k" for LM_BAD_K. */
typedef enum {
    LM_OK,
    LM_BAD_DTYPE, /* for callers that read typed data: this interface takes only float */
    LM_BAD_SHAPE,
    LM_BAD_LOGITS,
    LM_BAD_TEMPERATURE,
    LM_OVERFLOW,
    LM_BAD_K,
    LM_BAD_TIES,
    LM_BAD_PROBS,
    LM_BAD_NOISE,
    LM_BAD_NUM_SAMPLES,
    LM_BAD_UNIFORM,
    LM_BAD_HIDDEN,
    LM_BAD_WEIGHT, /* or bias */
    LM_BAD_EPSILON,
    LM_BAD_SCALE,
    LM_BAD_SHARE, /* from here on, codes of lm_filters.h, ... */
    LM_BAD_UNTIL,
    LM_BAD_N,
    LM_BAD_PENALTY, /* ... lm_penalties.h ... */
    LM_BAD_BIASES,
    LM_BAD_COUNT,
    LM_BAD_TOKEN_IDS, /* ... and lm_scores.h */
    LM_BAD_STEPS, /* for callers that read steps from text */
    LM_BAD_SEED,  /* of lm_streams.h, and for callers that read seeds from text */
    LM_BAD_RUNTIME,
    LM_BAD_BUNDLE /* for callers that read bundles */
} lm_code;

/* What every stage returns: `code` is LM_OK or the reason for a refusal, and the rest says where  [HEAD-5]. */
typedef struct {
    lm_code code;
    const char *argument; /* the argument that was bad */
    double value;         /* its bad value */
    int64_t row, column;  /* the place of the value; -1 if it has none */
} lm_refusal;

/* Which tokens survive a tie for the last place: the lowest ids [TOPK-2], or all of them [TOPK-7]. */
typedef enum { LM_LOWEST_ID, LM_ALL } lm_ties;

const char *lm_name(lm_code code);

/* Writes a message such as "logits[0, 3] is nan: what to do" to `text`, cut to `size` bytes. */
void lm_describe(lm_refusal refusal, char *text, size_t size);

/* (rows, d), (V, d) -> logits (rows, V)  [LOGITS-1, LOGITS-2]. */
lm_refusal lm_compute_logits(const float *context, const float *embedding, size_t rows, size_t V, size_t d,
                             float *logits);

/* (rows, V) -> scaled (rows, V): a true division, correctly rounded  [TEMP-1 to TEMP-3]. */
lm_refusal lm_apply_temperature(const float *logits, size_t rows, size_t V, double temperature, float *scaled);

/* (rows, V) -> values, ids, each (rows, min(k, V)), by value descending, then by id ascending  [TOPK-1 to TOPK-5]. */
lm_refusal lm_top_k(const float *logits, size_t rows, size_t V, int64_t k, float *values, int64_t *ids);

/* (rows, V) -> kept (rows, V); `scratch` has room for min(k, V) ids  [TOPK-6, TOPK-7]. */
lm_refusal lm_keep_top_k(const float *logits, size_t rows, size_t V, int64_t k, lm_ties ties, int64_t *scratch,
                         float *kept);

/* (rows, V) -> probs (rows, V)  [SOFTMAX-1 to SOFTMAX-4]. */
lm_refusal lm_softmax(const float *logits, size_t rows, size_t V, float *probs);

/* probs, noise (rows, V) -> ids (rows, num_samples), without replacement: the largest of probs / noise; `noise` is
 * standard exponential, `scratch` has room for V numbers  [DRAW-1 to DRAW-6]. */
lm_refusal lm_multinomial(const float *probs, const float *noise, size_t rows, size_t V, int64_t num_samples,
                          float *scratch, int64_t *ids);

/* probs (rows, V), uniform (rows) in [0, 1) -> ids (rows): the first running sum above uniform * total
 * [CDF-1 to CDF-4]. */
lm_refusal lm_inverse_cdf(const float *probs, const double *uniform, size_t rows, size_t V, int64_t *ids);

/* The defaults of `temperature` and `k`  [HEAD-1]. */
#define LM_TEMPERATURE 0.7
#define LM_K 50

/* Stages 1 to 4: (rows, d), (V, d) -> probs (rows, V); `scratch` has room for min(k, V) ids  [HEAD-1]. */
lm_refusal lm_head(const float *context, const float *embedding, size_t rows, size_t V, size_t d, double temperature,
                   int64_t k, int64_t *scratch, float *probs);

/* What other families have before and after the product. `bias` is NULL where a model has none.
 *
 * (rows, d), (d), (d) -> context (rows, d): centred, over the root of variance plus epsilon; times offset + weight, plus
 * bias  [OUT-1, OUT-3, OUT-4]. */
lm_refusal lm_layer_norm(const float *hidden, const float *weight, const float *bias, size_t rows, size_t d,
                         double epsilon, double weight_offset, float *context);

/* (rows, d), (d) -> context (rows, d): over the root of mean square plus epsilon; times offset + weight, the offset being
 * 1 for Gemma  [OUT-2 to OUT-4]. */
lm_refusal lm_rms_norm(const float *hidden, const float *weight, size_t rows, size_t d, double epsilon,
                       double weight_offset, float *context);

/* (rows, V), (V) -> finished (rows, V): z = (logits + bias) * multiplier / divisor, then cap * tanh(z / cap) unless cap
 * is INFINITY  [OUT-5 to OUT-7]. */
lm_refusal lm_finish_logits(const float *logits, const float *bias, size_t rows, size_t V, double multiplier,
                            double divisor, double cap, float *finished);

/* PyTorch's CPU random stream: MT19937 (Matsumoto & Nishimura 1998). The state carries over from call to call. Only the
 * low 32 bits of a seed count. A negative seed s means 2^64 + s, which is how C converts it  [RNG-1, RNG-2]. */
typedef struct {
    uint32_t state[624];
    int next;
} lm_rng;

void lm_seed(lm_rng *rng, uint64_t seed);
uint32_t lm_output(lm_rng *rng);     /* the next 32 bits, which all others are made of */
float lm_uniform32(lm_rng *rng);     /* torch.rand in float32  [RNG-4] */
double lm_uniform64(lm_rng *rng);    /* torch.rand in float64 */
double lm_exponential(lm_rng *rng);  /* exponential_() in float64; cast to float, exponential_() in float32  [RNG-3] */

#endif
