"""Vectors of `logit_bias`: one correctly rounded sum, so every answer is exact."""

from collections.abc import Sequence
from math import inf, nan
from typing import Any

import numpy as np

from .build import Answer, File, array, float64
from .penalised import OVERFLOW, PenaltyFile, added, parameter
from .penalised import answers as of_rows

FLAGS = """
WrongToken (PENALTY-5): biases added in the order of ids, not to the id that each belongs to; or to one row alone
    [by_position the_first_alone to_every_token first_row_alone]
NotAdded (PENALTY-5): the bias replaces, scales, or is clamped to a range such as [-100, 100]
    [replaces twice multiplies clamped]
    https://github.com/ggml-org/llama.cpp/issues/19699
FiniteBan (PENALTY-5): -100 masks a token, or -inf becomes a finite number
DoubleBias (PENALTY-5): a float64 bias not rounded to the dtype of the logits before it is added
    [in_bfloat16 sum_in_bfloat16]
SignOfZero (PENALTY-5): the sign of a zero lost
NoBias (PENALTY-5): no ids at all are refused
BadBias (PENALTY-7): nan or +inf goes on; an id that stands twice gets the first, the last or both of its biases
    [the_last_of_two]
"""


def changed(row: Sequence[float], ids: Sequence[int], dtype: str, biased: Any, biases: Any) -> list[float]:
    """Sums of fractions, each rounded once; the biases are rounded to the dtype first. The ids count for nothing."""
    moved = list(row)
    for i, bias in zip(biased, biases, strict=True):
        b = -inf if bias == -inf else parameter(float(bias), dtype)
        moved[int(i)] = added(row[int(i)], b, dtype)
    return moved


def answers(logits: np.ndarray, biased: np.ndarray, biases: np.ndarray) -> list[Answer]:
    """Every row by itself."""
    return of_rows(changed)(logits, biased=biased.tolist(), biases=biases.astype(np.float64).tolist())


def build() -> File:
    """The file of vectors."""
    file = PenaltyFile("logit_bias", FLAGS + OVERFLOW, answers)
    plain = array([0.7, -1.3, 2.9, 0.1, -5.5])

    file.group("sums", "PENALTY-5", "x + b for each id. Make these pass first.")
    file.valid("one id", "NotAdded", logits=[1, 2, 3], biased=[1], biases=[0.5])
    file.valid("ids in another order", "WrongToken NotAdded", logits=[1, 2, 3, 4], biased=[3, 0], biases=[-2, 8])
    some = array([0.1, -0.3, 1.7])
    file.valid("three of five", "WrongToken", logits=plain, biased=[4, 0, 2], biases=some)
    file.valid("every token, backwards", "WrongToken", logits=plain, biased=[4, 3, 2, 1, 0], biases=plain)
    file.valid("no ids", "NoBias", logits=[1, -0.0, -inf], biased=[], biases=[])
    file.valid("a bias of 500", "NotAdded", logits=[1, 2, 3], biased=[0], biases=[500])
    file.valid("V = 1", "NotAdded", logits=[-3], biased=[0], biases=[1.5])
    file.valid("a bias below half a unit", "NotAdded", logits=[2**24, 1], biased=[0], biases=[0.5])

    file.group("zeros", "PENALTY-5", "As IEEE 754: x - x is 0, and -0 - 0 is -0.")
    file.valid("opposites, and a bias of 0", "SignOfZero", logits=[1, -1, -0.0], biased=[0, 1, 2], biases=[-1, 1, 0])
    file.valid("-0 and a bias of -0", "SignOfZero", logits=[-0.0, 0.0, 1], biased=[0, 1], biases=[-0.0, -0.0])

    file.group("bans", "PENALTY-5", "-inf masks a token; every other number is only added.")
    file.valid("-inf", "FiniteBan", logits=[1, 2, 3], biased=[2], biases=[-inf])
    file.valid("-100 is a number", "FiniteBan", logits=[150, 2, 3], biased=[0], biases=[-100])
    file.valid("all but one", "FiniteBan", logits=[1, 2, 3], biased=[0, 2], biases=[-inf, -inf])
    file.valid("+100 of a masked token", "MaskLost", logits=[1, -inf], biased=[1], biases=[100])
    file.invalid("bad_logits", "every token", "FiniteBan", logits=[1, 2], biased=[0, 1], biases=[-inf, -inf])
    file.invalid("bad_logits", "the last one left", "FiniteBan", logits=[[1, 2], [-inf, 2]], biased=[1], biases=[-inf])

    file.group("dtypes of biases", "PENALTY-5", "The biases are rounded to the dtype of the logits.", biased=[0, 2])
    file.valid("float64 biases", "DoubleBias", logits=[-1.3, 2, 0.7], biases=float64([1.3 + 2**-26, 0.1]))
    file.valid("float16 biases", "DoubleBias", logits=[1, 2, 3], biases=array([0.1, -3], "float16"))
    file.valid("float64 logits", "DoubleBias", logits=float64([1, 2, 3]), biases=[0.1, -3])

    file.every_penalty("NotAdded WrongToken", {"biased": [], "biases": []}, biased=[2, 0, 1], biases=[0.3, -2, 4])

    file.group("overflow", "PENALTY-7", "No finite logit may become infinite.", biased=[1])
    file.invalid("overflow", "3e38 + 3e38", "Overflow", logits=[0, 3e38], biases=[3e38])
    file.invalid("overflow", "-3e38 - 3e38 is no mask", "Overflow", logits=[0, -3e38], biases=[-3e38])
    file.valid("3e38 + 3e38 in float64", "Overflow", logits=float64([0, 3e38]), biases=[3e38])
    file.valid("the largest float32 stays", "Overflow", logits=[0, 3.4028234663852886e38], biases=[1])

    file.group("bad biases", "PENALTY-7", "Finite, or -inf; one for each id.", logits=[1, 2, 3], biased=[0, 2])
    for value in (nan, inf):
        file.invalid("bad_biases", f"{value}", "BadBias", biases=[0, value])
    file.invalid("bad_biases", "1e39, infinite in float32", "BadBias", biases=float64([0, 1e39]))
    file.invalid("bad_biases", "-1e39 is no mask", "BadBias", biases=float64([0, -1e39]))
    file.invalid("bad_biases", "an id that stands twice", "BadBias", biased=[1, 1], biases=[0.5, 0.25])
    for comment, shape in {"one bias": [1], "three biases": [1, 2, 3], "two axes": [[1, 2]], "no axis": 1}.items():
        file.invalid("bad_shape", comment, "BadBias", biases=shape)
    file.invalid("bad_dtype", "int64 biases", "KindError", biases=array([1, 2], "int64"))

    file.group("bad ids", "PENALTY-7", "Ids in [0, V).", logits=[1, 2, 3], biases=[1, 2])
    file.bad_ids("biased", {"two axes": [[1, 0]], "no axis": 1})
    return file
