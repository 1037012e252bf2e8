/* Speaks the protocol of ports/PROTOCOL.md for lm_head.c: one request per line on standard input, one reply per line on
 * standard output. All memory of a request is freed after its reply. */
#define _POSIX_C_SOURCE 200809L /* getline */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"
#include "lm_head.h"

#define MAX_AXES 32

/* A request ends with a result, or with another outcome. For the latter, `give_up` stores the message and jumps back to
 * the loop from wherever it is. */
static jmp_buf other_outcome;
static const char *outcome; /* "refused", "skipped" or "errored" */
static lm_code code;
static char words[512];
static bundle open_one;

/* Memory that lives as long as the request: a list, since a jump leaves no function the chance to free its own. */
typedef union block {
    union block *next;
    double aligned;
} block;
static block *blocks;

static void give_up(const char *kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    outcome = kind;
    longjmp(other_outcome, 1);
}

static void *room(size_t count, size_t size) {
    block *b = count < SIZE_MAX / 2 / size ? malloc(sizeof *b + count * size) : NULL;
    if (!b) give_up("errored", "no memory for %zu elements of %zu bytes", count, size);
    b->next = blocks;
    blocks = b;
    return b + 1;
}

static void check(lm_refusal refusal) {
    if (refusal.code == LM_OK) return;
    char text[sizeof words];
    code = refusal.code;
    lm_describe(refusal, text, sizeof text);
    give_up("refused", "%s", text);
}

/* Refuses a value that C's types cannot hold. `item` is shown as it was sent. */
static void refuse(lm_code why, const char *argument, const cJSON *item, const char *remedy) {
    char value[80];
    if (!cJSON_PrintPreallocated((cJSON *)item, value, sizeof value, 0)) strcpy(value, "too long to show");
    code = why;
    give_up("refused", "%s is %s: %s", argument, value, remedy);
}

/* ---- reading ---- */

static int has(const cJSON *inputs, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(inputs, key) != NULL; /* cJSON_HasObjectItem takes "K" for "k" */
}

static const cJSON *get(const cJSON *inputs, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(inputs, key);
    if (!item) give_up("errored", "the inputs lack %s", key);
    return item;
}

static const char *string(const cJSON *inputs, const char *key) {
    const char *text = cJSON_GetStringValue(get(inputs, key));
    if (!text) give_up("errored", "%s is not text", key);
    return text;
}

/* Reads a number, or one of the words for numbers that JSON does not have. Returns 0 if it is neither. */
static int is_number(const cJSON *item, double *number) {
    static const struct {
        const char *word;
        double value;
    } WORDS[] = {{"inf", INFINITY}, {"-inf", -INFINITY}, {"nan", NAN}, {"-0", -0.0}};
    if (cJSON_IsNumber(item)) {
        *number = item->valuedouble; /* not valueint, which is clamped to 32 bits */
        return 1;
    }
    for (size_t i = 0; cJSON_IsString(item) && i < 4; i++) {
        if (strcmp(item->valuestring, WORDS[i].word) == 0) {
            *number = WORDS[i].value;
            return 1;
        }
    }
    return 0;
}

/* One number, or its default if the request leaves it out. The default is nan if it may not. */
static double real(const cJSON *inputs, const char *key, lm_code why, double otherwise) {
    double number = NAN;
    if (!has(inputs, key) && !isnan(otherwise)) return otherwise;
    if (!is_number(get(inputs, key), &number)) refuse(why, key, get(inputs, key), "it must be one number");
    return number;
}

/* k or num_samples. It is refused if it is not an integer. Values above 2^53 are all clamped to that. */
static int64_t count(const cJSON *inputs, const char *key, lm_code why, double otherwise) {
    double number = real(inputs, key, why, otherwise);
    if (number != floor(number) || isinf(number)) refuse(why, key, get(inputs, key), "it must be an integer");
    return (int64_t)fmax(-0x1p53, fmin(number, 0x1p53));
}

