"""Vectors of `lm_head`: the stages composed."""

import math

import ml_dtypes
import numpy as np

from .build import File, Flag, Numbers, array
from .composition import answers

FLAGS = {
    "Order": Flag(
        "HEAD-1",
        "softmax before the cut, the temperature after the softmax, twice or not at all, shards normalised one by one",
        ("https://github.com/vllm-project/vllm/pull/753", "https://github.com/vllm-project/vllm/issues/718"),
        (
            "lm_head-not_renormalised",
            "lm_head-temperature_after_softmax",
            "lm_head-temperature_twice",
            "lm_head-normalised_by_shard",
        ),
    ),
    "KIgnored": Flag("HEAD-1", "k has no effect", (), ("lm_head-k_ignored",)),
    "TemperatureOne": Flag(
        "HEAD-1",
        "temperature 1 counted as greedy decoding",
        ("https://github.com/huggingface/text-generation-inference/issues/687",),
        ("lm_head-one_means_greedy",),
    ),
    "Defaults": Flag(
        "HEAD-1",
        "other defaults than temperature 0.7 and k = 50",
        (),
        ("lm_head-default_temperature", "lm_head-default_k"),
    ),
    "NormAgain": Flag(
        "LOGITS-3",
        "the final layer norm applied to a context that has gone through it",
        ("https://github.com/vllm-project/speculators/pull/313",),
        ("lm_head-norm_twice",),
    ),
    "TiesSurvive": Flag(
        "TOPK-1",
        "a threshold: every token tied with the k-th survives, in batches of one if not in all",
        ("https://github.com/vllm-project/vllm/pull/15478", "https://github.com/vllm-project/vllm/pull/50979"),
        ("lm_head-threshold", "lm_head-ties_by_batch_size"),
    ),
    "Precision": Flag(
        "HEAD-2",
        "logits rounded to 16 bits on the way",
        (
            "https://github.com/sgl-project/sglang/issues/33627",
            "https://github.com/PrimeIntellect-ai/prime-rl/pull/2441",
        ),
        ("lm_head-bfloat16_logits",),
    ),
    "FiniteMask": Flag(
        "TOPK-6",
        "masked with a finite number: a tail of probability where all logits are low",
        (),
        ("lm_head-float16_mask",),
    ),
    "Ids": Flag(
        "LOGITS-1",
        "ids shifted by one, or of one shard of the vocabulary taken for global ids",
        (
            "https://github.com/NVIDIA-NeMo/Megatron-Bridge/pull/4780",
            "https://github.com/NVIDIA/TensorRT-LLM/pull/16440",
        ),
        ("lm_head-local_ids", "lm_head-off_by_one"),
    ),
    "BadArgument": Flag("HEAD-1", "a bad k, temperature, shape or number goes through the composition"),
    "KindError": Flag("HEAD-5", "whole numbers cast to floats, or refused with the code of a wrong value"),
}


