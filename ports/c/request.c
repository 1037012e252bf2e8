#include "request.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ending ending;

/* A list of what was allocated: a jump leaves no function the chance to free its own. */
typedef union block {
    union block *next;
    double aligned;
} block;
static block *blocks;

void give_up(const char *kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ending.words, sizeof ending.words, format, arguments);
    va_end(arguments);
    ending.kind = kind;
    longjmp(ending.start, 1);
}

void *room(size_t count, size_t size) {
    block *b = count < SIZE_MAX / 2 / size ? malloc(sizeof *b + count * size) : NULL;
    if (!b) give_up("errored", "no memory for %zu elements of %zu bytes", count, size);
    b->next = blocks;
    blocks = b;
    return b + 1;
}

void free_all(void) {
    while (blocks) {
        block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

void check(lm_refusal refusal) {
    if (refusal.code == LM_OK) return;
    char text[sizeof ending.words];
    ending.code = refusal.code;
    lm_describe(refusal, text, sizeof text);
    give_up("refused", "%s", text);
}

void refuse(lm_code why, const char *argument, const cJSON *item, const char *remedy) {
    char value[80];
    if (!cJSON_PrintPreallocated((cJSON *)item, value, sizeof value, 0)) strcpy(value, "too long to show");
    ending.code = why;
    give_up("refused", "%s is %s: %s", argument, value, remedy);
}

int has(const cJSON *inputs, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(inputs, key) != NULL; /* cJSON_HasObjectItem takes "K" for "k" */
}

const cJSON *get(const cJSON *inputs, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(inputs, key);
    if (!item) give_up("errored", "the inputs lack %s", key);
    return item;
}

const char *string(const cJSON *inputs, const char *key) {
    const char *text = cJSON_GetStringValue(get(inputs, key));
    if (!text) give_up("errored", "%s is not text", key);
    return text;
}

int is_number(const cJSON *item, double *number) {
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

double real(const cJSON *inputs, const char *key, lm_code why, double otherwise) {
    double number = NAN;
    if (!has(inputs, key) && !isnan(otherwise)) return otherwise;
    if (!is_number(get(inputs, key), &number)) refuse(why, key, get(inputs, key), "it must be one number");
    return number;
}

int64_t count(const cJSON *inputs, const char *key, lm_code why, double otherwise) {
    double number = real(inputs, key, why, otherwise);
    if (number != floor(number) || isinf(number)) refuse(why, key, get(inputs, key), "it must be an integer");
    return (int64_t)fmax(-0x1p53, fmin(number, 0x1p53));
}

int one_of(const cJSON *inputs, const char *key, lm_code why, const char *first, const char *second) {
    const char *word = has(inputs, key) ? cJSON_GetStringValue(get(inputs, key)) : first;
    int place = word && strcmp(word, first) == 0 ? 0 : 1;
    if (!word || (place == 1 && strcmp(word, second) != 0)) {
        char remedy[80];
        snprintf(remedy, sizeof remedy, "it must be %s or %s", first, second);
        refuse(why, key, get(inputs, key), remedy);
    }
    return place;
}

uint64_t seed(const cJSON *inputs) {
    const char *text = cJSON_GetStringValue(get(inputs, "seed"));
    const char *digits = text && *text == '-' ? text + 1 : text;
    if (!digits || !*digits || strspn(digits, "0123456789") != strlen(digits))
        refuse(LM_BAD_SEED, "seed", get(inputs, "seed"), "it must be an integer, in a string");
    errno = 0;
    uint64_t number = *text == '-' ? (uint64_t)strtoll(text, NULL, 10) : strtoull(text, NULL, 10);
    if (errno == ERANGE) refuse(LM_BAD_SEED, "seed", get(inputs, "seed"), "it must be from -2^63 to 2^64 - 1");
    return number;
}

size_t length(const cJSON *item, double limit, const char *what) {
    double n = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(n >= 0 && n < limit && n == floor(n)))
        give_up("errored", "%s is not a whole number from 0 to %.0f", what, limit - 1);
    return (size_t)n;
}

/* The shape of a tensor, and whether its data has as many elements. */
static tensor read_form(const cJSON *json, const char *key) {
    tensor t = {0, {0}, 1, 1, 1, NULL, NULL, NULL};
    const cJSON *shape = get(json, "shape"), *data = get(json, "data"), *item;
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
    return t;
}

static void read_floats(tensor *t, const cJSON *data, const char *key) {
    const cJSON *item;
    size_t i = 0;
    t->numbers = room(t->size, sizeof *t->numbers);
    t->doubles = room(t->size, sizeof *t->doubles);
    cJSON_ArrayForEach(item, data) {
        if (!is_number(item, &t->doubles[i])) give_up("errored", "%s: element %zu is not a number", key, i);
        t->numbers[i] = (float)t->doubles[i];
        i++;
    }
}

tensor read_tensor(const cJSON *inputs, const char *key, int axes_needed) {
    const cJSON *json = get(inputs, key);
    const char *dtype = string(json, "dtype");
    if (strcmp(dtype, "int64") == 0 || strcmp(dtype, "bool") == 0)
        refuse(LM_BAD_DTYPE, key, get(json, "dtype"), "convert it to float32");
    /* Every 16-bit float is a float32 number too. Only `uniform` may be float64: it never sets the compute dtype. */
    int small = strcmp(dtype, "float32") == 0 || strcmp(dtype, "float16") == 0 || strcmp(dtype, "bfloat16") == 0;
    if (!small && strcmp(key, "uniform") != 0) give_up("skipped", "%s is %.20s: this port has float32", key, dtype);
    tensor t = read_form(json, key);
    if (t.axes < axes_needed) refuse(LM_BAD_SHAPE, key, get(json, "data"), "it is a single number and needs an axis");
    read_floats(&t, get(json, "data"), key);
    return t;
}

/* Whether it is an integer; ids beyond 2^62 are all clamped to that, which is outside of every vocabulary. */
static int is_id(const cJSON *item, int64_t *id) {
    double number = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (!(number == floor(number)) || isinf(number)) return 0;
    *id = (int64_t)fmax(-0x1p62, fmin(number, 0x1p62));
    return 1;
}

tensor read_ids(const cJSON *inputs, const char *key) {
    const cJSON *json = get(inputs, key), *item;
    const char *dtype = string(json, "dtype");
    tensor t = read_form(json, key);
    if (t.size && strcmp(dtype, "int64") != 0) /* where there are none, any dtype will do */
        refuse(LM_BAD_DTYPE, key, get(json, "dtype"), "token ids are integers");
    t.ids = room(t.size, sizeof *t.ids);
    size_t i = 0;
    cJSON_ArrayForEach(item, get(json, "data")) {
        if (!is_id(item, &t.ids[i])) give_up("errored", "%s: element %zu is not an integer", key, i);
        i++;
    }
    return t;
}

tensor read_list(const cJSON *inputs, const char *key, int of_ids, lm_code why) {
    const cJSON *list = get(inputs, key), *item;
    if (cJSON_IsObject(list)) {
        tensor t = of_ids ? read_ids(inputs, key) : read_tensor(inputs, key, 0);
        if (t.axes != 1) refuse(LM_BAD_SHAPE, key, get(list, "shape"), "it must have one axis");
        return t;
    }
    if (!cJSON_IsArray(list)) refuse(LM_BAD_SHAPE, key, list, "it must be a list");
    size_t n = (size_t)cJSON_GetArraySize(list), i = 0;
    tensor t = {1, {n}, n, 1, n, NULL, NULL, NULL};
    int64_t id;
    double number;
    cJSON_ArrayForEach(item, list) {
        if (cJSON_IsArray(item)) refuse(LM_BAD_SHAPE, key, list, "it must have one axis");
        if (of_ids ? !is_id(item, &id) : !is_number(item, &number))
            refuse(why, key, item, of_ids ? "token ids are integers" : "it must be a number");
    }
    if (!of_ids) {
        read_floats(&t, list, key);
        return t;
    }
    t.ids = room(n, sizeof *t.ids);
    cJSON_ArrayForEach(item, list) is_id(item, &t.ids[i++]);
    return t;
}

tensor read_factors(const cJSON *inputs, tensor *embedding) {
    tensor context = read_tensor(inputs, "context", 1);
    *embedding = read_tensor(inputs, "embedding", 0);
    if (embedding->axes != 2 || context.last != embedding->last)
        refuse(LM_BAD_SHAPE, "the shape of embedding", get(get(inputs, "embedding"), "shape"),
               "it must be (V, d), d being the last axis of context, and not its transpose");
    return context;
}

const float *read_vector(const cJSON *inputs, const char *key, const tensor *rows) {
    tensor vector = read_list(inputs, key, 0, LM_BAD_WEIGHT);
    if (vector.last != rows->last) refuse(LM_BAD_SHAPE, key, get(inputs, key), "it must be as long as the last axis");
    return vector.numbers;
}

size_t at_most(int64_t k, size_t V) { return k < 1 ? 0 : (uint64_t)k < V ? (size_t)k : V; }

int same_shape(tensor a, tensor b, int axes) {
    return axes == b.axes && memcmp(a.shape, b.shape, (size_t)axes * sizeof *a.shape) == 0;
}

const double *read_uniform(const cJSON *inputs, const tensor *rows) {
    tensor uniform = read_tensor(inputs, "uniform", 0);
    if (!same_shape(*rows, uniform, rows->axes - 1))
        refuse(LM_BAD_SHAPE, "the shape of uniform", get(get(inputs, "uniform"), "shape"), "one number for each row");
    return uniform.doubles;
}

void begin(double seq) { printf("{\"seq\": %.0f, \"result\": {", seq); }

void write_number(double x) {
    if (isnan(x))
        fputs("\"nan\"", stdout);
    else if (isinf(x))
        fputs(x > 0 ? "\"inf\"" : "\"-inf\"", stdout);
    else if (x == 0)
        fputs(signbit(x) ? "\"-0\"" : "0", stdout);
    else
        printf("%.17g", x); /* cJSON may print only 15 digits of a double, and these may read as another number */
}

void write_shape(const char *key, const char *dtype, const size_t *shape, int axes) {
    if (key) printf("\"%s\": ", key);
    printf("{\"dtype\": \"%s\", \"shape\": [", dtype);
    for (int i = 0; i < axes; i++) printf(i ? ", %zu" : "%zu", shape[i]);
    printf("], \"data\": [");
}

void write_floats(const char *key, const float *numbers, const size_t *shape, int axes) {
    size_t size = 1;
    for (int i = 0; i < axes; i++) size *= shape[i];
    write_shape(key, "float32", shape, axes);
    for (size_t i = 0; i < size; i++) {
        if (i) putchar(',');
        write_number(numbers[i]);
    }
    printf("]}");
}

void write_ids(const char *key, const int64_t *ids, const size_t *shape, int axes) {
    size_t size = 1;
    for (int i = 0; i < axes; i++) size *= shape[i];
    write_shape(key, "int64", shape, axes);
    for (size_t i = 0; i < size; i++) printf(i ? ",%lld" : "%lld", (long long)ids[i]);
    printf("]}");
}
