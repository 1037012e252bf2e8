"""Vectors of `top_k`: comparisons only, so every answer is exact. Most look for ties gone astray."""

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import numpy as np

from . import exact
from .build import KIND_ERROR, Answer, File, Numbers, array, empty, float64, floats, ids

FLAGS = """
TieLowestId (TOPK-2): ties resolved to the highest id, or left to chance [highest_id torch_topk]
    https://github.com/Pushkinist/rMLX/issues/373
    https://github.com/pytorch/pytorch/issues/27542
    https://github.com/vllm-project/tpu-inference/pull/3580
SignedZeros (TOPK-2): -0 placed below 0, or its sign lost [total_order]
Order (TOPK-3): survivors unordered, ascending, or their ids in another order than their values
    [unordered ascending ids_not_sorted_along]
WrongEnd (TOPK-1): the k least likely kept, or ranks returned in place of ids [smallest ranks]
    https://github.com/huggingface/candle
Count (TOPK-1): k + 1 survive, or nothing after the 16th [one_too_many at_most_16]
    https://github.com/pytorch/pytorch/issues/78915
Negative (TOPK-1): the search starts from 0 or FLT_MIN, or compares magnitudes: wrong where logits are negative
    [starts_from_zero by_magnitude]
OverTheBatch (HEAD-4): the largest of the whole batch, not of each row [over_the_batch]
KAboveV (TOPK-4): k above V, or equal to it, refused or read beyond the end [k_above_v_raises k_of_v_raises]
    https://github.com/vllm-project/vllm/pull/14234
    https://github.com/ml-explore/mlx-lm/pull/1377
BadK (TOPK-5): k of 0 or less silently greedy or off; true and fractions cast to an integer
    [k_rounded_up zero_means_all casts_k]
    https://github.com/ggml-org/llama.cpp/pull/5388
BadLogits (SOFTMAX-4): nan sorted as if it were a number; +inf, a row of only -inf or an empty vocabulary goes on
    [accepts_nan]
    https://github.com/JustVugg/colibri/issues/369
OutputDtype (HEAD-2): 16-bit logits answered in 16 bits
"""


def best(row: Sequence[Any], k: int) -> list[int]:
    """Ids by value descending, then by id: a full sort of exact numbers."""
    return sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


def answers(logits: np.ndarray, k: int) -> list[Answer]:
    """Exactly min(k, V) of each row."""
    rows, shape = exact.rows(logits), (*logits.shape[:-1], min(k, logits.shape[-1]))
    token_ids = [best(row, k) for row in rows]
    values = [row[i] for row, chosen in zip(rows, token_ids, strict=True) for i in chosen]
    return [Answer({"values": floats(values, shape, exact.compute_dtype(logits)), "token_ids": ids(token_ids, shape)})]


def build() -> File:
    """The file of vectors."""
    file = File("top_k", FLAGS + KIND_ERROR, answers)
    rng = Numbers(3)

    file.group("no ties", "TOPK-1", "The k greatest, with their ids. Make these pass first.")
    file.valid("k = 1 is argmax", "WrongEnd Negative Count", logits=[-5, -1, -9], k=1)
    file.valid("k = 2 of 4", "Order WrongEnd Count", logits=[0.1, 0.6, 0.3, 0.2], k=2)
    file.valid("a large negative logit is not among the best", "Negative", logits=[-7, 2, 1, -8], k=2)
    file.valid("logits near -100", "Negative Order", logits=[-101.5, -99.25, -100, -98.5], k=3)
    file.valid("neighbouring float32 numbers", "Order", logits=[1, 1 + 2**-23, 1 - 2**-24], k=2)
    file.valid("k = 17 of 30", "Count WrongEnd Order", logits=range(30), k=17)

    file.group("order", "TOPK-3", "By value descending, then by id ascending.")
    file.valid("ids fall where values rise", "Order", logits=[3, 1, 4, 1.5, 5, 9, 2, 6], k=5)
    file.valid("equal survivors in order of id", "Order TieLowestId", logits=[2, 3, 2, 3, 1], k=4)

    file.group("ties", "TOPK-2", "Of equal logits the lowest ids survive.")
    file.valid("two equal, k = 1", "TieLowestId", logits=[21.375, 21.375], k=1)
    file.valid("three share the last two places", "TieLowestId", logits=[1, 2, 2, 2, 3], k=3)
    file.valid("all equal, k = 3 of 64", "TieLowestId", logits=[0] * 64, k=3)
    file.valid("k = 1 of 2, then of 5 equal", "TieLowestId", logits=[-0.1944, -0.1944, -0.1945, -0.1945, -0.1945], k=1)
    file.valid("-0 and 0 are equal", "SignedZeros", logits=[-0.0, 0.0, -0.0, -1], k=2)
    file.valid("0 and -0 are equal", "SignedZeros", logits=[-1, -0.0, 0.0, 0.0], k=2)
    file.valid("masked tokens fill the places left, lowest id first", "TieLowestId", logits=[-inf, 1, -inf, -inf], k=3)
    ties = array(np.rint(rng.normal(40) * 2))
    file.valid("forty whole numbers, k = 12", "TieLowestId Order", logits=ties, k=12)

    file.group("k and V", "TOPK-4", "k above V means V.")
    file.valid("k = V", "KAboveV", logits=[1, 3, 2], k=3)
    file.valid("k = V + 1", "KAboveV", logits=[1, 3, 2], k=4)
    file.valid("k = 50 of V = 1", "KAboveV", logits=[-7], k=50)
    file.valid("k = 2,000,000,000", "KAboveV", logits=[1, 3, 2], k=2_000_000_000)

    file.group("bad k", "TOPK-5", "An integer of at least 1.")
    for k in (0, -1, -1_000_000_000, 1.5, True):
        file.invalid("bad_k", f"k = {k}".lower(), "BadK", logits=[1, 2], k=k)

    file.group("batches", "HEAD-4", "A row gives the same survivors wherever it stands.", k=2)
    rows = array(np.rint(rng.normal(2, 2, 5) * 2))
    file.valid("a row alone", logits=rows[1, 1])
    file.valid("the same row in a batch", "OverTheBatch", logits=rows[1])
    file.valid("two leading axes", "OverTheBatch", logits=rows)
    file.valid("a batch of no rows", logits=empty(0, 5))

    file.group("dtypes", "HEAD-2", "float32 and float64 stay, 16 bits become float32.")
    file.valid("float64 tells apart what float32 does not", "OutputDtype", logits=float64([1, 1 + 2**-50, 1]), k=1)
    file.valid("float16", "OutputDtype", logits=array([0.1, 0.2, 0.2], "float16"), k=2)
    file.valid("bfloat16: 20.01 and 20.05 tie", "OutputDtype", logits=array([19, 20.05, 20.01], "bfloat16"), k=1)

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.", k=1)
    for comment, row in {"nan first": [nan, 1, 2], "nan last": [1, 2, nan], "+inf": [0, inf, 1]}.items():
        file.invalid("bad_logits", comment, "BadLogits", logits=row, k=2)
    file.bad_logits({"a row of only -inf": [[0, 1], [-inf, -inf]]})
    return file
