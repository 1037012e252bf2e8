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
 * Arrays are dense and row-major; `rows` may be 0. Inputs are never modified. The output of a stage [rows, V] may be
 * its own input, so that one buffer can go through the whole head. What a stage refuses it says in its return value;
 * its outputs are then not to be used. The rules in brackets are those of reference/SPEC.md.
 */
#ifndef LM_HEAD_H
#define LM_HEAD_H

#include <stddef.h>
#include <stdint.h>

/* Why an input was refused. `lm_name` gives the code's name in the protocol: LM_BAD_K is "bad_k". */
typedef enum {
    LM_OK,
    LM_BAD_DTYPE, /* found by a caller with typed data; this interface takes only float */
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
    LM_BAD_SEED,  /* found by a caller who reads seeds from text */
    LM_BAD_BUNDLE /* found by a caller who reads bundles */
} lm_code;

/* The answer of every stage: `code` is LM_OK or says why, the rest says where  [HEAD-5]. */
typedef struct {
    lm_code code;
    const char *argument; /* which one was bad */
    double value;         /* what it was */
    int64_t row, column;  /* where it stood, -1 where there is no such place */
} lm_refusal;

/* Which tokens survive a tie for the last place: exactly k [TOPK-2], or all that are not below the k-th [TOPK-7]. */
typedef enum { LM_LOWEST_ID, LM_ALL } lm_ties;

const char *lm_name(lm_code code);

/* Writes "logits[0, 3] is nan: what to do" to `text`, cut to `size` bytes. */
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

/* What `temperature` and `k` are where nobody says otherwise. */
#define LM_TEMPERATURE 0.7
#define LM_K 50

/* Stages 1 to 4: (rows, d), (V, d) -> probs (rows, V); `scratch` has room for min(k, V) ids  [HEAD-1]. */
lm_refusal lm_head(const float *context, const float *embedding, size_t rows, size_t V, size_t d, double temperature,
                   int64_t k, int64_t *scratch, float *probs);

/* PyTorch's CPU random stream: MT19937 (Matsumoto & Nishimura 1998). The state carries over from call to call; only
 * the low 32 bits of a seed count, and a negative seed s is 2^64 + s, as C converts it  [RNG-1, RNG-2]. */
typedef struct {
    uint32_t state[624];
    int next;
} lm_rng;

void lm_seed(lm_rng *rng, uint64_t seed);
float lm_uniform32(lm_rng *rng);     /* torch.rand in float32  [RNG-4] */
double lm_uniform64(lm_rng *rng);    /* and in float64 */
double lm_exponential(lm_rng *rng);  /* exponential_() in float64; cast to float, it is that in float32  [RNG-3] */

#endif
