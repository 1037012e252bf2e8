"""Vectors of `top_k`: comparisons only, so every answer is exact."""

import math
from typing import Any

import ml_dtypes
import numpy as np

from . import exact
from .build import Answer, File, Flag, Numbers, array, floats, ids

FLAGS = {
    "TieLowestId": Flag(
        "TOPK-2",
        "ties resolved to the highest id, or left to chance",
        (
            "https://github.com/Pushkinist/rMLX/issues/373",
            "https://github.com/pytorch/pytorch/issues/27542",
            "https://github.com/vllm-project/tpu-inference/pull/3580",
        ),
        ("top_k-highest_id", "top_k-torch_topk"),
    ),
    "SignedZeros": Flag("TOPK-2", "-0 placed below 0, or its sign lost", (), ("top_k-total_order",)),
    "Order": Flag(
        "TOPK-3",
        "survivors unordered, ascending, or their ids in another order than their values",
        (),
        ("top_k-unordered", "top_k-ascending", "top_k-ids_not_sorted_along"),
    ),
    "WrongEnd": Flag(
        "TOPK-1",
        "the k least likely kept, or ranks returned in place of ids",
        ("https://github.com/huggingface/candle",),
        ("top_k-smallest", "top_k-ranks"),
    ),
    "Count": Flag(
        "TOPK-1",
        "k + 1 survive, or nothing after the 16th",
        ("https://github.com/pytorch/pytorch/issues/78915",),
        ("top_k-one_too_many", "top_k-at_most_16"),
    ),
    "Negative": Flag(
        "TOPK-1",
        "the search starts from 0 or FLT_MIN, or compares magnitudes: wrong where logits are negative",
        (),
        ("top_k-starts_from_zero", "top_k-by_magnitude"),
    ),
    "OverTheBatch": Flag("HEAD-4", "the largest of the whole batch, not of each row", (), ("top_k-over_the_batch",)),
    "KAboveV": Flag(
        "TOPK-4",
        "k above V, or equal to it, refused or read beyond the end",
        ("https://github.com/vllm-project/vllm/pull/14234", "https://github.com/ml-explore/mlx-lm/pull/1377"),
        ("top_k-k_above_v_raises", "top_k-k_of_v_raises"),
    ),
    "BadK": Flag(
        "TOPK-5",
        "k of 0 or less silently greedy or off; true and fractions cast to an integer",
        ("https://github.com/ggml-org/llama.cpp/pull/5388",),
        ("top_k-k_rounded_up", "top_k-zero_means_all", "top_k-casts_k"),
    ),
    "BadLogits": Flag(
        "SOFTMAX-4",
        "nan sorted as if it were a number; +inf, a row of only -inf or an empty vocabulary goes on",
        ("https://github.com/JustVugg/colibri/issues/369",),
        ("top_k-accepts_nan",),
    ),
    "OutputDtype": Flag("HEAD-2", "16-bit logits answered in 16 bits"),
    "KindError": Flag("HEAD-5", "whole numbers cast to floats, or refused with the code of a wrong value"),
}


def best(row: list[Any], k: int) -> list[int]:
    """Ids by value descending, then by id: a full sort of exact numbers."""
    return sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


def answers(logits: np.ndarray, k: int) -> list[Answer]:
    """Exactly min(k, V) of each row."""
    rows = logits.astype(np.float64).reshape(math.prod(logits.shape[:-1]), logits.shape[-1]).tolist()
    shape = (*logits.shape[:-1], min(k, logits.shape[-1]))
    token_ids = [best(row, k) for row in rows]
    values = [row[i] for row, chosen in zip(rows, token_ids, strict=True) for i in chosen]
    tensor = floats(values, shape, exact.compute_dtype(logits))
    return [Answer({"values": tensor, "token_ids": ids(token_ids, shape)})]


