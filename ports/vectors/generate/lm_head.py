"""Vectors of `lm_head`: what goes wrong only where the stages are put together."""

from math import inf, nan

import numpy as np

from .build import KIND_ERROR, File, Numbers, array, empty, float64
from .composition import answers

FLAGS = """
Order (HEAD-1): softmax before the cut, the temperature after the softmax, twice or not at all, shards normalised one by
    one [not_renormalised temperature_after_softmax temperature_twice normalised_by_shard]
    https://github.com/vllm-project/vllm/pull/753
    https://github.com/vllm-project/vllm/issues/718
KIgnored (HEAD-1): k has no effect [k_ignored]
TemperatureOne (HEAD-1): temperature 1 counted as greedy decoding [one_means_greedy]
    https://github.com/huggingface/text-generation-inference/issues/687
Defaults (HEAD-1): other defaults than temperature 0.7 and k = 50 [default_temperature default_k]
NormAgain (LOGITS-3): the final layer norm applied to a context that has gone through it [norm_twice]
    https://github.com/vllm-project/speculators/pull/313
TiesSurvive (TOPK-1): a threshold: every token tied with the k-th survives, in batches of one if not in all
    [threshold ties_by_batch_size]
    https://github.com/vllm-project/vllm/pull/15478
    https://github.com/vllm-project/vllm/pull/50979
Precision (HEAD-2): logits rounded to 16 bits on the way [bfloat16_logits]
    https://github.com/sgl-project/sglang/issues/33627
    https://github.com/PrimeIntellect-ai/prime-rl/pull/2441
FiniteMask (TOPK-6): masked with a finite number: a tail of probability where all logits are low [float16_mask]
Ids (LOGITS-1): ids shifted by one, or of one shard of the vocabulary taken for global ids [local_ids off_by_one]
    https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/4780
    https://github.com/NVIDIA/TensorRT-LLM/pull/16440
BadArgument (HEAD-1): a bad k, temperature, shape or number goes through the composition
"""


