#include "steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lm_filters.h"
#include "lm_penalties.h"

/* "ties": "any" in a step is a remark that an engine leaves them open: here the lowest id stays  [PIPE-3]. */
static int leaves_open(const cJSON *argument) {
    const char *word = cJSON_GetStringValue(argument);
    return word && strcmp(argument->string, "ties") == 0 && strcmp(word, "any") == 0;
}

static lm_ties ties_of(const cJSON *arguments, const pipeline *p) {
    if (p->of_process && leaves_open(cJSON_GetObjectItemCaseSensitive(arguments, "ties"))) return LM_LOWEST_ID;
    return one_of(arguments, "ties", LM_BAD_TIES, "lowest_id", "all") ? LM_ALL : LM_LOWEST_ID;
}

static lm_until until_of(const cJSON *arguments) {
    return one_of(arguments, "until", LM_BAD_UNTIL, "reached", "exceeded") ? LM_EXCEEDED : LM_REACHED;
}

void apply_temperature(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    double temperature = real(arguments, "temperature", LM_BAD_TEMPERATURE, LM_TEMPERATURE);
    check(lm_apply_temperature(z->numbers, z->rows, z->last, temperature, z->numbers));
}

void keep_top_k(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    int64_t k = count(arguments, "k", LM_BAD_K, LM_K);
    int64_t *scratch = room(at_most(k, z->last), sizeof *scratch);
    check(lm_keep_top_k(z->numbers, z->rows, z->last, k, ties_of(arguments, p), scratch, z->numbers));
}

void finish_logits(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    int biased = has(arguments, "bias") && !cJSON_IsNull(get(arguments, "bias"));
    const float *bias = biased ? read_vector(arguments, "bias", z) : NULL;
    double multiplier = real(arguments, "multiplier", LM_BAD_SCALE, 1);
    double divisor = real(arguments, "divisor", LM_BAD_SCALE, 1);
    double cap = real(arguments, "cap", LM_BAD_SCALE, INFINITY);
    check(lm_finish_logits(z->numbers, bias, z->rows, z->last, multiplier, divisor, cap, z->numbers));
}

void keep_top_p(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    double share = real(arguments, "p", LM_BAD_SHARE, 0.9);
    lm_scored *scratch = room(z->last, sizeof *scratch);
    check(lm_keep_top_p(z->numbers, z->rows, z->last, share, until_of(arguments), ties_of(arguments, p), scratch,
                        z->numbers));
}

void keep_min_p(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    check(lm_keep_min_p(z->numbers, z->rows, z->last, real(arguments, "p", LM_BAD_SHARE, 0.05), z->numbers));
}

void keep_typical(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    double mass = real(arguments, "mass", LM_BAD_SHARE, 0.9);
    lm_scored *scratch = room(z->last, sizeof *scratch);
    check(lm_keep_typical(z->numbers, z->rows, z->last, mass, scratch, z->numbers));
}

void keep_epsilon(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    check(lm_keep_epsilon(z->numbers, z->rows, z->last, real(arguments, "cutoff", LM_BAD_SHARE, 3e-4), z->numbers));
}

void keep_eta(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    check(lm_keep_eta(z->numbers, z->rows, z->last, real(arguments, "cutoff", LM_BAD_SHARE, 3e-4), z->numbers));
}

void keep_top_h(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    check(lm_keep_top_h(z->numbers, z->rows, z->last, real(arguments, "h", LM_BAD_SHARE, 0.4), z->numbers));
}

void keep_top_n_sigma(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    check(lm_keep_top_n_sigma(z->numbers, z->rows, z->last, real(arguments, "n", LM_BAD_N, 1), z->numbers));
}

void keep_xtc(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    double threshold = real(arguments, "threshold", LM_BAD_SHARE, 0.1);
    double probability = real(arguments, "probability", LM_BAD_SHARE, 0.5);
    const double *uniform = read_uniform(p->inputs, z);
    check(lm_keep_xtc(z->numbers, uniform, z->rows, z->last, threshold, probability, z->numbers));
}