def build() -> File:
    """The file."""
    file = File("top_k", "top_k", FLAGS, answers)
    rng = Numbers(3)
    inf = math.inf

    file.group("no ties", "TOPK-1", "The k greatest, with their ids. Make these pass first.")
    file.valid("k = 1 is argmax", "WrongEnd Negative Count", logits=array([-5, -1, -9]), k=1)
    file.valid("k = 2 of 4", "Order WrongEnd Count", logits=array([0.1, 0.6, 0.3, 0.2]), k=2)
    file.valid("a large negative logit is not among the best", "Negative", logits=array([-7, 2, 1, -8]), k=2)
    file.valid("logits near -100", "Negative Order", logits=array([-101.5, -99.25, -100, -98.5]), k=3)
    file.valid("neighbouring float32 numbers", "Order", logits=array([1, 1 + 2**-23, 1 - 2**-24]), k=2)
    file.valid("k = 17 of 30", "Count WrongEnd Order", logits=array(range(30)), k=17)

    file.group("order", "TOPK-3", "By value descending, then by id ascending.")
    file.valid("ids fall where values rise", "Order", logits=array([3, 1, 4, 1.5, 5, 9, 2, 6]), k=5)
    file.valid("equal survivors in order of id", "Order TieLowestId", logits=array([2, 3, 2, 3, 1]), k=4)

    file.group("ties", "TOPK-2", "Of equal logits the lowest ids survive.")
    file.valid("two equal, k = 1", "TieLowestId", logits=array([21.375, 21.375]), k=1)
    file.valid("three share the last two places", "TieLowestId", logits=array([1, 2, 2, 2, 3]), k=3)
    file.valid("all equal, k = 3 of 64", "TieLowestId", logits=array([0] * 64), k=3)
    file.valid(
        "k = 1 of 2, then of 5 equal", "TieLowestId", logits=array([-0.1944, -0.1944, -0.1945, -0.1945, -0.1945]), k=1
    )
    file.valid("-0 and 0 are equal", "SignedZeros", logits=array([-0.0, 0.0, -0.0, -1]), k=2)
    file.valid("0 and -0 are equal", "SignedZeros", logits=array([-1, -0.0, 0.0, 0.0]), k=2)
    file.valid(
        "masked tokens fill the places left, lowest id first", "TieLowestId", logits=array([-inf, 1, -inf, -inf]), k=3
    )
    ties = np.rint(rng.normal(40) * 2).astype(np.float32)
    file.valid("forty whole numbers, k = 12", "TieLowestId Order", logits=ties, k=12)

    file.group("k and V", "TOPK-4", "k above V means V.")
    file.valid("k = V", "KAboveV", logits=array([1, 3, 2]), k=3)
    file.valid("k = V + 1", "KAboveV", logits=array([1, 3, 2]), k=4)
    file.valid("k = 50 of V = 1", "KAboveV", logits=array([-7]), k=50)
    file.valid("k = 2,000,000,000", "KAboveV", logits=array([1, 3, 2]), k=2_000_000_000)

    file.group("bad k", "TOPK-5", "An integer of at least 1.")
    for k in (0, -1, -1_000_000_000):
        file.invalid("bad_k", f"k = {k}", "BadK", logits=array([1, 2]), k=k)
    file.invalid("bad_k", "k = 1.5", "BadK", logits=array([1, 2]), k=1.5)
    file.invalid("bad_k", "k = true", "BadK", logits=array([1, 2]), k=True)

    file.group("batches", "HEAD-4", "A row gives the same survivors wherever it stands.")
    rows = np.rint(rng.normal(2, 2, 5) * 2).astype(np.float32)
    file.valid("a row alone", logits=rows[1, 1], k=2)
    file.valid("the same row in a batch", "OverTheBatch", logits=rows[1], k=2)
    file.valid("two leading axes", "OverTheBatch", logits=rows, k=2)
    file.valid("a batch of no rows", logits=np.zeros((0, 5), np.float32), k=2)

    file.group("dtypes", "HEAD-2", "float32 and float64 stay, 16 bits become float32.")
    file.valid("float64 tells apart what float32 does not", "OutputDtype", logits=np.array([1, 1 + 2**-50, 1]), k=1)
    file.valid("float16", "OutputDtype", logits=array([0.1, 0.2, 0.2], np.float16), k=2)
    file.valid(
        "bfloat16: 20.01 and 20.05 tie", "OutputDtype", logits=array([19, 20.05, 20.01], ml_dtypes.bfloat16), k=1
    )

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.")
    for place, row in (("first", [math.nan, 1, 2]), ("last", [1, 2, math.nan])):
        file.invalid("bad_logits", f"nan {place}", "BadLogits", logits=array(row), k=2)
    file.invalid("bad_logits", "+inf", "BadLogits", logits=array([0, inf, 1]), k=2)
    file.invalid("bad_logits", "a row of only -inf", "BadLogits", logits=array([[0, 1], [-inf, -inf]]), k=1)
    file.invalid("bad_shape", "no tokens", "BadLogits", logits=array([]), k=1)
    file.invalid("bad_shape", "no axis", "BadLogits", logits=array(1), k=1)
    file.invalid("bad_dtype", "int64", "KindError", logits=array([1, 2], np.int64), k=1)
    return file