def build() -> File:
    """The file of vectors."""
    file = File("lm_head", FLAGS + KIND_ERROR, answers)
    rng = Numbers(7)

    def column(*values: float) -> np.ndarray:
        return array(values)[:, None]

    file.group("d = 1", "HEAD-1", "The embedding is the logits. Make these pass first.", context=[1])
    file.valid("T = 1, k = V", "TemperatureOne", embedding=column(0, 1, 2), temperature=1, k=3)
    file.valid("T = 1, k = 2 of 4", "KIgnored Ids TemperatureOne", embedding=column(0, 2, 1, 3), temperature=1, k=2)
    file.valid("T = 0.5, k = 2 of 4", "Order KIgnored", embedding=column(0, 2, 1, 3), temperature=0.5, k=2)
    file.valid("T = 2, k = 3 of 5", "Order", embedding=column(-1, 2, 1, 3, 0), temperature=2, k=3)
    file.valid("k = 1 is argmax", "KIgnored Ids", embedding=column(0, 2, 1, 3), temperature=0.7, k=1)
    file.valid("k above V", embedding=column(0, 2, 1), temperature=0.7, k=50)
    file.valid(
        "the winner in the upper half of the vocabulary", "Ids", embedding=column(0, 0, 1, 0, 2, 7), temperature=1, k=2
    )
    file.valid("the winner is the last id", "Ids", embedding=column(0, 1, 2), temperature=1, k=1)
    file.valid("survivors in both halves", "Order Ids", embedding=column(3, 0, 1, 4), temperature=1, k=2)

    file.group("defaults", "HEAD-1", "Without temperature and k: 0.7 and 50.")
    sixty = np.unique(np.rint(rng.normal(60) * 8) * 60 + np.arange(60)) / 64
    file.valid("V = 60", "Defaults", context=[0.25], embedding=column(*sixty))

    five = column(1, 2, 2, 3, 2)
    whole = "Whole numbers, so that logits are equal on every machine: exactly k survive."
    file.group("ties at the cut", "TOPK-1", whole, context=[1], embedding=five, temperature=0.7, k=3)
    file.valid("alone", "TiesSurvive")
    file.valid("a batch of one", "TiesSurvive", context=[[1]])
    file.valid("a batch of three", "TiesSurvive", context=[[1], [1], [1]])
    file.valid("all equal, k = 2 of 6", "TiesSurvive", embedding=column(4, 4, 4, 4, 4, 4), temperature=1, k=2)
    repeated = array(rng.normal(5, 6))
    repeated[3] = repeated[1]
    file.acceptable(
        "two equal rows of the embedding at the cut: their logits may be rounded apart, either may stay, not both",
        "TiesSurvive",
        context=repeated[1] * 2,
        embedding=repeated,
        k=1,
    )
    file.acceptable(
        "the second and third logit differ by a part in 10^8: rounding decides which of them stays",
        context=[1, 1],
        embedding=[[3, 0], [1, 1e-8], [1, 2e-8], [0, 0]],
        temperature=1,
        k=2,
    )

    file.group("the context", "LOGITS-3", "It comes after the final layer norm and is used as it is.", temperature=2)
    file.valid("mean 5, deviation 2", "NormAgain", context=[3, 7], embedding=[[1, 0], [0, 1], [0.5, 0.25]], k=2)
    file.valid("a wide context", "NormAgain", context=[8, -2, 0, 1], embedding=repeated[:, :4], k=4)

    small, wide = array(rng.normal(12, 16) * 0.3), array(rng.normal(3, 16) * 2)
    wide[:, 5] *= 20
    file.group(
        "full significands",
        "HEAD-2",
        "Errors of the product carry over into the softmax, and into its bound.",
        context=wide[0],
        embedding=small,
        temperature=0.7,
    )
    for t, k in ((0.7, 4), (1.0, 12), (0.1, 3)):
        file.valid(f"an outlier dimension, T = {t}, k = {k}", "Precision Order", temperature=t, k=k)
    file.valid("float64", "Precision", context=float64(wide[1]), embedding=float64(small), k=5)
    for dtype in ("float16", "bfloat16"):
        file.valid(dtype, context=array([1, 0.1], dtype), embedding=array(small[:4, :2], dtype), k=2)

    file.group("low logits", "SOFTMAX-2", "All of GPT-2's lie near -100.", temperature=1, k=2)
    file.valid("-100 and below", "FiniteMask", context=[1], embedding=column(-100, -101, -99, -102))
    file.valid("at the float16 limit", "FiniteMask", context=[-100], embedding=column(655, 656, 657))

    file.group("batches", "HEAD-4", "Every row by itself.", embedding=small, temperature=0.7, k=3)
    file.valid("a row alone", context=wide[2])
    file.valid("the same row in a batch", context=wide)
    file.valid("two leading axes", context=wide[:, None, :])
    file.valid("a batch of no rows", context=empty(0, 1), embedding=five)

    refused = "What a stage refuses, the composition refuses."
    file.group("refusals", "HEAD-1", refused, context=[1], embedding=five, temperature=0.7, k=3)
    file.invalid("bad_k", "k = 0", "BadArgument", k=0)
    file.invalid("bad_temperature", "T = 0", "BadArgument", temperature=0)
    file.invalid("bad_temperature", "T = -1.5", "BadArgument", temperature=-1.5)
    file.invalid("overflow", "T = 1e-38 and logits of 3e3", "BadArgument", context=[1000], temperature=1e-38)
    file.invalid("bad_shape", "d = 2 and d = 1", "BadArgument", context=[1, 2])
    file.invalid("bad_logits", "nan in the context", "BadArgument", context=[nan])
    file.invalid("bad_logits", "inf in the embedding", "BadArgument", embedding=column(1, inf), k=1)
    file.invalid("bad_dtype", "an int64 context", "KindError", context=array([1], "int64"))
    return file
