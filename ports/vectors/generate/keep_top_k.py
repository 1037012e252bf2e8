"""Vectors of `keep_top_k`: comparisons only, so every answer is exact."""

import math

import ml_dtypes
import numpy as np

from . import exact
from .build import Answer, File, Flag, Numbers, array, floats
from .top_k import best

FLAGS = {
    "TiesSurvive": Flag(
        "TOPK-1",
        "a threshold: every token tied with the k-th survives",
        ("https://github.com/vllm-project/vllm/pull/15478", "https://github.com/vllm-project/vllm/pull/50979"),
        ("keep_top_k-threshold",),
    ),
    "TiesGo": Flag("TOPK-1", "tokens tied with the k-th all go", (), ("keep_top_k-strict_threshold",)),
    "TieLowestId": Flag("TOPK-2", "of equal logits other ids than the lowest survive"),
    "AllTies": Flag("TOPK-7", "ties = all keeps exactly k", (), ("keep_top_k-all_is_exactly_k",)),
    "FiniteMask": Flag(
        "TOPK-6",
        "masked with -1e10, the lowest finite number or 0 in place of -inf",
        ("https://github.com/openai/gpt-2/blob/0e42a5718340639698147bf11e64e9f3a53881a6/src/sample.py",),
        ("keep_top_k-masks_with_a_number", "keep_top_k-masks_with_finfo_min", "keep_top_k-masks_with_zero"),
    ),
    "SignOfZero": Flag("TOPK-6", "a survivor's -0 becomes 0"),
    "ThresholdOfTheBatch": Flag(
        "HEAD-4", "one threshold for the whole batch", (), ("keep_top_k-threshold_of_the_batch",)
    ),
    "KAboveV": Flag(
        "TOPK-4",
        "k above V, or equal to it, refused",
        ("https://github.com/vllm-project/vllm/pull/14234", "https://github.com/ml-explore/mlx-lm/pull/1377"),
    ),
    "BadK": Flag(
        "TOPK-5", "k of 0 or less silently means something", ("https://github.com/ggml-org/llama.cpp/pull/5388",)
    ),
    "BadTies": Flag("TOPK-7", "an unknown word for ties silently means one of the two"),
    "OutputDtype": Flag("HEAD-2", "16-bit logits answered in 16 bits"),
    "BadLogits": Flag("SOFTMAX-4", "nan, +inf, a row of only -inf or an empty vocabulary goes on"),
    "KindError": Flag("HEAD-5", "whole numbers cast to floats, or refused with the code of a wrong value"),
}


def answers(logits: np.ndarray, k: int, ties: str) -> list[Answer]:
    """-inf everywhere but at the survivors."""
    values = []
    for row in logits.astype(np.float64).reshape(math.prod(logits.shape[:-1]), logits.shape[-1]).tolist():
        chosen = best(row, k)
        kept = {i for i, x in enumerate(row) if x >= row[chosen[-1]]} if ties == "all" else set(chosen)
        values += [x if i in kept else -math.inf for i, x in enumerate(row)]
    return [Answer({"logits": floats(values, logits.shape, exact.compute_dtype(logits))})]


