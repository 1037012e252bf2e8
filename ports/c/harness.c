/* Speaks the protocol of ports/PROTOCOL.md for the port: one request per line on standard input, one reply per line on
 * standard output. All memory of a request is freed after its reply. */
#define _POSIX_C_SOURCE 200809L /* getline */
#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "lm_filters.h"
#include "lm_head.h"
#include "lm_penalties.h"
#include "lm_scores.h"
#include "lm_streams.h"
#include "request.h"
#include "steps.h"

static bundle open_one;

/* ---- the operations: each computes its whole result before it writes, since it may refuse until then ---- */

static void hello(const cJSON *inputs, double seq);

static void compute_logits(const cJSON *inputs, double seq) {
    tensor embedding, context = read_factors(inputs, &embedding);
    size_t V = embedding.rows;
    float *logits = room(context.rows * V, sizeof *logits);
    check(lm_compute_logits(context.numbers, embedding.numbers, context.rows, V, context.last, logits));
    context.shape[context.axes - 1] = V; /* (..., d) -> (..., V) */
    begin(seq);
    write_floats("logits", logits, context.shape, context.axes);
}

static void top_k(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    int64_t k = count(inputs, "k", LM_BAD_K, LM_K);
    size_t n = at_most(k, z.last);
    float *values = room(z.rows * n, sizeof *values);
    int64_t *ids = room(z.rows * n, sizeof *ids);
    check(lm_top_k(z.numbers, z.rows, z.last, k, values, ids));
    z.shape[z.axes - 1] = n; /* (..., V) -> (..., n) */
    begin(seq);
    write_floats("values", values, z.shape, z.axes);
    fputs(", ", stdout);
    write_ids("token_ids", ids, z.shape, z.axes);
}

static void softmax(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    float *probs = room(z.size, sizeof *probs);
    check(lm_softmax(z.numbers, z.rows, z.last, probs));
    begin(seq);
    write_floats("probs", probs, z.shape, z.axes);
}

static void multinomial(const cJSON *inputs, double seq) {
    tensor p = read_tensor(inputs, "probs", 1);
    int64_t num_samples = count(inputs, "num_samples", LM_BAD_NUM_SAMPLES, 1);
    float *noise = room(p.size, sizeof *noise);
    if (has(inputs, "noise")) {
        tensor given = read_tensor(inputs, "noise", 0);
        if (!same_shape(p, given, p.axes))
            refuse(LM_BAD_SHAPE, "the shape of noise", get(get(inputs, "noise"), "shape"), "it must be that of probs");
        noise = given.numbers;
    } else {
        lm_rng rng;
        lm_seed(&rng, seed(inputs));
        for (size_t i = 0; i < p.size; i++) noise[i] = (float)lm_exponential(&rng);
    }
    size_t n = at_most(num_samples, p.last); /* more than V are refused below, if there is any row */
    int64_t *ids = room(p.rows * n, sizeof *ids);
    check(lm_multinomial(p.numbers, noise, p.rows, p.last, num_samples, room(p.last, sizeof(float)), ids));
    p.shape[p.axes - 1] = p.rows ? n : (size_t)num_samples; /* (..., V) -> (..., n) */
    begin(seq);
    write_ids("token_ids", ids, p.shape, p.axes);
}

static void inverse_cdf(const cJSON *inputs, double seq) {
    tensor p = read_tensor(inputs, "probs", 1);
    const double *uniform = read_uniform(inputs, &p);
    int64_t *ids = room(p.rows, sizeof *ids);
    check(lm_inverse_cdf(p.numbers, uniform, p.rows, p.last, ids));
    begin(seq);
    write_ids("token_ids", ids, p.shape, p.axes - 1); /* (..., V) -> (...) */
}

