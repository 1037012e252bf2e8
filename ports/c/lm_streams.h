/* The tokens that other runtimes draw from a seed: their generators, their order, their walks and races. PyTorch's own
 * stream is in lm_head.h. */
#ifndef LM_STREAMS_H
#define LM_STREAMS_H

#include "lm_head.h"

typedef enum { LM_LLAMA_CPP, LM_LLAMA2_C, LM_LLM_C, LM_TRANSFORMERS_JS, LM_JAX, LM_NUMPY, LM_NANOCHAT } lm_runtime;

/* The runtime of a name such as "llama.cpp"; -1 if there is none. */
int lm_runtime_named(const char *name);

/* probs (rows, V) -> ids (rows): the first tokens that the runtime draws from the seed, one for each row; `scratch` has
 * room for V numbers, `order` for V ids  [STREAM-1 to STREAM-7]. */
lm_refusal lm_draw_as(const float *probs, size_t rows, size_t V, lm_runtime runtime, uint64_t seed, float *scratch,
                      int64_t *order, int64_t *ids);

#endif
