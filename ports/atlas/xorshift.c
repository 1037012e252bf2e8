/* The samplers of llama2.c and llm.c on the same probabilities, from the same seed: what `streams.py` holds against them.
 *
 *     xorshift llama2.c|llm.c SEED COUNT < probabilities
 *
 * Written after `random_f32` and `sample_mult` of https://github.com/karpathy/llama2.c (run.c, 00401b6 and later) and
 * `sample_softmax` of https://github.com/karpathy/llm.c/blob/07752a6/llmc/sampler.h. llm.c takes logits and sums expf of
 * them; here its weights are given, so that both draw from the same numbers. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static float next_coin(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * 0x2545F4914F6CDD1DULL >> 32) / 256 / 16777216.0f;
}

int main(int count, char **words) {
    static float weights[1 << 16];
    int n = 0;
    if (count != 4) return 2;
    while (n < 1 << 16 && scanf("%f", &weights[n]) == 1) n++;
    state = strtoull(words[2], NULL, 10);
    for (long left = atol(words[3]); left > 0; left--) {
        float coin = next_coin(), sum = 0;
        if (strcmp(words[1], "llm.c") == 0) {
            double total = 0;
            for (int i = 0; i < n; i++) total += weights[i];
            coin *= total;
        }
        int token = n - 1;
        for (int i = 0; i < n; i++) {
            sum += weights[i];
            if (coin < sum) {
                token = i;
                break;
            }
        }
        printf("%d ", token);
    }
    return 0;
}