static void whole_head(const cJSON *inputs, double seq) {
    tensor embedding, context = read_factors(inputs, &embedding);
    double temperature = real(inputs, "temperature", LM_BAD_TEMPERATURE, LM_TEMPERATURE);
    int64_t k = count(inputs, "k", LM_BAD_K, LM_K);
    size_t V = embedding.rows;
    float *probs = room(context.rows * V, sizeof *probs);
    check(lm_head(context.numbers, embedding.numbers, context.rows, V, context.last, temperature, k,
                  room(at_most(k, V), sizeof(int64_t)), probs));
    context.shape[context.axes - 1] = V; /* (..., d) -> (..., V) */
    begin(seq);
    write_floats("probs", probs, context.shape, context.axes);
}

static void norm(const cJSON *inputs, double seq, int centred) {
    tensor h = read_tensor(inputs, "hidden", 1);
    const float *weight = read_vector(inputs, "weight", &h);
    const float *bias = centred && has(inputs, "bias") ? read_vector(inputs, "bias", &h) : NULL;
    double epsilon = real(inputs, "epsilon", LM_BAD_EPSILON, centred ? 1e-5 : 1e-6);
    double offset = real(inputs, "weight_offset", LM_BAD_WEIGHT, 0);
    float *context = room(h.size, sizeof *context);
    check(centred ? lm_layer_norm(h.numbers, weight, bias, h.rows, h.last, epsilon, offset, context)
                  : lm_rms_norm(h.numbers, weight, h.rows, h.last, epsilon, offset, context));
    begin(seq);
    write_floats("context", context, h.shape, h.axes);
}

static void layer_norm(const cJSON *inputs, double seq) { norm(inputs, seq, 1); }

static void rms_norm(const cJSON *inputs, double seq) { norm(inputs, seq, 0); }

static void torch_rng(const cJSON *inputs, double seq) {
    lm_rng rng;
    lm_seed(&rng, seed(inputs));
    const cJSON *calls = get(inputs, "calls"), *call;
    size_t total = 0, at = 0;
    cJSON_ArrayForEach(call, calls) total += length(get(call, "size"), 0x1p31, "size");
    double *numbers = room(total, sizeof *numbers);
    cJSON_ArrayForEach(call, calls) {
        const char *draw = string(call, "draw"), *dtype = string(call, "dtype");
        int exponential = strcmp(draw, "exponential") == 0, narrow = strcmp(dtype, "float32") == 0;
        if (!exponential && strcmp(draw, "uniform") != 0) give_up("errored", "draw is %.40s", draw);
        if (!narrow && strcmp(dtype, "float64") != 0)
            refuse(LM_BAD_DTYPE, "the dtype of a call", get(call, "dtype"), "it must be float32 or float64");
        for (size_t i = (size_t)get(call, "size")->valuedouble; i-- > 0; at++) {
            double x = exponential ? lm_exponential(&rng) : narrow ? lm_uniform32(&rng) : lm_uniform64(&rng);
            numbers[at] = narrow ? (float)x : x;
        }
    }
    begin(seq);
    printf("\"numbers\": [");
    at = 0;
    cJSON_ArrayForEach(call, calls) {
        size_t size = (size_t)get(call, "size")->valuedouble;
        if (call != calls->child) fputs(", ", stdout);
        write_shape(NULL, string(call, "dtype"), &size, 1);
        for (size_t i = 0; i < size; i++, at++) {
            if (i) putchar(',');
            write_number(numbers[at]);
        }
        printf("]}");
    }
    putchar(']');
}

static void greedy(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    int64_t *ids = room(z.rows, sizeof *ids);
    check(lm_greedy(z.numbers, z.rows, z.last, ids));
    begin(seq);
    write_ids("token_ids", ids, z.shape, z.axes - 1); /* (..., V) -> (...) */
}

static void log_probs(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    check(lm_log_probs(z.numbers, z.rows, z.last, z.numbers));
    begin(seq);
    write_floats("log_probs", z.numbers, z.shape, z.axes);
}

