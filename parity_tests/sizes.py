"""Cases of a real model's sizes, each as small as it can be in all other respects.

Many mistakes show at large sizes only: token ids kept in 16 bits, a kernel that stops at 65,536 tokens or at 512 rows,
a tail that is no multiple of the vector width. Every case here has one large dimension. Its numbers are whole, so the
answers are exact and short to write. The last tokens, rows and hidden dimensions always matter to the answer.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from reference.operations import STAGES
from reference.streams import STREAMS

VOCABS = (65, 127, 257, 1_023, 4_097, 50_257, 65_537, 131_073)
HIDDEN = (65, 257, 769, 1_025, 4_096)
ROWS = (33, 65, 600, 1_030)
KS = (1_000, 2_000, 3_001)
NEAR_ONE = (0.95, 0.97, 0.99, 0.999, 1 + 2.0**-23, 1.001, 1.01, 1.03, 1.05)  # a head may take them for 1

Case = dict[str, Any]
Labelled = tuple[str, Case]


def cases(operation: str, dtype: str = "float32") -> Iterator[Case]:
    """The arguments of each case of an operation, as `verdict.compare` takes them, with floats in `dtype`.

    Raises: ValueError for an operation that is not a function of a head.
    """
    return (case for _, case in labelled(operation, dtype))


def labelled(operation: str, dtype: str = "float32") -> Iterator[tuple[str, Case]]:
    """As `cases`, each after what is large in it, as in `V = 65,537`."""
    if operation not in STAGES:
        raise ValueError(f"operation is {operation!r}: it must be one of {', '.join(STAGES)}")
    for number, (label, case) in enumerate(_CASES[operation]()):
        rng = np.random.default_rng([STAGES.index(operation), number])
        yield label, {name: value(rng, dtype) if callable(value) else value for name, value in case.items()}


Drawn = Callable[[np.random.Generator, str], np.ndarray]


def _whole(low: int, high: int, *shape: int, last: int | None = None) -> Drawn:
    """Whole numbers from `low` to `high`, never 0; `last` is the last one of each row, if it must stand out."""

    def draw(rng: np.random.Generator, dtype: str) -> np.ndarray:
        numbers = rng.integers(low, high, shape, endpoint=True)
        numbers[numbers == 0] = 1
        if last is not None:
            numbers[..., -1] = last
        return _fitting(numbers, dtype)

    return draw


def _logits(*shape: int) -> Drawn:
    """Six values with hundreds of ties; the last token is the largest."""
    return _whole(-3, 3, *shape, last=4)


def _factors() -> Iterator[Labelled]:
    for v in VOCABS:
        yield f"V = {v:,}", {"context": _whole(-4, 4, 2), "embedding": _whole(-8, 8, v, 2)}
    for d in HIDDEN:
        yield f"d = {d:,}", {"context": _whole(-4, 4, d, last=9), "embedding": _whole(-8, 8, 3, d)}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"context": _whole(-4, 4, rows, 3), "embedding": _whole(-8, 8, 5, 3)}


def _compute_logits() -> Iterator[Labelled]:
    yield from _factors()
    yield "d = 1,025", {"context": _normal(1_025), "embedding": _normal(66, 1_025)}
    yield "rows = 17", {"context": _normal(17, 65), "embedding": _normal(66, 65)}


def _normal(*shape: int) -> Drawn:
    return lambda rng, dtype: rng.standard_normal(shape).astype(dtype)


def _lm_head() -> Iterator[Labelled]:
    for label, case in _factors():
        if label != f"rows = {ROWS[-1]:,}":  # so many rows take too long to judge, and the stages have them
            yield label, {**case, "temperature": 1.0, "k": 3}
    for temperature in NEAR_ONE:
        near = {"temperature": temperature, "k": 50}
        yield f"T = {temperature}", {"context": _whole(-4, 4, 2), "embedding": _whole(-8, 8, 65, 2), **near}
    yield "d = 1,025", {"context": _normal(1_025), "embedding": _normal(66, 1_025), "temperature": 10.0, "k": 66}
    yield "rows = 17", {"context": _normal(17, 65), "embedding": _normal(66, 65), "temperature": 3.0, "k": 66}
    for k in KS:
        many = {"temperature": 2.0, "k": k}
        yield f"k = {k:,}", {"context": _whole(-2, 2, 2), "embedding": _whole(-2, 2, 4_097, 2), **many}


def _apply_temperature() -> Iterator[Labelled]:
    for v in (257, VOCABS[-1]):
        yield f"V = {v:,}", {"logits": _whole(-99, 99, v), "temperature": 0.7}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"logits": _whole(-99, 99, rows, 3), "temperature": 0.7}
    for temperature in NEAR_ONE:
        yield f"T = {temperature}", {"logits": _whole(-(2**20), 2**20, 65), "temperature": temperature}


def _top_k() -> Iterator[Labelled]:
    for v in VOCABS:
        yield f"V = {v:,}", {"logits": _logits(v), "k": 50}
    for k in KS:
        yield f"k = {k:,}", {"logits": _logits(4_097), "k": k}
    yield f"k = {KS[-1]:,}", {"logits": _logits(2, 65_537), "k": KS[-1]}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"logits": _logits(rows, 7), "k": 3}
    yield "rows = 6", {"logits": _logits(2, 3, 7), "k": 2}


_keep_top_k = _top_k


def _softmax() -> Iterator[Labelled]:
    for v in VOCABS:
        yield f"V = {v:,}", {"logits": _logits(v)}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"logits": _uneven(rows, 3)}
    yield "rows = 2", {"logits": _uneven(2, 65_537)}


def _uneven(rows: int, v: int) -> Drawn:
    """One row lies far above the others: each needs its own maximum."""

    def draw(rng: np.random.Generator, dtype: str) -> np.ndarray:
        logits = _logits(rows, v)(rng, dtype)
        logits[rows // 2] += 200
        return logits

    return draw


def _noise(*shape: int) -> Drawn:
    return lambda rng, dtype: rng.standard_exponential(shape).astype("float64" if dtype == "float64" else "float32")


def _multinomial() -> Iterator[Labelled]:
    for v in VOCABS:
        yield f"V = {v:,}", {"probs": _whole(1, 9, v, last=64 * v), "noise": _noise(v)}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"probs": _whole(1, 9, rows, 3), "noise": _noise(rows, 3)}
    for v, samples in ((65, 65), (4_097, 2), (4_097, 1_025), (65_537, 2)):
        case = {"probs": _whole(1, 9, v, last=64 * v), "noise": _noise(v), "num_samples": samples}
        yield f"samples = {samples:,}", case


def _inverse_cdf() -> Iterator[Labelled]:
    """Uniforms at a running sum and just below it, closer than float32 can tell; and in the last token."""
    for v in VOCABS:
        counts = np.random.default_rng(v).integers(1, 9, v)
        counts[-1] += 2 ** int(counts.sum()).bit_length() - counts.sum()  # a power of two: all quotients are exact
        for place, side in ((v // 3, -(2.0**-30)), (v - 1, 0.0)):
            uniform = counts[:place].sum() / counts.sum() * (1 + side)
            yield f"V = {v:,}", {"probs": _given(counts), "uniform": np.array(uniform)}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"probs": _whole(1, 9, rows, 3), "uniform": _uniforms(rows)}


def _draw_as() -> Iterator[Labelled]:
    """The last token is the likeliest; the runtimes take turns."""
    for v, runtime in zip(VOCABS, cycle(STREAMS), strict=False):
        yield f"V = {v:,}", {"probs": _whole(1, 9, 2, v, last=64 * v), "runtime": runtime, "seed": 7}
    for rows, runtime in zip(ROWS, [*STREAMS][::-1], strict=False):
        yield f"rows = {rows:,}", {"probs": _whole(1, 9, rows, 3), "runtime": runtime, "seed": 2**31}


def _given(numbers: np.ndarray) -> Drawn:
    return lambda _, dtype: _fitting(numbers, dtype)


def _fitting(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """The numbers in this dtype; float16 ends at 65,504."""
    return (np.clip(numbers, -30_000, 30_000) if dtype == "float16" else numbers).astype(dtype)


def _uniforms(rows: int) -> Drawn:
    return lambda rng, _: rng.random(rows)


def _norms(**others: Callable[[int], Drawn]) -> Iterator[Labelled]:
    """Of both norms: the last dimension stands out. `others` are arguments `(d,)`."""
    for d in (*HIDDEN, 8_192):
        hidden = _outliers(d) if d > 4_000 else _whole(-4, 4, d, last=9)
        yield f"d = {d:,}", {"hidden": hidden, **{name: of(d) for name, of in others.items()}}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"hidden": _whole(-4, 4, rows, 3), **{name: of(3) for name, of in others.items()}}


def _outliers(d: int) -> Drawn:
    """Hidden states of a real model: a few dimensions are 40 times as large as the rest, the last one among them."""

    def draw(rng: np.random.Generator, dtype: str) -> np.ndarray:
        hidden = rng.standard_normal((2, d))
        hidden[:, [3, d // 2, -1]] *= 40
        return hidden.astype(dtype)

    return draw


def _vector(d: int) -> Drawn:
    """A weight or a bias."""
    return _whole(-4, 4, d, last=3)


def _layer_norm() -> Iterator[Labelled]:
    for label, case in _norms(weight=_vector, bias=_vector):
        yield label, {**case, "epsilon": 1e-5, "weight_offset": 0.0}


def _rms_norm() -> Iterator[Labelled]:
    for label, case in _norms(weight=_vector):
        yield label, {**case, "epsilon": 1e-6, "weight_offset": 1.0}


def _finish_logits() -> Iterator[Labelled]:
    plain = {"multiplier": 0.0625, "divisor": 1.0, "cap": np.inf}
    for v in VOCABS:
        yield f"V = {v:,}", {"logits": _whole(-99, 99, v), "bias": _whole(-9, 9, v, last=7), **plain}
    for rows in ROWS:
        yield f"rows = {rows:,}", {"logits": _whole(-99, 99, rows, 3), "bias": _whole(-9, 9, 3), **plain}
    of_real = {
        "logits": lambda rng, dtype: (rng.standard_normal(4_097) * 20).astype(dtype),
        "bias": _whole(-1, 1, 4_097),
    }
    for cap in (0.5, 30.0, 1e4):  # far below the logits, among them, far above
        yield "V = 4,097", {**of_real, "multiplier": 1.0, "divisor": 8.0, "cap": cap}


def _flat(v: int) -> Drawn:
    """As many equal tokens as the largest power of two in v, the last one among them; the others are masked."""

    def draw(rng: np.random.Generator, dtype: str) -> np.ndarray:
        row = np.full(v, -np.inf)
        row[-1] = row[rng.permutation(v - 1)[: 2 ** (v.bit_length() - 1) - 1]] = 0
        return row.astype(dtype)

    return draw


def _of_rows(**parameters: Any) -> Iterator[Labelled]:
    """Of an operation on rows of logits: many tokens of six values, many rows."""
    for v in VOCABS:
        yield f"V = {v:,}", {"logits": _logits(v), **parameters}
    for rows in ROWS[:-1]:
        yield f"rows = {rows:,}", {"logits": _whole(-3, 3, rows, 7, last=4), **parameters}


def _keep_top_p() -> Iterator[Labelled]:
    yield from _of_rows(p=0.7, until="reached")
    for v in VOCABS:
        yield f"V = {v:,}", {"logits": _flat(v), "p": 0.5, "until": "reached"}


def _keep_xtc() -> Iterator[Labelled]:
    for label, case in _of_rows(threshold=1e-5, probability=0.5):
        rows = int(label.split()[-1].replace(",", "")) if label.startswith("rows") else 0
        yield label, {**case, "uniform": _uniforms(rows) if rows else np.array(0.25)}


_keep_min_p = partial(_of_rows, p=0.1)
_keep_typical = partial(_of_rows, mass=0.6)
_keep_epsilon = partial(_of_rows, cutoff=1e-5)
_keep_eta = partial(_of_rows, cutoff=1e-5)
_keep_top_h = partial(_of_rows, h=0.6)
_keep_top_n_sigma = partial(_of_rows, n=1.5)
_greedy = _of_rows
_log_probs = _of_rows


def _with_history(**parameters: Any) -> Iterator[Labelled]:
    """Histories of hundreds of ids, the last token's id among them."""
    for v in (*VOCABS[2:4], *VOCABS[-2:]):
        yield f"V = {v:,}", {"logits": _logits(v), "history": _ids(v, 601), **parameters}
    for rows in ROWS[:-1]:
        yield f"rows = {rows:,}", {"logits": _whole(-3, 3, rows, 7, last=4), "history": _ids(7, rows, 5), **parameters}


