"""Vectors of `keep_top_k`: comparisons only, so every answer is exact, under both contracts for ties."""

from math import inf

import numpy as np

from . import exact
from .build import BAD_LOGITS, KIND_ERROR, Answer, File, Numbers, array, empty, float64, floats
from .top_k import best

FLAGS = """
TiesSurvive (TOPK-1): a threshold: every token tied with the k-th survives [threshold]
    https://github.com/vllm-project/vllm/pull/15478
    https://github.com/vllm-project/vllm/pull/50979
TiesGo (TOPK-1): tokens tied with the k-th all go [strict_threshold]
TieLowestId (TOPK-2): of equal logits other ids than the lowest survive
AllTies (TOPK-7): ties = all keeps exactly k [all_is_exactly_k]
FiniteMask (TOPK-6): masked with -1e10, the lowest finite number or 0 in place of -inf
    [masks_with_a_number masks_with_finfo_min masks_with_zero]
    https://github.com/openai/gpt-2/blob/0e42a5718340639698147bf11e64e9f3a53881a6/src/sample.py
SignOfZero (TOPK-6): a survivor's -0 becomes 0
ThresholdOfTheBatch (HEAD-4): one threshold for the whole batch [threshold_of_the_batch]
KAboveV (TOPK-4): k above V, or equal to it, refused
    https://github.com/vllm-project/vllm/pull/14234
    https://github.com/ml-explore/mlx-lm/pull/1377
BadK (TOPK-5): k of 0 or less silently means something
    https://github.com/ggml-org/llama.cpp/pull/5388
BadTies (TOPK-7): an unknown word for ties silently means one of the two
OutputDtype (HEAD-2): 16-bit logits answered in 16 bits
"""


def answers(logits: np.ndarray, k: int, ties: str) -> list[Answer]:
    """-inf everywhere but at the survivors."""
    values = []
    for row in exact.rows(logits):
        chosen = best(row, k)
        kept = {i for i, x in enumerate(row) if x >= row[chosen[-1]]} if ties == "all" else set(chosen)
        values += [x if i in kept else -inf for i, x in enumerate(row)]
    return [Answer({"logits": floats(values, logits.shape, exact.compute_dtype(logits))})]


def build() -> File:
    """The file of vectors."""
    file = File("keep_top_k", FLAGS + BAD_LOGITS + KIND_ERROR, answers, ties="lowest_id")
    rng = Numbers(4)

    file.group("the mask", "TOPK-6", "Survivors keep their bits, all others are -inf.")
    file.valid("k = 2 of 4", "FiniteMask", logits=[1, 2, 3, 2.5], k=2)
    file.valid("a survivor below -1e10", "FiniteMask", logits=[-1e11, -2e11, -3e11], k=2)
    lowest = -3.4028234663852886e38
    file.valid("a survivor that is the lowest float32", "FiniteMask", logits=[lowest, -inf, 0], k=2)
    file.valid("-0 survives as -0", "SignOfZero", logits=[-1, -0.0, -2], k=1)
    file.valid("k = 1", "FiniteMask", logits=[-5, -1, -9], k=1)

    file.group("exactly k", "TOPK-1", "At ties too.")
    file.valid("three share the last two places", "TiesSurvive TiesGo", logits=[1, 2, 2, 2, 3], k=3)
    file.valid("two equal, k = 1", "TiesSurvive TiesGo TieLowestId", logits=[21.375, 21.375], k=1)

    file.group("the lowest ids", "TOPK-2", "Of equal logits at the last place the lowest ids survive.")
    file.valid("-0 and 0 are equal", "TieLowestId", logits=[-1, -0.0, 0.0, 0.0], k=2)
    file.valid("all equal, k = 3 of 64", "TieLowestId TiesSurvive", logits=[0] * 64, k=3)
    thirty = array(np.rint(rng.normal(30) * 2))
    file.valid("thirty whole numbers, k = 10", "TieLowestId TiesSurvive", logits=thirty, k=10)

    file.group("all ties", "TOPK-7", "The other contract: every logit that is not below the k-th.", ties="all")
    file.valid("three share the last place", "AllTies", logits=[1, 2, 2, 2, 3], k=2)
    file.valid("all equal, k = 1", "AllTies", logits=[5, 5, 5], k=1)
    file.valid("no tie", "FiniteMask", logits=[1, 4, 2, 3], k=2)
    file.valid("0 and -0 are equal", "AllTies", logits=[-0.0, 0.0, -1], k=1)
    file.valid("thirty whole numbers, k = 10", "AllTies", logits=thirty, k=10)
    file.valid("the k-th is masked: all are at least -inf", logits=[-inf, 1, -inf], k=2)
    file.valid("k = 5 of 2", "KAboveV", logits=[1, 2], k=5)
    file.invalid("bad_ties", "another word", "BadTies", logits=[1, 2], k=1, ties="highest_id")
    file.invalid("bad_ties", "no word", "BadTies", logits=[1, 2], k=1, ties="")

    file.group("k and V", "TOPK-4", "k above V means V.")
    file.valid("k = V", "KAboveV", logits=[1, 3, 2], k=3)
    file.valid("k = 50 of V = 3, one masked", "KAboveV", logits=[1, -inf, 2], k=50)

    file.group("bad k", "TOPK-5", "An integer of at least 1.", logits=[1, 2])
    for k in (0, -1):
        file.invalid("bad_k", f"k = {k}", "BadK", k=k)
    file.invalid("bad_k", "k = 0 where all ties survive", "BadK", k=0, ties="all")
    for kind in (1.5, True):
        file.invalid("bad_k", f"k = {kind}".lower(), "BadK", k=kind)

    file.group("batches", "HEAD-4", "Every row has its own threshold.", k=2)
    rows = array(np.rint(rng.normal(2, 2, 4) * 2))
    rows[1] += 100
    file.valid("a row alone", logits=rows[0, 1])
    file.valid("rows of another height", "ThresholdOfTheBatch", logits=rows[:, 1])
    file.valid("two leading axes", "ThresholdOfTheBatch", logits=rows)
    file.valid("a batch of no rows", logits=empty(0, 4))

    file.group("dtypes", "HEAD-2", "float32 and float64 stay, 16 bits become float32.", k=1)
    file.valid("float64", "OutputDtype", logits=float64([1, 1 + 2**-50, 1]))
    file.valid("float16", "OutputDtype", logits=array([0.1, 0.2, 0.2], "float16"))
    file.valid("bfloat16", "OutputDtype", logits=array([19, 20.05, 20.01], "bfloat16"))

    file.group("bad logits", "SOFTMAX-4", "Refused by every function that takes logits.", k=1)
    file.bad_logits(kinds="bools")

    file.group("batches of two axes", "TOPK-7", "Every row has its own ties.", k=1)
    rows = array([[[0, 0], [1, 0]], [[2, 2], [0, 3]]])
    file.valid("all of them stay", "AllTies", logits=rows, ties="all")
    file.valid("the lowest id stays", "TieLowestId", logits=rows)
    return file