static uint64_t seed(const cJSON *inputs) {
    const char *text = cJSON_GetStringValue(get(inputs, "seed"));
    const char *digits = text && *text == '-' ? text + 1 : text;
    if (!digits || !*digits || strspn(digits, "0123456789") != strlen(digits))
        refuse(LM_BAD_SEED, "seed", get(inputs, "seed"), "it must be an integer, in a string");
    errno = 0;
    uint64_t number = *text == '-' ? (uint64_t)strtoll(text, NULL, 10) : strtoull(text, NULL, 10);
    if (errno == ERANGE) refuse(LM_BAD_SEED, "seed", get(inputs, "seed"), "it must be from -2^63 to 2^64 - 1");
    return number;
}

static size_t length(const cJSON *item, double limit, const char *what) {
    double n = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(n >= 0 && n < limit && n == floor(n))) give_up("errored", "%s is not a whole number from 0 to %.0f", what, limit - 1);
    return (size_t)n;
}

typedef struct {
    int axes;
    size_t shape[MAX_AXES], size; /* size: of all axes */
    size_t rows, last;            /* rows: the product of all axes but the last; last: the length of the last */
    float *numbers;
    double *doubles; /* the numbers before they were rounded to float */
} tensor;

static tensor read_tensor(const cJSON *inputs, const char *key, int axes_needed) {
    tensor t = {0, {0}, 1, 1, 1, NULL, NULL};
    const cJSON *json = get(inputs, key), *shape = get(json, "shape"), *data = get(json, "data"), *item;
    const char *dtype = string(json, "dtype");
    if (strcmp(dtype, "int64") == 0 || strcmp(dtype, "bool") == 0)
        refuse(LM_BAD_DTYPE, key, get(json, "dtype"), "convert it to float32");
    /* Every 16-bit float is a float32 number too. Only `uniform` may be float64: it never sets the compute dtype. */
    int small = strcmp(dtype, "float32") == 0 || strcmp(dtype, "float16") == 0 || strcmp(dtype, "bfloat16") == 0;
    if (!small && strcmp(key, "uniform") != 0) give_up("skipped", "%s is %.20s: this port has float32", key, dtype);
    cJSON_ArrayForEach(item, shape) {
        if (t.axes == MAX_AXES) give_up("errored", "%s has more than %d axes", key, MAX_AXES);
        t.shape[t.axes++] = length(item, 0x1p31, "the length of an axis");
    }
    size_t given = 0;
    cJSON_ArrayForEach(item, data) given++;
    for (int i = 0; i < t.axes; i++) {
        size_t n = t.last = t.shape[i];
        if (i + 1 < t.axes && n && t.rows > 0x7fffffffu / n) give_up("errored", "%s has too many rows", key);
        if (i + 1 < t.axes) t.rows *= n;
    }
    t.size = t.rows * t.last; /* both below 2^31 */
    if (given != t.size) give_up("errored", "%s has %zu numbers, its shape asks for %zu", key, given, t.size);
    if (t.axes < axes_needed) refuse(LM_BAD_SHAPE, key, data, "it is a single number and needs an axis");
    t.numbers = room(t.size, sizeof *t.numbers);
    t.doubles = room(t.size, sizeof *t.doubles);
    size_t i = 0;
    cJSON_ArrayForEach(item, data) {
        if (!is_number(item, &t.doubles[i])) give_up("errored", "%s: element %zu is not a number", key, i);
        t.numbers[i] = (float)t.doubles[i];
        i++;
    }
    return t;
}

/* Returns context (..., d), and stores embedding (V, d) in `embedding`. */
static tensor read_factors(const cJSON *inputs, tensor *embedding) {
    tensor context = read_tensor(inputs, "context", 1);
    *embedding = read_tensor(inputs, "embedding", 0);
    if (embedding->axes != 2 || context.last != embedding->last)
        refuse(LM_BAD_SHAPE, "the shape of embedding", get(get(inputs, "embedding"), "shape"),
               "it must be (V, d), d being the last axis of context, and not its transpose");
    return context;
}