def _ids(v: int, *shape: int) -> Drawn:
    """Token ids; the last one of each row is that of the last token."""

    def draw(rng: np.random.Generator, _: str) -> np.ndarray:
        ids = rng.integers(0, v, shape)
        if shape:
            ids[..., -1] = v - 1
        return ids

    return draw


_repetition_penalty = partial(_with_history, penalty=1.5)
_frequency_penalty = partial(_with_history, penalty=0.25)
_presence_penalty = partial(_with_history, penalty=0.25)


_no_repeat_ngram = partial(_with_history, ngram_size=2)


def _logit_bias() -> Iterator[Labelled]:
    for label, case in _of_rows():
        last = int(label.split()[-1].replace(",", "")) - 1 if label.startswith("V") else 6
        yield label, {**case, "biased": np.array([last, 0]), "biases": _whole(-4, 4, 2)}


def _ban() -> Iterator[Labelled]:
    for label, case in _logit_bias():
        yield label, {"logits": case["logits"], "banned": case["biased"]}


def _min_length() -> Iterator[Labelled]:
    for label, case in _with_history(length=602):
        last = int(label.split()[-1].replace(",", "")) - 1 if label.startswith("V") else 6
        yield label, {**case, "end_ids": np.array([last, 1])}


def _top_log_probs() -> Iterator[Labelled]:
    yield from _of_rows(k=3)
    for k in KS:
        yield f"k = {k:,}", {"logits": _logits(4_097), "k": k}