static void top_log_probs(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    int64_t k = count(inputs, "k", LM_BAD_K, 5);
    size_t n = at_most(k, z.last);
    float *values = room(z.rows * n, sizeof *values);
    int64_t *ids = room(z.rows * n, sizeof *ids);
    check(lm_top_log_probs(z.numbers, z.rows, z.last, k, values, ids));
    z.shape[z.axes - 1] = n; /* (..., V) -> (..., n) */
    begin(seq);
    write_floats("log_probs", values, z.shape, z.axes);
    fputs(", ", stdout);
    write_ids("token_ids", ids, z.shape, z.axes);
}

/* The token that each row of logits is asked about. */
static const int64_t *given_ids(const cJSON *inputs, const tensor *logits) {
    tensor ids = read_ids(inputs, "token_ids");
    if (!same_shape(*logits, ids, logits->axes - 1))
        refuse(LM_BAD_SHAPE, "the shape of token_ids", get(get(inputs, "token_ids"), "shape"), "one id for each row");
    return ids.ids;
}

static void rank(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    const int64_t *ids = given_ids(inputs, &z);
    lm_ties ties = one_of(inputs, "ties", LM_BAD_TIES, "lowest_id", "all") ? LM_ALL : LM_LOWEST_ID;
    int64_t *ranks = room(z.rows, sizeof *ranks);
    check(lm_rank(z.numbers, ids, z.rows, z.last, ties, ranks));
    begin(seq);
    write_ids("ranks", ranks, z.shape, z.axes - 1); /* (..., V) -> (...) */
}

static void cross_entropy(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    const int64_t *ids = given_ids(inputs, &z);
    int64_t ignored = count(inputs, "ignore_index", LM_BAD_TOKEN_IDS, -100);
    float loss;
    check(lm_cross_entropy(z.numbers, ids, z.rows, z.last, ignored, &loss));
    begin(seq);
    write_floats("loss", &loss, NULL, 0);
}

static void draw_as(const cJSON *inputs, double seq) {
    tensor p = read_tensor(inputs, "probs", 1);
    const char *name = has(inputs, "runtime") ? cJSON_GetStringValue(get(inputs, "runtime")) : "llama.cpp";
    int runtime = name ? lm_runtime_named(name) : -1;
    if (runtime < 0) refuse(LM_BAD_RUNTIME, "runtime", get(inputs, "runtime"), "it must be one whose stream is known");
    uint64_t number = seed(inputs);
    int64_t *ids = room(p.rows, sizeof *ids), *order = room(p.last, sizeof *order);
    check(lm_draw_as(p.numbers, p.rows, p.last, (lm_runtime)runtime, number, room(p.last, sizeof(float)), order, ids));
    begin(seq);
    write_ids("token_ids", ids, p.shape, p.axes - 1); /* (..., V) -> (...) */
}

static void open_bundle(const cJSON *inputs, double seq) {
    const char *why = bundle_open(string(inputs, "path"), &open_one);
    if (why) refuse(LM_BAD_BUNDLE, "path", get(inputs, "path"), why);
    begin(seq);
    printf("\"vocab_size\": %zu, \"hidden_size\": %zu, \"contexts\": %zu", open_one.V, open_one.d, open_one.contexts);
}

static const float *context_of(const cJSON *which) {
    if (!open_one.embedding) give_up("errored", "no bundle is open");
    return open_one.context + length(which, (double)open_one.contexts, "the number of a context") * open_one.d;
}

/* The head of the open bundle, on one context: as lm_head, with the finish of the logits before the temperature. */
static void probabilities(const float *context, double temperature, int64_t k, int64_t *scratch, float *probs) {
    const bundle *b = &open_one;
    check(lm_compute_logits(context, b->embedding, 1, b->V, b->d, probs));
    check(lm_finish_logits(probs, b->bias, 1, b->V, b->multiplier, b->divisor, b->cap, probs));
    check(lm_apply_temperature(probs, 1, b->V, temperature, probs));
    check(lm_keep_top_k(probs, 1, b->V, k, LM_LOWEST_ID, scratch, probs));
    check(lm_softmax(probs, 1, b->V, probs));
}

