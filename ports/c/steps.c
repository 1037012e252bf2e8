#include "steps.h"

#include <math.h>
#include <string.h>

#include "lm_filters.h"
#include "lm_penalties.h"

static lm_ties ties_of(const cJSON *arguments, const pipeline *p) {
    const char *word = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(arguments, "ties"));
    if (p->of_process && word && strcmp(word, "any") == 0) return LM_LOWEST_ID;
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
    check(lm_keep_typical(z->numbers, z->rows, z->last, mass, until_of(arguments), scratch, z->numbers));
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
