/* One request of ports/PROTOCOL.md and its reply: how values are read and written, memory, and how a request ends. */
#ifndef REQUEST_H
#define REQUEST_H

#include <cjson/cJSON.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include "lm_head.h"

#define MAX_AXES 32

/* How a request has ended if not with a result. `give_up` stores it and jumps back to `start` from wherever it is. */
extern struct ending {
    jmp_buf start;
    const char *kind; /* "refused", "skipped" or "errored" */
    lm_code code;
    char words[512];
} ending;

void give_up(const char *kind, const char *format, ...);

/* Gives up if a function of the port has refused its input. */
void check(lm_refusal refusal);

/* Refuses a value that C's types cannot hold. `item` is shown as it was sent. */
void refuse(lm_code why, const char *argument, const cJSON *item, const char *remedy);

/* Memory that lives as long as the request, and its end. */
void *room(size_t count, size_t size);
void free_all(void);

/* ---- reading: `inputs` is an object. What is missing or no such value at all is an error of the request ---- */

int has(const cJSON *inputs, const char *key);
const cJSON *get(const cJSON *inputs, const char *key);
const char *string(const cJSON *inputs, const char *key);

/* Reads a number, or one of the words for numbers that JSON does not have. Returns 0 if it is neither. */
int is_number(const cJSON *item, double *number);

/* One number, or its default if the request leaves it out. The default is nan if it may not. */
double real(const cJSON *inputs, const char *key, lm_code why, double otherwise);

/* An integer. It is refused if it is not one. Values above 2^53 are all clamped to that. */
int64_t count(const cJSON *inputs, const char *key, lm_code why, double otherwise);

/* The place of a word among two, of which the first is the default. */
int one_of(const cJSON *inputs, const char *key, lm_code why, const char *first, const char *second);

uint64_t seed(const cJSON *inputs);

/* A whole number from 0 to below the limit. */
size_t length(const cJSON *item, double limit, const char *what);

typedef struct {
    int axes;
    size_t shape[MAX_AXES], size; /* size: of all axes */
    size_t rows, last;            /* rows: the product of all axes but the last; last: the length of the last */
    float *numbers;
    double *doubles; /* the numbers before they were rounded to float */
    int64_t *ids;    /* in place of both in a tensor of ids */
} tensor;

tensor read_tensor(const cJSON *inputs, const char *key, int axes_needed);

/* A tensor of token ids. */
tensor read_ids(const cJSON *inputs, const char *key);

/* Numbers, or ids, in one axis: a tensor, or a plain list as in a step, whose bad elements are refused as `why`. */
tensor read_list(const cJSON *inputs, const char *key, int of_ids, lm_code why);

/* Returns context (..., d), and stores embedding (V, d) in `embedding`. */
tensor read_factors(const cJSON *inputs, tensor *embedding);

/* Returns the numbers of a vector that has one for each of the last axis of `rows`. */
const float *read_vector(const cJSON *inputs, const char *key, const tensor *rows);

/* How many of V tokens k are. */
size_t at_most(int64_t k, size_t V);

/* Whether `b` has the first `axes` axes of `a` and no other. */
int same_shape(tensor a, tensor b, int axes);

/* The numbers of a `uniform`, one for each row of a tensor. */
const double *read_uniform(const cJSON *inputs, const tensor *rows);

/* ---- writing: everything after `{"seq": N, "result": {`, with which `begin` begins ---- */

void begin(double seq);
void write_number(double x);
void write_shape(const char *key, const char *dtype, const size_t *shape, int axes);
void write_floats(const char *key, const float *numbers, const size_t *shape, int axes);
void write_ids(const char *key, const int64_t *ids, const size_t *shape, int axes);

#endif
