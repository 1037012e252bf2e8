"""Refusals of `fast`, `scoring` and the stream, word for word: the argument, the value, the place, and what to do.

Of the head's functions only what `test_refusals.py`, which any head must pass, leaves open.
"""

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import reference
from reference import TorchGenerator, fast, scoring

spec = pytest.mark.spec
f32 = np.float32
ROW, PROBS = np.array([1.0, 2.0], f32), np.array([0.5, 0.5], f32)
GREEDY = "it must be finite and > 0; for greedy decoding take the argmax of the logits instead"
LOOK = (
    "it must be finite, or -inf for a masked token; "
    "look for nan, inf or an overflow in the context, the embedding or the mask, or for a tiny temperature"
)
SOURCE = (
    "it must have standard_exponential(size=..., dtype=...), "
    "as numpy.random.default_rng(seed) and TorchGenerator(seed) do"
)

EMPTY = "embedding has shape (0, 1): it must be (V, d), one row per token and V >= 1"
NO_BLOCK = "block is 0: it must be at least 1"
OUTSIDE = "it must be in [0, 4), the vocabulary; leave out positions without a token"
IDS, UP = np.array([[0], [1]]), np.array([0, 1])


def scored(context: Any = ((1.0,), (2.0,)), embedding: Any = ((0.0,), (1,), (2,), (3,)), **others: Any) -> np.ndarray:
    """Two positions in a batch of shape (2, 1), four tokens in blocks of two."""
    context, embedding = np.asarray(context), np.asarray(embedding)
    context = context[:, None] if context.shape == (2, 1) else context
    return scoring.log_probs(context, embedding, **{"token_ids": IDS, "block": 2, **others})