def _rank() -> Iterator[Labelled]:
    for v in VOCABS:
        for token in (0, v - 1):
            yield f"V = {v:,}", {"logits": _logits(v), "token_ids": np.array(token)}
    for rows in ROWS[:-1]:
        yield f"rows = {rows:,}", {"logits": _whole(-3, 3, rows, 7, last=4), "token_ids": _ids(7, rows)}


def _cross_entropy() -> Iterator[Labelled]:
    for v in VOCABS[2:]:
        yield f"V = {v:,}", {"logits": _logits(v), "token_ids": np.array(v - 1), "ignore_index": -100}
    for rows in ROWS[:-1]:
        of_rows = {"logits": _whole(-3, 3, rows, 7, last=4), "token_ids": _ids(7, rows)}
        yield f"rows = {rows:,}", {**of_rows, "ignore_index": 0}


def _process() -> Iterator[Labelled]:
    steps = [
        ("repetition_penalty", {"penalty": 1.5, "counts": 64}),
        ("apply_temperature", {"temperature": 0.5}),
        ("keep_top_k", {"k": 50}),
        ("keep_top_p", {"p": 0.9}),
    ]
    yield from _with_history(steps=steps, prompt_length=1)


# The cases of an operation are made by the function with its name.
_CASES: dict[str, Callable[[], Iterator[Labelled]]] = {name: globals().get(f"_{name}", tuple) for name in STAGES}
