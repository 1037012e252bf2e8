"""Bad input: what is refused, as which kind of error, and that the message names the argument, the value, the place."""

from typing import Any

import numpy as np
import pytest

from reference.operations import DEFAULTS, OPERATIONS, STAGES

from .heads import Head

spec = pytest.mark.spec
NAN, INF = np.nan, np.inf
f32 = np.float32


def row(*values: float) -> np.ndarray:
    return np.array(values, f32)


def words(head: Head, message: str) -> str | None:
    """A pattern for the message: our heads' must match it, others need only refuse."""
    return message if head.our_words else None


BAD_LOGITS = [
    (row(0, NAN, 1), r"logits\[1\] is nan"),
    (row(0, 1, INF), r"logits\[2\] is inf"),
    (np.array([[0, 1, 2], [0, INF, NAN]], f32), r"logits\[1, 1\] is inf"),
    (np.array([[[0.0, 1.0]], [[NAN, 1.0]]]), r"logits\[1, 0, 0\] is nan"),
    (row(-INF, -INF), r"logits is -inf for every token.*unmasked"),
    (np.array([[0, 1], [-INF, -INF]], f32), r"logits\[1\] is -inf for every token"),
    (np.zeros((2, 0), f32), r"logits has shape \(2, 0\).*vocabulary.*empty"),
    (np.array(1.0, f32), r"logits is a single number, 1\.0"),
]


TAKES_LOGITS = [name for name in STAGES if "logits" in OPERATIONS[name].arguments]


def call_with_logits(head: Head, function: str, logits: Any) -> Any:
    batch, none = np.shape(logits)[:-1], np.zeros(0, np.int64)
    of_rows = {"history": np.zeros((*batch, 0), np.int64), "token_ids": np.zeros(batch, np.int64)}
    tensors = {**of_rows, "uniform": np.full(batch, 0.5), **dict.fromkeys(("biased", "banned", "end_ids"), none)}
    others = OPERATIONS[function].given({**DEFAULTS, **tensors, "biases": np.zeros(0, f32)})
    others.pop("ties", None)  # some heads have no choice
    return getattr(head, function)(logits, **others)


@spec("SOFTMAX-4", "HEAD-5")
@pytest.mark.parametrize("function", TAKES_LOGITS)
@pytest.mark.parametrize(("logits", "message"), BAD_LOGITS)
def test_logits(head: Head, function: str, logits: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        call_with_logits(head, function, logits)


@spec("HEAD-2", "HEAD-5")
@pytest.mark.parametrize("function", TAKES_LOGITS)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_, np.complex64])
def test_logits_of_another_kind(head: Head, function: str, dtype: type) -> None:
    with pytest.raises(
        TypeError, match=words(head, r"logits has dtype .*(int|bool|complex|uint).*convert it to float32 or float64")
    ):
        call_with_logits(head, function, np.ones(3, dtype))


@spec("HEAD-2", "HEAD-5")
@pytest.mark.parametrize("values", [np.array([1.0, None]), "logits", np.array(["a", "b"])])
def test_objects(head: Head, values: Any) -> None:
    with pytest.raises(TypeError, match=words(head, r"logits has (dtype|type)|can't convert")):
        head.softmax(values)


@spec("TEMP-2", "HEAD-5")
@pytest.mark.parametrize("temperature", [0, 0.0, -0.0, -1.0, INF, -INF, NAN, 1e-46, 1e39])
def test_temperature(head: Head, temperature: float) -> None:
    """1e-46 is 0 in float32 and 1e39 is inf."""
    with pytest.raises(ValueError, match=words(head, r"temperature is .*(0|1|inf|nan).*finite and > 0.*argmax")):
        head.apply_temperature(row(1, 2), temperature)


@spec("TEMP-2")
@pytest.mark.parametrize("temperature", ["0.7", None, True, 1 + 0j, [0.7], np.array(0.7)])
def test_temperature_of_another_kind(head: Head, temperature: Any) -> None:
    with pytest.raises(TypeError, match=words(head, r"temperature is .*one real number")):
        head.apply_temperature(row(1, 2), temperature)