MESSAGES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: reference.compute_logits(np.ones(3), np.array(1.0)),
        ValueError,
        "embedding is a single number, 1.0: it needs at least one axis",
    ),
    (lambda: reference.softmax(np.array([1.0, np.nan])), ValueError, f"logits[1] is nan: {LOOK}"),
    (lambda: reference.apply_temperature(ROW, 0), ValueError, f"temperature is 0: {GREEDY}"),
    (lambda: reference.apply_temperature(ROW, np.nan), ValueError, f"temperature is nan: {GREEDY}"),
    (
        lambda: reference.multinomial(np.array([0.0, -1.0]), rng=TorchGenerator(0)),
        ValueError,
        "probs[1] is -1.0: it must be finite and >= 0",
    ),
    (
        lambda: reference.multinomial(np.array([0.0, 1.0]), 2, rng=TorchGenerator(0)),
        ValueError,
        "num_samples is 2 but probs has only 1 token of non-zero probability: "
        "draw fewer, or keep more tokens (a larger k)",
    ),
    (lambda: reference.apply_temperature(ROW, 1e-50), ValueError, f"temperature is 1e-50 (0.0 in float32): {GREEDY}"),
    (
        lambda: reference.apply_temperature(ROW, 10**400),
        ValueError,
        f"temperature is {10**400} (inf in float32): {GREEDY}",
    ),
    (lambda: reference.multinomial(PROBS, rng=7), TypeError, f"rng has type int: {SOURCE}"),  # type: ignore[arg-type]
    (lambda: reference.inverse_cdf(PROBS, np.array(1.0)), ValueError, "uniform is 1.0: it must be in [0, 1)"),
    (
        lambda: reference.inverse_cdf(np.full(2, 1e308), np.array(0.5)),
        ValueError,
        "the sum of probs overflows: divide the row by its largest value first",
    ),
    (
        lambda: fast.survivors(np.ones((2, 0))),
        ValueError,
        "logits has shape (2, 0): the last axis, the vocabulary, is empty",
    ),
    (lambda: fast.survivors(ROW, k=0), ValueError, "k is 0: it must be at least 1 (to keep every token pass k = V)"),
    (lambda: fast.draw(PROBS, UP, 2, 0, rng=0), ValueError, "num_samples is 0: it must be at least 1"),
    (lambda: fast.draw(PROBS, UP, 2, rng=7), TypeError, f"rng has type int: {SOURCE}"),
    (lambda: fast.draw(PROBS, PROBS, 2, rng=0), TypeError, "token_ids has dtype float32: token ids are integers"),
    (
        lambda: fast.draw(PROBS, UP[:1], 2, rng=0),
        ValueError,
        "token_ids has shape (1,): it must be (2,), one id per probability",
    ),
    (lambda: fast.draw(PROBS, UP + 3, 4, rng=0), ValueError, f"token_ids[1] is 4: {OUTSIDE}"),
    (
        lambda: fast.draw([[0.2, 0.3, 0.5]] * 2, np.array([[0, 1, 2], [1, 3, 2]]), 4, rng=0),
        ValueError,
        "token_ids[1, 2] is 2, after 3: ids must ascend; sort them and their probabilities",
    ),
    (
        lambda: fast.draw(PROBS, UP * 0 + 1, 3, 2, rng=0),
        ValueError,
        "token_ids[1] is 1, after 1: an id may stand once; add its probabilities",
    ),
    (
        lambda: reference.softmax(np.ma.masked_array(ROW, [True, False])),
        TypeError,
        "logits is a masked array, whose mask would be lost: write -inf for masked logits instead",
    ),
    (lambda: scored(context=[[[1.0]], [[np.nan]]]), ValueError, f"logits[1, 0, 0] is nan: {LOOK}"),
    (
        lambda: scored(context=[[[0.0]], [[1.0]]], embedding=[[0.0], [1], [2], [np.inf]]),
        ValueError,
        f"logits[0, 0, 3] is nan: {LOOK}",
    ),
    (lambda: scored(embedding=[[0.0], [1], [2], [np.inf]]), ValueError, f"logits[0, 0, 3] is inf: {LOOK}"),
    (
        lambda: scored(context=[[[1e30]], [[1.0]]], temperature=1e-300),
        ValueError,
        f"(logits / temperature=1e-300)[0, 0, 1] is inf: {LOOK}",
    ),
    (
        lambda: scored(context=[[[1.0]], [[-1.0]]], embedding=np.full((4, 1), np.inf), temperature=2.0),
        ValueError,
        f"logits[0, 0, 0] is inf: {LOOK}",
    ),
    (
        lambda: scored(context=[[[-1.0]], [[1.0]]], embedding=np.full((4, 1), -1.7e308), temperature=0.5),
        ValueError,
        f"(logits / temperature=0.5)[0, 0, 0] is inf: {LOOK}",
    ),
    (
        lambda: scored(context=[[[0.0]], [[2.0]]], embedding=np.full((4, 1), -1.7e308)),
        ValueError,
        "logits[1, 0] is -inf for every token: leave at least one token unmasked",
    ),
    (
        lambda: scored(context=[2.0], token_ids=np.array(0), embedding=np.full((4, 1), -1.7e308)),
        ValueError,
        "logits is -inf for every token: leave at least one token unmasked",
    ),
    (
        lambda: scored(context=[[[0.0]], [[1.0]]], embedding=np.full((4, 1), -1.7e308), temperature=0.5),
        ValueError,
        "(logits / temperature=0.5)[1, 0] is -inf for every token: leave at least one token unmasked",
    ),
    (lambda: scored(embedding=np.ones((0, 1))), ValueError, EMPTY),
    (
        lambda: scored(embedding=np.ones((2, 1), int)),
        TypeError,
        "embedding has dtype int64: convert it to float32 or float64",
    ),
    (lambda: scored(block=0), ValueError, NO_BLOCK),
    (lambda: scored(token_ids=np.array([[0], [4]])), ValueError, f"token_ids[1, 0] is 4: {OUTSIDE}"),
    (lambda: scored(token_ids=np.array([[-1], [0]])), ValueError, f"token_ids[0, 0] is -1: {OUTSIDE}"),
    (
        lambda: scored(token_ids=np.array([0, 1])),
        ValueError,
        "token_ids has shape (2,): it must be (2, 1), one id per context vector",
    ),
    (
        lambda: scored(token_ids=np.array([[0.0], [1.0]])),
        TypeError,
        "token_ids has dtype float64: token ids are integers",
    ),
    (lambda: scoring.cross_entropy(np.ones((1, 1)), np.ones((2, 1)), [0], block=0), ValueError, NO_BLOCK),
    (
        lambda: scoring.top_k(np.ones(1), np.ones((2, 1)), 0),
        ValueError,
        "k is 0: it must be at least 1 (to keep every token pass k = V)",
    ),
    (
        lambda: scoring.cross_entropy(np.ones((0, 1)), np.ones((2, 1)), np.ones(0, int)),
        ValueError,
        "token_ids has shape (0,): the mean needs at least one position",
    ),
    (lambda: TorchGenerator(1.5), TypeError, "seed is 1.5: it must be an integer"),  # type: ignore[arg-type]
    (lambda: TorchGenerator(2**64), ValueError, f"seed is {2**64}: PyTorch takes seeds from -2**63 to 2**64 - 1"),
]