/* Returns the numbers of a vector that has one for each of the last axis of `rows`. */
static const float *read_vector(const cJSON *inputs, const char *key, const tensor *rows) {
    tensor vector = read_tensor(inputs, key, 0);
    if (vector.axes != 1 || vector.last != rows->last)
        refuse(LM_BAD_SHAPE, key, get(get(inputs, key), "shape"), "it must have one axis, as long as the last one");
    return vector.numbers;
}

static size_t at_most(int64_t k, size_t V) { return k < 1 ? 0 : (uint64_t)k < V ? (size_t)k : V; }

/* ---- writing: everything after `{"seq": N, "result": {` ---- */

static void write_number(double x) {
    if (isnan(x))
        fputs("\"nan\"", stdout);
    else if (isinf(x))
        fputs(x > 0 ? "\"inf\"" : "\"-inf\"", stdout);
    else if (x == 0)
        fputs(signbit(x) ? "\"-0\"" : "0", stdout);
    else
        printf("%.17g", x); /* cJSON may print only 15 digits of a double, and these may read as another number */
}

static void write_shape(const char *key, const char *dtype, const size_t *shape, int axes) {
    if (key) printf("\"%s\": ", key);
    printf("{\"dtype\": \"%s\", \"shape\": [", dtype);
    for (int i = 0; i < axes; i++) printf(i ? ", %zu" : "%zu", shape[i]);
    printf("], \"data\": [");
}

static void write_floats(const char *key, const float *numbers, const size_t *shape, int axes) {
    size_t size = 1;
    for (int i = 0; i < axes; i++) size *= shape[i];
    write_shape(key, "float32", shape, axes);
    for (size_t i = 0; i < size; i++) {
        if (i) putchar(',');
        write_number(numbers[i]);
    }
    printf("]}");
}

static void write_ids(const int64_t *ids, const size_t *shape, int axes) {
    size_t size = 1;
    for (int i = 0; i < axes; i++) size *= shape[i];
    write_shape("token_ids", "int64", shape, axes);
    for (size_t i = 0; i < size; i++) printf(i ? ",%lld" : "%lld", (long long)ids[i]);
    printf("]}");
}

static void begin(double seq) { printf("{\"seq\": %.0f, \"result\": {", seq); }

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

static void apply_temperature(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    double temperature = real(inputs, "temperature", LM_BAD_TEMPERATURE, LM_TEMPERATURE);
    float *scaled = room(z.size, sizeof *scaled);
    check(lm_apply_temperature(z.numbers, z.rows, z.last, temperature, scaled));
    begin(seq);
    write_floats("logits", scaled, z.shape, z.axes);
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
    write_ids(ids, z.shape, z.axes);
}

static void keep_top_k(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    int64_t k = count(inputs, "k", LM_BAD_K, LM_K);
    const char *word = has(inputs, "ties") ? cJSON_GetStringValue(get(inputs, "ties")) : "lowest_id";
    lm_ties ties = word && strcmp(word, "lowest_id") == 0 ? LM_LOWEST_ID : LM_ALL;
    if (!word || (ties == LM_ALL && strcmp(word, "all") != 0))
        refuse(LM_BAD_TIES, "ties", get(inputs, "ties"), "it must be lowest_id or all");
    float *kept = room(z.size, sizeof *kept);
    check(lm_keep_top_k(z.numbers, z.rows, z.last, k, ties, room(at_most(k, z.last), sizeof(int64_t)), kept));
    begin(seq);
    write_floats("logits", kept, z.shape, z.axes);
}

static void softmax(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    float *probs = room(z.size, sizeof *probs);
    check(lm_softmax(z.numbers, z.rows, z.last, probs));
    begin(seq);
    write_floats("probs", probs, z.shape, z.axes);
}