static void step(const cJSON *inputs, double seq) {
    const float *context = context_of(get(inputs, "context"));
    double temperature = real(inputs, "temperature", LM_BAD_TEMPERATURE, LM_TEMPERATURE);
    int64_t k = count(inputs, "k", LM_BAD_K, LM_K), id;
    double uniform = real(inputs, "uniform", LM_BAD_UNIFORM, NAN);
    size_t V = open_one.V;
    float *probs = room(V, sizeof *probs);
    probabilities(context, temperature, k, room(at_most(k, V), sizeof(int64_t)), probs);
    check(lm_inverse_cdf(probs, &uniform, 1, V, &id));
    begin(seq);
    write_floats("probs", probs, &V, 1);
    printf(", \"token_id\": %lld", (long long)id);
}

static void sequence(const cJSON *inputs, double seq) {
    const cJSON *steps = get(inputs, "contexts"), *batch, *which;
    double temperature = real(inputs, "temperature", LM_BAD_TEMPERATURE, LM_TEMPERATURE);
    int64_t k = count(inputs, "k", LM_BAD_K, LM_K);
    size_t V = open_one.V, rows = 0, at = 0;
    cJSON_ArrayForEach(batch, steps) rows += (size_t)cJSON_GetArraySize(batch);
    int64_t *ids = room(rows, sizeof *ids), *scratch = room(at_most(k, V), sizeof *scratch);
    float *probs = room(V, sizeof *probs), *noise = room(V, sizeof *noise), *race = room(V, sizeof *race);
    lm_rng rng; /* one stream for all steps, never seeded again: V numbers for each row of each step (RNG-5) */
    lm_seed(&rng, seed(inputs));
    cJSON_ArrayForEach(batch, steps) {
        cJSON_ArrayForEach(which, batch) {
            probabilities(context_of(which), temperature, k, scratch, probs);
            for (size_t v = 0; v < V; v++) noise[v] = (float)lm_exponential(&rng);
            check(lm_multinomial(probs, noise, 1, V, 1, race, &ids[at++]));
        }
    }
    begin(seq);
    printf("\"token_ids\": [");
    at = 0;
    cJSON_ArrayForEach(batch, steps) {
        fputs(batch == steps->child ? "[" : ", [", stdout);
        cJSON_ArrayForEach(which, batch) printf(which == batch->child ? "%lld" : ", %lld", (long long)ids[at++]);
        putchar(']');
    }
    putchar(']');
}

static void stop(const cJSON *inputs, double seq) {
    (void)inputs;
    begin(seq);
}

static const operation OPERATIONS[] = {
    {"hello", hello, NULL, ""},
    {"compute_logits", compute_logits, NULL, ""},
    {"apply_temperature", NULL, apply_temperature, "temperature"},
    {"top_k", top_k, NULL, ""},
    {"keep_top_k", NULL, keep_top_k, "k ties?"},
    {"softmax", softmax, NULL, ""},
    {"multinomial", multinomial, NULL, ""},
    {"inverse_cdf", inverse_cdf, NULL, ""},
    {"lm_head", whole_head, NULL, ""},
    {"torch_rng", torch_rng, NULL, ""},
    {"layer_norm", layer_norm, NULL, ""},
    {"rms_norm", rms_norm, NULL, ""},
    {"finish_logits", NULL, finish_logits, "bias? multiplier? divisor? cap?"},
    {"keep_top_p", NULL, keep_top_p, "p until? ties?"},
    {"keep_min_p", NULL, keep_min_p, "p"},
    {"keep_typical", NULL, keep_typical, "mass"},
    {"keep_epsilon", NULL, keep_epsilon, "cutoff"},
    {"keep_eta", NULL, keep_eta, "cutoff"},
    {"keep_top_h", NULL, keep_top_h, "h"},
    {"keep_top_n_sigma", NULL, keep_top_n_sigma, "n"},
    {"keep_xtc", NULL, keep_xtc, "threshold probability"},
    {"greedy", greedy, NULL, ""},
    {"repetition_penalty", NULL, repetition_penalty, "history penalty"},
    {"frequency_penalty", NULL, frequency_penalty, "history penalty"},
    {"presence_penalty", NULL, presence_penalty, "history penalty"},
    {"logit_bias", NULL, logit_bias, "biased biases"},
    {"ban", NULL, ban, "banned"},
    {"no_repeat_ngram", NULL, no_repeat_ngram, "history ngram_size"},
    {"min_length", NULL, min_length, "history length end_ids"},
    {"process", process, NULL, ""},
    {"log_probs", log_probs, NULL, ""},
    {"top_log_probs", top_log_probs, NULL, ""},
    {"rank", rank, NULL, ""},
    {"cross_entropy", cross_entropy, NULL, ""},
    {"draw_as", draw_as, NULL, ""},
    {"open_bundle", open_bundle, NULL, ""},
    {"step", step, NULL, ""},
    {"sequence", sequence, NULL, ""},
    {"stop", stop, NULL, ""},
};
#define OPERATION_COUNT (sizeof OPERATIONS / sizeof *OPERATIONS)