@spec("TEMP-3", "HEAD-5")
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (row(0, 5), r"\(logits / temperature=1e-38\)\[1\] is inf"),
        (row(-5, -7), r"\(logits / temperature=1e-38\) is -inf for every token"),
    ],
)
def test_quotients_that_overflow(head: Head, logits: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        head.apply_temperature(logits * 100, 1e-38)


@spec("TOPK-5", "HEAD-5")
@pytest.mark.parametrize("k", [0, -1, -(10**9)])
def test_k(head: Head, k: int) -> None:
    for function in (head.top_k, head.keep_top_k):
        with pytest.raises(ValueError, match=words(head, rf"k is {k}: it must be at least 1")):
            function(row(1, 2), k)
    with pytest.raises(ValueError, match=words(head, rf"k is {k}")):
        head.lm_head(row(1), np.ones((2, 1), f32), k=k)


@spec("TOPK-5")
@pytest.mark.parametrize("k", [True, False, 1.0, "2", None, np.float32(2), np.array(2), np.array([2]), np.True_])
def test_k_of_another_kind(head: Head, k: Any) -> None:
    for function in (head.top_k, head.keep_top_k):
        with pytest.raises(TypeError, match=words(head, r"k is .*it must be an integer")):
            function(row(1, 2), k)


@spec("TOPK-4", "TOPK-5")
def test_k_in_numpy_integers(head: Head) -> None:
    for k in (np.int64(9), np.uint8(9), 9):
        assert head.top_k(row(1, 2), k)[1].tolist() == [1, 0]


@spec("TOPK-7")
def test_another_word_for_ties(head: Head) -> None:
    with pytest.raises(ValueError, match=words(head, r"ties is 'some'.*'lowest_id' or 'all'")):
        head.keep_top_k(row(1, 2), 1, ties="some")


@spec("LOGITS-4", "HEAD-5")
@pytest.mark.parametrize(
    ("context", "embedding", "message"),
    [
        (row(1, 2, 3), np.ones((5, 4), f32), r"context has d = 3 .*embedding has d = 4 .*\(5, 4\).*transpose"),
        (np.ones((2, 3), f32), np.ones((3, 5), f32), r"context has d = 3 \(shape \(2, 3\)\).*d = 5"),
        (row(1, 2), np.ones(2, f32), r"embedding has shape \(2,\).*\(V, d\)"),
        (row(1, 2), np.ones((0, 2), f32), r"embedding has shape \(0, 2\).*V >= 1"),
        (np.array(1.0, f32), np.ones((2, 1), f32), r"context is a single number"),
    ],
)
def test_shapes_of_the_product(head: Head, context: Any, embedding: Any, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        head.compute_logits(context, embedding)
    with pytest.raises(ValueError, match=words(head, message)):
        head.lm_head(context, embedding)


@spec("HEAD-2", "HEAD-5")
@pytest.mark.parametrize("dtype", [np.int64, np.complex128])
def test_factors_of_another_kind(head: Head, dtype: type) -> None:
    with pytest.raises(TypeError, match=words(head, r"context has dtype .*(int64|complex128)")):
        head.compute_logits(np.ones(2, dtype), np.ones((3, 2), f32))
    with pytest.raises(TypeError, match=words(head, r"(embedding|context) has dtype .*(int64|complex128)")):
        head.compute_logits(np.ones(2, f32), np.ones((3, 2), dtype))


@spec("SOFTMAX-4", "HEAD-5")
def test_nan_in_the_context_is_found_in_the_logits(head: Head) -> None:
    with pytest.raises(ValueError, match=words(head, r"logits\[1, 0\] is nan.*context.*embedding")):
        head.lm_head(np.array([[1.0], [NAN]], f32), np.ones((3, 1), f32))


BAD_PROBS = [
    (row(0.5, -0.1), r"probs\[1\] is -0\.1.*finite and >= 0"),
    (np.array([[0.5, 0.5], [NAN, 1.0]]), r"probs\[1, 0\] is nan"),
    (row(0.5, INF), r"probs\[1\] is inf"),
    (row(0, 0), r"probs sums to zero"),
    (np.array([[1, 0], [0, 0]], f32), r"probs\[1\] sums to zero"),
    (np.zeros((1, 0), f32), r"probs has shape \(1, 0\).*empty"),
]


@spec("DRAW-5", "CDF-4", "HEAD-5")
@pytest.mark.parametrize(("probs", "message"), BAD_PROBS)
def test_probabilities(head: Head, probs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        head.multinomial(probs, rng=head.torch_rng(0))
    with pytest.raises(ValueError, match=words(head, message)):
        head.inverse_cdf(probs, np.full(probs.shape[:-1], 0.5))


@spec("HEAD-2", "DRAW-5")
def test_probabilities_of_another_kind(head: Head) -> None:
    with pytest.raises(TypeError, match=words(head, r"probs has dtype .*int64")):
        head.multinomial(np.array([1, 2]), rng=head.torch_rng(0))


@spec("DRAW-6", "HEAD-5")
def test_more_samples_than_possible_tokens(head: Head) -> None:
    """`torch.multinomial([0, 0, .5, .5, 0], 5)` returns all five ids, three of probability zero."""
    with pytest.raises(
        ValueError, match=words(head, r"num_samples is 5 but probs has only 2 tokens of non-zero probability")
    ):
        head.multinomial(row(0, 0, 0.5, 0.5, 0), 5, rng=head.torch_rng(0))
    with pytest.raises(ValueError, match=words(head, r"num_samples is 2 but probs\[1\] has only 1 ")):
        head.multinomial(np.array([[1, 1], [0, 1]], f32), 2, rng=head.torch_rng(0))


@spec("DRAW-6")
def test_number_of_samples(head: Head) -> None:
    with pytest.raises(ValueError, match=words(head, r"num_samples is 0")):
        head.multinomial(row(1, 1), 0, rng=head.torch_rng(0))
    for bad in (True, 1.0, None):
        with pytest.raises(TypeError, match=words(head, r"num_samples is .*integer")):
            head.multinomial(row(1, 1), bad, rng=head.torch_rng(0))


@spec("DRAW-5", "HEAD-5")
@pytest.mark.parametrize(("noise", "message"), [([1, -1], r"noise\[1\] is -1"), ([NAN, 1], r"noise\[0\] is nan")])
def test_noise(head: Head, noise: list[float], message: str) -> None:
    from .strategies import FixedNoise

    if not head.takes_noise:
        message += r"|rng has type FixedNoise.*torch\.Generator"
    with pytest.raises((ValueError, TypeError), match=words(head, message)):
        head.multinomial(row(1, 1), rng=FixedNoise(noise))


@spec("DRAW-5", "HEAD-5")
@pytest.mark.parametrize("rng", [None, 5, np.random.RandomState(0)])
def test_a_source_of_another_kind(head: Head, rng: Any) -> None:
    with pytest.raises(TypeError, match=words(head, r"rng has type (NoneType|int|RandomState): it must ")):
        head.multinomial(row(1, 1), rng=rng)


@spec("CDF-3", "HEAD-5")
@pytest.mark.parametrize(
    ("uniform", "message"),
    [
        (np.array([0.5, 1.0]), r"uniform\[1\] is 1\.0.*\[0, 1\)"),
        (np.array([-0.1, 0.5]), r"uniform\[0\] is -0\.1"),
        (np.array([0.5, NAN]), r"uniform\[1\] is nan"),
        (np.array(0.5), r"uniform has shape \(\).*\(2,\), one number per row"),
        (np.array([0.1, 0.2, 0.3]), r"uniform has shape \(3,\)"),
    ],
)
def test_uniform(head: Head, uniform: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=words(head, message)):
        head.inverse_cdf(np.ones((2, 3), f32), uniform)


@spec("CDF-3")
def test_uniform_of_another_kind(head: Head) -> None:
    with pytest.raises(TypeError, match=words(head, r"uniform has dtype .*int64")):
        head.inverse_cdf(np.ones(3, f32), np.array(0))


@spec("CDF-4", "HEAD-5")
def test_a_sum_that_overflows(head: Head) -> None:
    with pytest.raises(ValueError, match=words(head, r"the sum of probs\[1\] overflows")):
        head.inverse_cdf(np.array([[1.0, 1.0], [1e308, 1e308]]), np.array([0.5, 0.5]))