def build() -> File:
    """The file."""
    file = File("keep_top_k", "keep_top_k", FLAGS, answers)
    rng = Numbers(4)
    inf = math.inf
    exactly, every = "lowest_id", "all"

    file.group("the mask", "TOPK-6", "Survivors keep their bits, all others are -inf.")
    file.valid("k = 2 of 4", "FiniteMask", logits=array([1, 2, 3, 2.5]), k=2, ties=exactly)
    file.valid("a survivor below -1e10", "FiniteMask", logits=array([-1e11, -2e11, -3e11]), k=2, ties=exactly)
    file.valid(
        "a survivor that is the lowest float32",
        "FiniteMask",
        logits=array([-3.4028234663852886e38, -inf, 0]),
        k=2,
        ties=exactly,
    )
    file.valid("-0 survives as -0", "SignOfZero", logits=array([-1, -0.0, -2]), k=1, ties=exactly)
    file.valid("k = 1", "FiniteMask", logits=array([-5, -1, -9]), k=1, ties=exactly)

    file.group("exactly k", "TOPK-1", "At ties too.")
    file.valid(
        "three share the last two places", "TiesSurvive TiesGo", logits=array([1, 2, 2, 2, 3]), k=3, ties=exactly
    )
    file.valid("two equal, k = 1", "TiesSurvive TiesGo TieLowestId", logits=array([21.375, 21.375]), k=1, ties=exactly)

    file.group("the lowest ids", "TOPK-2", "Of equal logits at the last place the lowest ids survive.")
    file.valid("-0 and 0 are equal", "TieLowestId", logits=array([-1, -0.0, 0.0, 0.0]), k=2, ties=exactly)
    file.valid("all equal, k = 3 of 64", "TieLowestId TiesSurvive", logits=array([0] * 64), k=3, ties=exactly)
    ties = np.rint(rng.normal(30) * 2).astype(np.float32)
    file.valid("thirty whole numbers, k = 10", "TieLowestId TiesSurvive", logits=ties, k=10, ties=exactly)

    file.group("all ties", "TOPK-7", "The other contract: every logit that is not below the k-th.")
    file.valid("three share the last place", "AllTies", logits=array([1, 2, 2, 2, 3]), k=2, ties=every)
    file.valid("all equal, k = 1", "AllTies", logits=array([5, 5, 5]), k=1, ties=every)
    file.valid("no tie", "FiniteMask", logits=array([1, 4, 2, 3]), k=2, ties=every)
    file.valid("0 and -0 are equal", "AllTies", logits=array([-0.0, 0.0, -1]), k=1, ties=every)
    file.valid("thirty whole numbers, k = 10", "AllTies", logits=ties, k=10, ties=every)
    file.valid("the k-th is masked: all are at least -inf", logits=array([-inf, 1, -inf]), k=2, ties=every)
    file.valid("k = 5 of 2", "KAboveV", logits=array([1, 2]), k=5, ties=every)
    file.invalid("bad_ties", "another word", "BadTies", logits=array([1, 2]), k=1, ties="highest_id")
    file.invalid("bad_ties", "no word", "BadTies", logits=array([1, 2]), k=1, ties="")

    file.group("k and V", "TOPK-4", "k above V means V.")
    file.valid("k = V", "KAboveV", logits=array([1, 3, 2]), k=3, ties=exactly)
    file.valid("k = 50 of V = 3, one masked", "KAboveV", logits=array([1, -inf, 2]), k=50, ties=exactly)

    file.group("bad k", "TOPK-5", "An integer of at least 1.")
    for k in (0, -1):
        file.invalid("bad_k", f"k = {k}", "BadK", logits=array([1, 2]), k=k, ties=exactly)
    file.invalid("bad_k", "k = 0 where all ties survive", "BadK", logits=array([1, 2]), k=0, ties=every)
    file.invalid("bad_k", "k = 1.5", "BadK", logits=array([1, 2]), k=1.5, ties=exactly)
    file.invalid("bad_k", "k = true", "BadK", logits=array([1, 2]), k=True, ties=exactly)

    file.group("batches", "HEAD-4", "Every row has its own threshold.")
    rows = np.rint(rng.normal(2, 2, 4) * 2).astype(np.float32)
    rows[1] += 100
    file.valid("a row alone", logits=rows[0, 1], k=2, ties=exactly)
    file.valid("rows of another height", "ThresholdOfTheBatch", logits=rows[:, 1], k=2, ties=exactly)
    file.valid("two leading axes", "ThresholdOfTheBatch", logits=rows, k=2, ties=exactly)
    file.valid("a batch of no rows", logits=np.zeros((0, 4), np.float32), k=2, ties=exactly)

    file.group("dtypes", "HEAD-2", "float32 and float64 stay, 16 bits become float32.")
    file.valid("float64", "OutputDtype", logits=np.array([1, 1 + 2**-50, 1]), k=1, ties=exactly)
    file.valid("float16", "OutputDtype", logits=array([0.1, 0.2, 0.2], np.float16), k=1, ties=exactly)
    file.valid("bfloat16", "OutputDtype", logits=array([19, 20.05, 20.01], ml_dtypes.bfloat16), k=1, ties=exactly)

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.")
    file.invalid("bad_logits", "nan", "BadLogits", logits=array([0, math.nan, 1]), k=1, ties=exactly)
    file.invalid("bad_logits", "+inf", "BadLogits", logits=array([0, inf, 1]), k=1, ties=exactly)
    file.invalid("bad_logits", "only -inf", "BadLogits", logits=array([-inf, -inf]), k=1, ties=exactly)
    file.invalid("bad_shape", "no tokens", "BadLogits", logits=array([]), k=1, ties=exactly)
    file.invalid("bad_shape", "no axis", "BadLogits", logits=array(1), k=1, ties=exactly)
    file.invalid("bad_dtype", "bools", "KindError", logits=array([True, False], bool), k=1, ties=exactly)
    return file