@spec("HEAD-5")
@pytest.mark.parametrize(("call", "kind", "message"), MESSAGES, ids=range(len(MESSAGES)))
def test_word_for_word(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()


class Recording:
    """A source that keeps what it was asked for."""

    def __init__(self, shape: tuple[int, ...] | None = None) -> None:
        self.asked: list[tuple[Any, Any]] = []
        self.shape = shape

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        self.asked.append((size, np.dtype(dtype)))
        return np.ones(size if self.shape is None else self.shape, dtype)


@spec("DRAW-1", "HEAD-2")
@pytest.mark.parametrize("dtype", [np.float16, f32, np.float64])
def test_noise_is_asked_for_in_the_shape_and_dtype_of_the_race(dtype: Any) -> None:
    rng = Recording()
    reference.multinomial(np.ones((2, 3), dtype), rng=rng)
    fast.draw(np.ones((2, 2), dtype), np.array([[0, 1], [1, 2]]), 3, rng=rng)
    assert rng.asked == [((2, 3), np.dtype(np.float64 if dtype is np.float64 else f32))] * 2


@spec("HEAD-1")
def test_the_defaults_are_the_rule() -> None:
    context, embedding = np.ones(1), np.linspace(-1, 1, 60)[:, None]
    np.testing.assert_array_equal(
        reference.lm_head(context, embedding), reference.lm_head(context, embedding, temperature=0.7, k=50)
    )
    logits = embedding[:, 0]
    for ours, theirs in zip(fast.survivors(logits), fast.survivors(logits, 0.7, 50), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    rows = np.ones((500, 1))
    drawn = fast.next_token(rows, 4 * embedding, rng=TorchGenerator(1))
    np.testing.assert_array_equal(drawn, fast.next_token(rows, 4 * embedding, 0.7, 50, rng=TorchGenerator(1)))
    assert len(np.unique(drawn)) > 5
    assert set(fast.next_token(rows, 0 * embedding, rng=TorchGenerator(1))) == set(range(50))
    assert fast.draw(PROBS, UP, 2, rng=TorchGenerator(0)).shape == (1,)


@spec("DRAW-5")
def test_a_source_that_gives_another_shape() -> None:
    message = "noise has shape (3,): rng must give one number per element of probs, (2, 3)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        reference.multinomial(np.ones((2, 3)), rng=Recording(shape=(3,)))


@spec("HEAD-2")
@pytest.mark.parametrize(("rows", "vocab_size"), [(4, 50_000), (50_000, 4)])
def test_neither_factor_is_copied_where_nothing_is_converted(rows: int, vocab_size: int) -> None:
    context, embedding = np.ones((rows, 64), f32), np.ones((vocab_size, 64), f32)
    calls: list[Callable[[], Any]] = [lambda: reference.compute_logits(context, embedding)]
    if rows > vocab_size:
        calls.append(lambda: scoring.log_probs(context, embedding, np.zeros(rows, int)))
    for call in calls:
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < max(context.nbytes, embedding.nbytes) / 2


@spec("HEAD-4")
def test_no_bit_of_the_reference_depends_on_the_memory_layout() -> None:
    """More than SPEC.md asks: rows are laid out in C order first, so that sums run along memory."""
    logits = (np.random.default_rng(4).standard_normal((3, 5_000)) * 4).astype(f32)
    probs = reference.softmax(logits)
    wide = np.zeros((3, 10_000), f32)
    wide[:, ::2] = logits
    for other in (np.asfortranarray(logits), wide[:, ::2]):
        assert reference.softmax(other).tobytes() == probs.tobytes()
