/* The functions from logits to logits. Each reads its own arguments and changes the logits in place: an operation is one
 * of them, and `process` is several, one after the other. */
#ifndef STEPS_H
#define STEPS_H

#include "request.h"

typedef struct {
    tensor logits;
    const int64_t *history; /* the ids that count, n for each row */
    size_t n;
    const cJSON *inputs; /* of the request, which has the `uniform`; a step has none of its own */
    int of_process;      /* "ties" may be "any" in a step, which leaves them open: the lowest id here */
} pipeline;

typedef void step_function(const cJSON *arguments, pipeline *p);

step_function apply_temperature, keep_top_k, finish_logits;
step_function keep_top_p, keep_min_p, keep_typical, keep_epsilon, keep_eta, keep_top_h, keep_top_n_sigma, keep_xtc;
step_function repetition_penalty, frequency_penalty, presence_penalty, logit_bias, ban, no_repeat_ngram, min_length;

#endif