/* The three that change what occurs in the history. */
static void penalise(lm_refusal (*function)(const float *, const int64_t *, size_t, size_t, size_t, double, int64_t *,
                                            float *),
                     const cJSON *arguments, pipeline *p, double otherwise) {
    const tensor *z = &p->logits;
    double penalty = real(arguments, "penalty", LM_BAD_PENALTY, otherwise);
    int64_t *counts = room(z->last, sizeof *counts);
    check(function(z->numbers, p->history, z->rows, z->last, p->n, penalty, counts, z->numbers));
}

void repetition_penalty(const cJSON *arguments, pipeline *p) { penalise(lm_repetition_penalty, arguments, p, 1.1); }

void frequency_penalty(const cJSON *arguments, pipeline *p) { penalise(lm_frequency_penalty, arguments, p, 0.5); }

void presence_penalty(const cJSON *arguments, pipeline *p) { penalise(lm_presence_penalty, arguments, p, 0.5); }

void logit_bias(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    tensor ids = read_list(arguments, "biased", 1, LM_BAD_TOKEN_IDS);
    tensor biases = read_list(arguments, "biases", 0, LM_BAD_BIASES);
    if (biases.size != ids.size)
        refuse(LM_BAD_SHAPE, "biases", get(arguments, "biases"), "one number for each id of biased");
    int64_t *counts = room(z->last, sizeof *counts);
    check(lm_logit_bias(z->numbers, ids.ids, biases.doubles, z->rows, z->last, ids.size, counts, z->numbers));
}

void ban(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    tensor ids = read_list(arguments, "banned", 1, LM_BAD_TOKEN_IDS);
    check(lm_ban(z->numbers, ids.ids, z->rows, z->last, ids.size, z->numbers));
}

void no_repeat_ngram(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    int64_t size = count(arguments, "ngram_size", LM_BAD_COUNT, 3);
    check(lm_no_repeat_ngram(z->numbers, p->history, z->rows, z->last, p->n, size, z->numbers));
}

void min_length(const cJSON *arguments, pipeline *p) {
    const tensor *z = &p->logits;
    int64_t least = count(arguments, "length", LM_BAD_COUNT, 1);
    tensor ids = read_list(arguments, "end_ids", 1, LM_BAD_TOKEN_IDS);
    check(lm_min_length(z->numbers, p->history, ids.ids, z->rows, z->last, p->n, ids.size, least, z->numbers));
}

/* Whether a word is in a list such as "p until? ties?". */
static int names(const char *list, const char *word) {
    size_t n = strlen(word);
    for (; *list; list += strcspn(list, " "), list += strspn(list, " "))
        if (n && strncmp(list, word, n) == 0 && strchr(" ?", list[n])) return 1; /* strchr finds the final zero, too */
    return 0;
}

/* The ids so far of each row of logits. */
static tensor read_history(const cJSON *inputs, const tensor *logits) {
    tensor history = read_ids(inputs, "history"), expected = *logits;
    expected.shape[expected.axes - 1] = history.last;
    if (!same_shape(expected, history, expected.axes))
        refuse(LM_BAD_SHAPE, "the shape of history", get(get(inputs, "history"), "shape"), "the ids of each row");
    return history;
}

/* A step as an operation of its own. */
void run_step(const operation *step, const cJSON *inputs, double seq) {
    pipeline p = {read_tensor(inputs, "logits", 1), NULL, 0, inputs, 0};
    if (names(step->takes, "history")) {
        tensor history = read_history(inputs, &p.logits);
        p.history = history.ids;
        p.n = history.last;
    }
    step->apply(inputs, &p);
    begin(seq);
    write_floats("logits", p.logits.numbers, p.logits.shape, p.logits.axes);
}