def build() -> File:
    """The file."""
    file = File("lm_head", "lm_head", FLAGS, answers)
    rng = Numbers(7)
    one = array([1])

    def column(*values: float) -> np.ndarray:
        return array(values)[:, None]

    file.group("d = 1", "HEAD-1", "The embedding is the logits. Make these pass first.")
    file.valid("T = 1, k = V", "TemperatureOne", context=one, embedding=column(0, 1, 2), temperature=1, k=3)
    file.valid(
        "T = 1, k = 2 of 4",
        "KIgnored Ids TemperatureOne",
        context=one,
        embedding=column(0, 2, 1, 3),
        temperature=1,
        k=2,
    )
    file.valid("T = 0.5, k = 2 of 4", "Order KIgnored", context=one, embedding=column(0, 2, 1, 3), temperature=0.5, k=2)
    file.valid("T = 2, k = 3 of 5", "Order", context=one, embedding=column(-1, 2, 1, 3, 0), temperature=2, k=3)
    file.valid("k = 1 is argmax", "KIgnored Ids", context=one, embedding=column(0, 2, 1, 3), temperature=0.7, k=1)
    file.valid("k above V", context=one, embedding=column(0, 2, 1), temperature=0.7, k=50)
    file.valid(
        "the winner in the upper half of the vocabulary",
        "Ids",
        context=one,
        embedding=column(0, 0, 1, 0, 2, 7),
        temperature=1,
        k=2,
    )
    file.valid("the winner is the last id", "Ids", context=one, embedding=column(0, 1, 2), temperature=1, k=1)
    file.valid("survivors in both halves", "Order Ids", context=one, embedding=column(3, 0, 1, 4), temperature=1, k=2)

    file.group("defaults", "HEAD-1", "Without temperature and k: 0.7 and 50.")
    sixty = np.rint(rng.normal(60) * 8)
    file.valid(
        "V = 60",
        "Defaults",
        context=array([0.25]),
        embedding=array(np.unique(sixty * 60 + np.arange(60)))[:, None] / 64,
    )

    file.group(
        "ties at the cut", "TOPK-1", "Whole numbers, so that logits are equal on every machine: exactly k survive."
    )
    five = column(1, 2, 2, 3, 2)
    file.valid("alone", "TiesSurvive", context=one, embedding=five, temperature=0.7, k=3)
    file.valid("a batch of one", "TiesSurvive", context=one[None], embedding=five, temperature=0.7, k=3)
    file.valid("a batch of three", "TiesSurvive", context=array([[1], [1], [1]]), embedding=five, temperature=0.7, k=3)
    file.valid(
        "all equal, k = 2 of 6", "TiesSurvive", context=one, embedding=column(4, 4, 4, 4, 4, 4), temperature=1, k=2
    )
    repeated = rng.normal(5, 6).astype(np.float32)
    repeated[3] = repeated[1]
    context = (repeated[1] * 2).astype(np.float32)
    file.acceptable(
        "two equal rows of the embedding at the cut: their logits may be rounded apart, either may stay, not both",
        "TiesSurvive",
        context=context,
        embedding=repeated,
        temperature=0.7,
        k=1,
    )
    file.acceptable(
        "the second and third logit differ by a part in 10^8: rounding decides which of them stays",
        context=array([1, 1]),
        embedding=array([[3, 0], [1, 1e-8], [1, 2e-8], [0, 0]]),
        temperature=1,
        k=2,
    )

    file.group("the context", "LOGITS-3", "It comes after the final layer norm and is used as it is.")
    file.valid(
        "mean 5, deviation 2",
        "NormAgain",
        context=array([3, 7]),
        embedding=array([[1, 0], [0, 1], [0.5, 0.25]]),
        temperature=2,
        k=2,
    )
    file.valid(
        "a wide context",
        "NormAgain",
        context=array([8, -2, 0, 1]),
        embedding=repeated[:, :4].copy(),
        temperature=2,
        k=4,
    )

    file.group("full significands", "HEAD-2", "Errors of the product carry over into the softmax, and into its bound.")
    small = (rng.normal(12, 16) * 0.3).astype(np.float32)
    wide = (rng.normal(3, 16) * 2).astype(np.float32)
    wide[:, 5] *= 20
    for t, k in ((0.7, 4), (1.0, 12), (0.1, 3)):
        file.valid(
            f"an outlier dimension, T = {t}, k = {k}",
            "Precision Order",
            context=wide[0],
            embedding=small,
            temperature=t,
            k=k,
        )
    file.valid(
        "float64",
        "Precision",
        context=wide[1].astype(np.float64),
        embedding=small.astype(np.float64),
        temperature=0.7,
        k=5,
    )
    file.valid(
        "float16", context=array([1, 0.1], np.float16), embedding=small[:4, :2].astype(np.float16), temperature=0.7, k=2
    )
    file.valid(
        "bfloat16",
        context=array([1, 0.1], ml_dtypes.bfloat16),
        embedding=small[:4, :2].astype(ml_dtypes.bfloat16),
        temperature=0.7,
        k=2,
    )

    file.group("low logits", "SOFTMAX-2", "All of GPT-2's lie near -100.")
    file.valid("-100 and below", "FiniteMask", context=one, embedding=column(-100, -101, -99, -102), temperature=1, k=2)
    file.valid(
        "at the float16 limit", "FiniteMask", context=array([-100]), embedding=column(655, 656, 657), temperature=1, k=2
    )

    file.group("batches", "HEAD-4", "Every row by itself.")
    file.valid("a row alone", context=wide[2], embedding=small, temperature=0.7, k=3)
    file.valid("the same row in a batch", context=wide, embedding=small, temperature=0.7, k=3)
    file.valid("two leading axes", context=wide[:, None, :], embedding=small, temperature=0.7, k=3)
    file.valid("a batch of no rows", context=np.zeros((0, 1), np.float32), embedding=five, temperature=0.7, k=3)

    file.group("refusals", "HEAD-1", "What a stage refuses, the composition refuses.")
    file.invalid("bad_k", "k = 0", "BadArgument", context=one, embedding=five, temperature=0.7, k=0)
    file.invalid("bad_temperature", "T = 0", "BadArgument", context=one, embedding=five, temperature=0, k=3)
    file.invalid("bad_temperature", "T = -1.5", "BadArgument", context=one, embedding=five, temperature=-1.5, k=3)
    file.invalid(
        "overflow",
        "T = 1e-38 and logits of 3e3",
        "BadArgument",
        context=array([1000]),
        embedding=five,
        temperature=1e-38,
        k=3,
    )
    file.invalid(
        "bad_shape", "d = 2 and d = 1", "BadArgument", context=array([1, 2]), embedding=five, temperature=0.7, k=3
    )
    file.invalid(
        "bad_logits",
        "nan in the context",
        "BadArgument",
        context=array([math.nan]),
        embedding=five,
        temperature=0.7,
        k=3,
    )
    file.invalid(
        "bad_logits",
        "inf in the embedding",
        "BadArgument",
        context=one,
        embedding=column(1, math.inf),
        temperature=0.7,
        k=1,
    )
    file.invalid(
        "bad_dtype", "an int64 context", "KindError", context=array([1], np.int64), embedding=five, temperature=0.7, k=3
    )
    return file