const operation *find(const char *name) {
    for (size_t i = 0; i < OPERATION_COUNT; i++)
        if (strcmp(name, OPERATIONS[i].name) == 0) return &OPERATIONS[i];
    return NULL;
}

static void hello(const cJSON *inputs, double seq) {
    if (length(get(inputs, "protocol"), 0x1p31, "protocol") != 1) give_up("errored", "this port speaks protocol 1");
    begin(seq);
    printf("\"protocol\": 1, \"name\": \"lm_head.c\", \"version\": \"1\", \"language\": \"C\", "
           "\"dtypes\": [\"float32\", \"float16\", \"bfloat16\"], \"ties\": [\"lowest_id\", \"all\"], "
           "\"bundle_versions\": [2, 3], \"operations\": [");
    for (size_t i = 0; i < OPERATION_COUNT; i++) printf(i ? ", \"%s\"" : "\"%s\"", OPERATIONS[i].name);
    putchar(']');
}

/* Answers one line. Returns 1 if it was a request to stop. */
static int answer(const char *line, size_t size) {
    const char *end = NULL;
    int text = memchr(line, 0, size) == NULL; /* a zero byte would end the string before the end of the line */
    cJSON *request = text ? cJSON_ParseWithLengthOpts(line, size + 1, &end, 1) : NULL;
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(request, "seq");
    const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(request, "inputs");
    const char *op = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "op"));
    double seq = cJSON_IsNumber(number) ? number->valuedouble : 0;
    int stopping = 0;
    ending.kind = NULL;
    if (setjmp(ending.start) == 0) {
        if (!cJSON_IsNumber(number) || !op || !cJSON_IsObject(inputs))
            give_up("errored", "a line that is not a request: it must be a JSON object with seq, op and inputs");
        const operation *asked = find(op);
        if (!asked) give_up("skipped", "no operation %.80s in this port", op);
        if (asked->run)
            asked->run(inputs, seq);
        else
            run_step(asked, inputs, seq);
        fputs("}}\n", stdout);
    } else {
        cJSON *why = cJSON_CreateString(ending.words); /* so that the message is escaped when it is printed */
        char *json = cJSON_PrintUnformatted(why);
        if (cJSON_IsNumber(number))
            printf("{\"seq\": %.0f, ", number->valuedouble);
        else
            printf("{\"seq\": null, ");
        if (strcmp(ending.kind, "refused") == 0)
            printf("\"refused\": {\"code\": \"%s\", \"message\": %s}}\n", lm_name(ending.code), json);
        else
            printf("\"%s\": %s}\n", ending.kind, json);
        cJSON_free(json);
        cJSON_Delete(why);
    }
    fflush(stdout);
    stopping = !ending.kind && op && strcmp(op, "stop") == 0;
    cJSON_Delete(request);
    free_all();
    return stopping;
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while ((size = getline(&line, &capacity, stdin)) > 0)
        if (answer(line, (size_t)size)) break;
    free(line);
    bundle_close(&open_one);
    return 0;
}