static int same_shape(tensor a, tensor b, int axes) {
    return axes == b.axes && memcmp(a.shape, b.shape, (size_t)axes * sizeof *a.shape) == 0;
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
    write_ids(ids, p.shape, p.axes);
}

static void inverse_cdf(const cJSON *inputs, double seq) {
    tensor p = read_tensor(inputs, "probs", 1), uniform = read_tensor(inputs, "uniform", 0);
    if (!same_shape(p, uniform, p.axes - 1))
        refuse(LM_BAD_SHAPE, "the shape of uniform", get(get(inputs, "uniform"), "shape"), "one number for each row");
    int64_t *ids = room(p.rows, sizeof *ids);
    check(lm_inverse_cdf(p.numbers, uniform.doubles, p.rows, p.last, ids));
    begin(seq);
    write_ids(ids, p.shape, p.axes - 1); /* (..., V) -> (...) */
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

static void finish_logits(const cJSON *inputs, double seq) {
    tensor z = read_tensor(inputs, "logits", 1);
    const float *bias = has(inputs, "bias") ? read_vector(inputs, "bias", &z) : NULL;
    double multiplier = real(inputs, "multiplier", LM_BAD_SCALE, 1), divisor = real(inputs, "divisor", LM_BAD_SCALE, 1);
    double cap = real(inputs, "cap", LM_BAD_SCALE, INFINITY);
    float *finished = room(z.size, sizeof *finished);
    check(lm_finish_logits(z.numbers, bias, z.rows, z.last, multiplier, divisor, cap, finished));
    begin(seq);
    write_floats("logits", finished, z.shape, z.axes);
}

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

static const struct {
    const char *name;
    void (*run)(const cJSON *inputs, double seq);
} OPERATIONS[] = {
    {"hello", hello},
    {"compute_logits", compute_logits},
    {"apply_temperature", apply_temperature},
    {"top_k", top_k},
    {"keep_top_k", keep_top_k},
    {"softmax", softmax},
    {"multinomial", multinomial},
    {"inverse_cdf", inverse_cdf},
    {"lm_head", whole_head},
    {"torch_rng", torch_rng},
    {"layer_norm", layer_norm},
    {"rms_norm", rms_norm},
    {"finish_logits", finish_logits},
    {"open_bundle", open_bundle},
    {"step", step},
    {"sequence", sequence},
    {"stop", stop},
};
#define OPERATION_COUNT (sizeof OPERATIONS / sizeof *OPERATIONS)

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
    outcome = NULL;
    if (setjmp(other_outcome) == 0) {
        if (!cJSON_IsNumber(number) || !op || !cJSON_IsObject(inputs))
            give_up("errored", "a line that is not a request: it must be a JSON object with seq, op and inputs");
        size_t i = 0;
        while (i < OPERATION_COUNT && strcmp(op, OPERATIONS[i].name) != 0) i++;
        if (i == OPERATION_COUNT) give_up("skipped", "no operation %.80s in this port", op);
        OPERATIONS[i].run(inputs, seq);
        fputs("}}\n", stdout);
    } else {
        cJSON *why = cJSON_CreateString(words); /* so that the message is escaped when it is printed */
        char *json = cJSON_PrintUnformatted(why);
        if (cJSON_IsNumber(number))
            printf("{\"seq\": %.0f, ", number->valuedouble);
        else
            printf("{\"seq\": null, ");
        if (strcmp(outcome, "refused") == 0)
            printf("\"refused\": {\"code\": \"%s\", \"message\": %s}}\n", lm_name(code), json);
        else
            printf("\"%s\": %s}\n", outcome, json);
        cJSON_free(json);
        cJSON_Delete(why);
    }
    fflush(stdout);
    stopping = !outcome && op && strcmp(op, "stop") == 0;
    cJSON_Delete(request);
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
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