/* The operation that a step of a pipeline names, after its form and its arguments' names were checked. */
static const operation *checked_step(const cJSON *item) {
    const cJSON *arguments = cJSON_GetArrayItem(item, 1), *argument;
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2 || !cJSON_IsObject(arguments))
        refuse(LM_BAD_STEPS, "a step", item, "it must be [name, {argument: value}]");
    const char *name = cJSON_GetStringValue(item->child);
    const operation *step = name ? find(name) : NULL;
    if (!step || !step->apply)
        refuse(LM_BAD_STEPS, "the name of a step", item->child, "it must be a function from logits to logits");
    int of_history = names(step->takes, "history");
    cJSON_ArrayForEach(argument, arguments) {
        int known = names(step->takes, argument->string) && strcmp(argument->string, "history") != 0;
        if (!known && !leaves_open(argument) && !(of_history && strcmp(argument->string, "counts") == 0))
            refuse(LM_BAD_STEPS, argument->string, argument, "the step has no such argument");
    }
    for (const char *list = step->takes; *list; list += strspn(list, " ")) {
        char word[32];
        size_t n = strcspn(list, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, list);
        if (word[n - 1] != '?' && strcmp(word, "history") != 0 && !has(arguments, word))
            refuse(LM_BAD_STEPS, "a step", item, "it lacks an argument");
        list += n;
    }
    return step;
}

/* Gives a step the part of the history that counts: all of it, the prompt, the output, or the last ids  [PIPE-2]. */
static void take_history(const cJSON *arguments, const tensor *history, size_t prompt, pipeline *p) {
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(arguments, "counts");
    const char *word = counts ? cJSON_GetStringValue(counts) : "all";
    double last = cJSON_IsNumber(counts) ? counts->valuedouble : -1;
    size_t first = 0, end = history->last, n;
    if (word && strcmp(word, "prompt") == 0)
        end = prompt;
    else if (word && strcmp(word, "output") == 0)
        first = prompt;
    else if (last >= 0 && last == floor(last))
        first = last < (double)end ? end - (size_t)last : 0;
    else if (!word || strcmp(word, "all") != 0)
        refuse(LM_BAD_STEPS, "counts", counts, "it must be all, prompt, output or how many of the last ids count");
    n = end - first;
    int64_t *part = room(history->rows * n, sizeof *part);
    for (size_t row = 0; row < history->rows; row++)
        for (size_t i = 0; i < n; i++) part[row * n + i] = history->ids[row * history->last + first + i];
    p->history = part;
    p->n = n;
}

static int is_given(const cJSON *inputs, const char *key) {
    return has(inputs, key) && !cJSON_IsNull(get(inputs, key));
}

void process(const cJSON *inputs, double seq) {
    pipeline p = {read_tensor(inputs, "logits", 1), NULL, 0, inputs, 1};
    tensor history = p.logits;
    history.last = 0;
    if (is_given(inputs, "history")) history = read_history(inputs, &p.logits);
    int64_t prompt = count(inputs, "prompt_length", LM_BAD_STEPS, 0);
    if (prompt < 0 || (uint64_t)prompt > history.last)
        refuse(LM_BAD_STEPS, "prompt_length", get(inputs, "prompt_length"), "it must be within the history");
    /* Without steps, too, logits and history are checked: by a ban of runs that are longer than any history. */
    const tensor *z = &p.logits;
    check(lm_no_repeat_ngram(z->numbers, history.ids, z->rows, z->last, history.last, INT64_MAX, z->numbers));
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(inputs, "steps"), *item;
    if (steps && !cJSON_IsArray(steps)) refuse(LM_BAD_STEPS, "steps", steps, "it must be a list");
    cJSON_ArrayForEach(item, steps) {
        const operation *step = checked_step(item);
        const cJSON *arguments = item->child->next;
        if (names(step->takes, "history")) take_history(arguments, &history, (size_t)prompt, &p);
        if (step->apply == keep_xtc && !is_given(inputs, "uniform"))
            refuse(LM_BAD_UNIFORM, "a step", item, "it needs a uniform, one number in [0, 1) for each row");
        step->apply(arguments, &p);
    }
    begin(seq);
    write_floats("logits", p.logits.numbers, p.logits.shape, p.logits.axes);
}
