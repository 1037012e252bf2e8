/* The functions from logits to logits. Each reads its own arguments and changes the logits in place. A request is for
 * one of them, or `process` for several, one after the other. */
#ifndef STEPS_H
#define STEPS_H

#include "request.h"

typedef struct {
    tensor logits;
    const int64_t *history; /* the ids that count, n for each row */
    size_t n;
    const cJSON *inputs; /* of the request, which has the `uniform`; a step has none of its own */
    int of_process;      /* in which "ties" may be "any" */
} pipeline;

typedef void step_function(const cJSON *arguments, pipeline *p);

step_function apply_temperature, keep_top_k, finish_logits;
step_function keep_top_p, keep_min_p, keep_typical, keep_epsilon, keep_eta, keep_top_h, keep_top_n_sigma, keep_xtc;
step_function repetition_penalty, frequency_penalty, presence_penalty, logit_bias, ban, no_repeat_ngram, min_length;

/* An operation has its own function, or it is a step. `takes` names the arguments of a step beside the logits. In a
 * pipeline only those with a question mark may be left out; a request for one step may leave out all with a default. */
typedef struct {
    const char *name;
    void (*run)(const cJSON *inputs, double seq);
    step_function *apply;
    const char *takes;
} operation;

const operation *find(const char *name); /* in the table of harness.c; NULL if it is not there */

void run_step(const operation *step, const cJSON *inputs, double seq);
void process(const cJSON *inputs, double seq);

#endif
