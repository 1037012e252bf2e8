"""Scoring in blocks of the vocabulary: log-probabilities within the derived bound, ranks and top-k exact, memory."""

import inspect
import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from torch.utils._python_dispatch import TorchDispatchMode

import reference
import reference.scoring
import torch_impl.scoring
from reference import bounds

from .. import strategies
from ..heads import on_tensors, to_torch
from ..judges.elements import worst_element
from ..judges.output_layer import exact_finish

spec = pytest.mark.spec

FUNCTIONS = [
    name
    for name, found in vars(reference.scoring).items()
    if inspect.isfunction(found) and name[0] != "_" and "mutmut" not in name  # which puts its own beside each
]


class Scoring:
    """One implementation, its functions on NumPy arrays."""

    def __init__(self, name: str, wrapped: Callable[[Any], Any]) -> None:
        self.name, module = name, {"reference": reference.scoring, "torch_impl": torch_impl.scoring}[name]
        for function in FUNCTIONS:
            setattr(self, function, wrapped(getattr(module, function)))

    def __repr__(self) -> str:
        return self.name


BOTH = pytest.mark.parametrize("scoring", [Scoring("reference", lambda f: f), Scoring("torch_impl", on_tensors)])


def exact_scores(
    context: np.ndarray,
    embedding: np.ndarray,
    temperature: float,
    dtype: str,
    blocks: int,
    finish: dict[str, Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities `(..., V)` from float64, and how far a computation in `dtype` may be from them."""
    divisor = float(np.dtype(dtype).type(temperature))
    logits = context.astype(np.float64) @ embedding.astype(np.float64).T
    error = bounds.logits(context, embedding, dtype, "float64")
    if finish:
        in_dtype = np.dtype(dtype).type
        given = {name: value if np.ndim(value) else float(in_dtype(value)) for name, value in finish.items()}
        slack = bounds.finish_logits(logits, **given, dtype="float64")
        error = bounds.finish_logits(logits, **given, dtype=dtype, error=error) + slack
        logits = exact_finish(logits, **given)
    scaled = logits / divisor
    error = bounds.temperature(logits, divisor, dtype, error)
    shifted = scaled - scaled.max(axis=-1, keepdims=True)
    exact = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return exact, bounds.log_probs(scaled, dtype, error, blocks) + bounds.log_probs(scaled, "float64")


def require(scores: np.ndarray, exact: np.ndarray, bound: np.ndarray, token_ids: np.ndarray) -> float:
    """Raises unless each score is within its bound; the largest error / bound."""
    chosen = token_ids[..., None]
    exact, bound = (np.take_along_axis(array, chosen, axis=-1)[..., 0] for array in (exact, bound))
    ratio, place = worst_element(scores, exact, bound)
    assert ratio <= 1, f"log_probs{list(place)} is {scores[place]}, exact {exact[place]}, {ratio:.3g} x the bound"
    return ratio


@st.composite
def cases(draw: st.DrawFn, max_vocab: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contexts, an embedding and one token id for each context."""
    context, embedding = draw(strategies.factors(max_vocab=max_vocab))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return context, embedding, rng.integers(0, len(embedding), context.shape[:-1])


@BOTH
@spec("LOGITS-2", "TEMP-1", "SOFTMAX-1", "SOFTMAX-2", "HEAD-2", "HEAD-4")
@given(cases(), st.data(), st.sampled_from([0.1, 0.7, 1.0, 2.0, 10.0]))
def test_log_probs_within_the_bound(scoring: Any, case: Any, data: st.DataObject, temperature: float) -> None:
    """Of the exact value, for block sizes from 1 to beyond V: so two block sizes differ by two bounds at most."""
    context, embedding, token_ids = case
    block = data.draw(strategies.ks(len(embedding)))
    scores = np.asarray(scoring.log_probs(context, embedding, token_ids, temperature, block))
    assert scores.shape == context.shape[:-1]
    assert scores.dtype == strategies.compute_dtype(context)
    blocks = math.ceil(len(embedding) / block)
    require(scores, *exact_scores(context, embedding, temperature, scores.dtype.name, blocks), token_ids)


FINISHES = st.fixed_dictionaries(
    {"multiplier": strategies.scales, "divisor": strategies.scales, "cap": strategies.caps}
)


@BOTH
@spec("OUT-5", "OUT-6", "HEAD-2")
@given(cases(), st.data(), FINISHES)
def test_finished_logits_within_the_bound(scoring: Any, case: Any, data: st.DataObject, numbers: Any) -> None:
    """With a bias, which is cut into blocks, a scale and a cap: the bounds of the parts make that of the whole."""
    context, embedding, token_ids = case
    finish = {**numbers, "bias": data.draw(strategies.biases(len(embedding), embedding.dtype))}
    block = data.draw(strategies.ks(len(embedding)))
    scores = np.asarray(
        scoring.log_probs(context, embedding, token_ids, 0.7, block, finish=in_package(scoring, finish))
    )
    assert scores.dtype == strategies.compute_dtype(context)
    blocks = math.ceil(len(embedding) / block)
    require(scores, *exact_scores(context, embedding, 0.7, scores.dtype.name, blocks, finish), token_ids)


def in_package(scoring: Scoring, finish: dict[str, Any]) -> dict[str, Any]:
    """The bias as a tensor, where the functions take tensors."""
    return {name: to_torch(value) if scoring.name == "torch_impl" else value for name, value in finish.items()}


@BOTH
@spec("OUT-5", "TOPK-2")
@pytest.mark.parametrize("block", [1, 4, 100])
def test_rank_and_top_k_of_finished_logits(scoring: Any, block: int) -> None:
    """Whole numbers: those of the composed functions, bit for bit; a float64 bias makes all float64."""
    rng = np.random.default_rng(block)
    context, embedding, bias = (rng.integers(-3, 4, shape).astype(np.float32) for shape in ((5, 3), (30, 3), 30))
    for dtype in ("float32", "float64"):
        finish: dict[str, Any] = {"bias": bias.astype(dtype), "multiplier": 3.0, "divisor": 4.0, "cap": 9.0}
        logits = reference.finish_logits(reference.compute_logits(context, embedding), **finish)
        given = in_package(scoring, finish)
        values, ids = scoring.top_k(context, embedding, 7, block=block, finish=given)
        assert values.dtype == logits.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(ids, reference.top_k(logits, 7)[1])
        for place in (0, 3, 6):
            found = scoring.rank(context, embedding, ids[:, place], block=block, finish=given)
            np.testing.assert_array_equal(found, np.full(5, place))
        mean = scoring.cross_entropy(context, embedding, ids[:, 0], block=block, finish=given)
        assert math.exp(mean) == pytest.approx(
            scoring.perplexity(context, embedding, ids[:, 0], block=block, finish=given), rel=1e-12
        )


@BOTH
@spec("OUT-7", "HEAD-5")
def test_a_bad_finish_is_refused(scoring: Any) -> None:
    """An overflow is named by its place in all of V."""
    context, embedding, ids = np.ones((2, 1), np.float32), np.ones((5, 1), np.float32), np.array([0, 1])
    context[1] = 1e30
    for finish, message in (
        ({"multiplier": 1e30}, r"\(\(logits \+ bias\) \* multiplier / divisor\)\[1, 0\] is inf: it overflows"),
        ({"bias": np.array([0, 0, 0, 3e38, 0], np.float32), "multiplier": 2.0}, r"\[0, 3\] is inf: it overflows"),
        ({"bias": np.zeros(4, np.float32)}, r"bias has shape \(4,\): it must be \(5,\)"),
        ({"cap": 0.0}, r"cap is 0.0: it must be > 0"),
    ):
        with pytest.raises(ValueError, match=message):
            scoring.log_probs(context, embedding, ids, block=2, finish=in_package(scoring, finish))
    with pytest.raises(TypeError, match="scale"):
        scoring.log_probs(context, embedding, ids, finish={"scale": 2.0})


@BOTH
@spec("SOFTMAX-2")
@pytest.mark.parametrize("block", range(1, 38))
def test_every_block_size(scoring: Any, block: int) -> None:
    """1 to V, on logits that rise, fall and lie near -100 with a spread of 200, so that the maximum moves often."""
    rng = np.random.default_rng(4)
    rising = np.linspace(-200, 0, 37, dtype=np.float32)
    embedding = np.stack([rising, rising[::-1], rng.permutation(rising) - 100], axis=1)
    context, token_ids = np.eye(3, dtype=np.float32), np.array([36, 18, 7])
    scores = scoring.log_probs(context, embedding, token_ids, 0.7, block)
    require(scores, *exact_scores(context, embedding, 0.7, "float32", math.ceil(37 / block)), token_ids)


@BOTH
@spec("SOFTMAX-1")
@pytest.mark.parametrize("block", [1024, 50_257])
def test_at_gpt2_shape(scoring: Any, block: int, gpt2_shaped: Any) -> None:
    """Eight positions of GPT-2's shape with outlier dimensions."""
    context, embedding = gpt2_shaped[0][:8], gpt2_shaped[1]
    token_ids = np.array([0, 1, 1023, 1024, 25_000, 50_255, 50_256, 7])
    scores = scoring.log_probs(context, embedding, token_ids, block=block)
    blocks = math.ceil(50_257 / block)
    assert require(scores, *exact_scores(context, embedding, 1.0, "float32", blocks), token_ids) < 0.1


def test_the_bound_catches_a_forgotten_rescaling() -> None:
    """What the running sum must not do: keep the old weights when the maximum rises."""
    x = np.array([[0.0, 1.0, 2.0]])
    exact, bound = exact_scores(np.ones((1, 1)), x.T, 1.0, "float32", 3)
    with pytest.raises(AssertionError, match="x the bound"):
        require(np.array([0.0 - np.log(3.0)]), exact, bound, np.array([2]))


@spec("SOFTMAX-1")
@given(strategies.logits(dtypes=("float64",), max_vocab=12, shapes=st.just(())))
def test_the_bound_against_exact_arithmetic(row: np.ndarray) -> None:
    """From given logits, each token in 60 digits: float64 stays inside its own bound."""
    finite = row[np.isfinite(row)]
    scores = reference.scoring.log_probs(np.ones((len(finite), 1)), finite[:, None], np.arange(len(finite)))
    allowed = bounds.log_probs(finite, "float64", 2.0**-1000)
    with mp.workdps(60):
        exact = [mp.mpf(float(z)) for z in finite]
        total = mp.log(mp.fsum(mp.exp(z - max(exact)) for z in exact))
        for score, z, bound in zip(scores, exact, allowed, strict=True):
            assert abs(mp.mpf(float(score)) - (z - max(exact) - total)) <= mp.mpf(float(bound))


@BOTH
@spec("TOPK-1", "TOPK-2", "TOPK-3", "TOPK-4")
@given(cases(), st.data())
def test_rank_and_top_k_stream(scoring: Any, case: Any, data: st.DataObject) -> None:
    """Whole numbers, so that logits are exact and ties many: the order is the head's, across the seams of blocks."""
    context, embedding, token_ids = (np.rint(case[0]) % 3, np.rint(case[1] * 2) % 3, case[2])
    context, embedding = context.astype(np.float32), embedding.astype(np.float32)
    block, k = data.draw(strategies.ks(len(embedding))), data.draw(strategies.ks(len(embedding)))
    values, ids = reference.top_k(reference.compute_logits(context, embedding), len(embedding))
    streamed = scoring.top_k(context, embedding, k, 1.0, block)
    assert [np.asarray(part).dtype for part in streamed] == [np.float32, np.int64]
    np.testing.assert_array_equal(streamed[0], values[..., :k])
    np.testing.assert_array_equal(streamed[1], ids[..., :k])
    ranks = np.asarray(scoring.rank(context, embedding, token_ids, 1.0, block))
    np.testing.assert_array_equal(np.take_along_axis(ids, ranks[..., None], axis=-1)[..., 0], token_ids)


@BOTH
@spec("TEMP-1", "TOPK-2")
def test_ties_that_the_division_makes_count_as_ties(scoring: Any) -> None:
    """1.9 and its neighbours divided by 1.7 are equal: the lowest id comes first, although its logit is smaller."""
    embedding = (np.float32(1.9) + np.spacing(np.float32(1.9)) * np.arange(6, dtype=np.float32))[:, None]
    scaled = reference.apply_temperature(embedding[:, 0], 1.7)
    assert len(np.unique(scaled)) < 6
    ids = reference.top_k(scaled, 6)[1]
    for block in (1, 4, 6):
        assert scoring.top_k(np.ones(1, np.float32), embedding, 6, 1.7, block)[1].tolist() == ids.tolist()
        ranks = scoring.rank(np.ones((6, 1), np.float32), embedding, ids, 1.7, block)
        assert ranks.tolist() == [0, 1, 2, 3, 4, 5]


@spec("LOGITS-2")
@given(cases())
def test_parity_with_torchs_cross_entropy(case: Any) -> None:
    """`F.cross_entropy` in float32 on unblocked logits: each position within the two bounds, and the mean too."""
    context, embedding, token_ids = case[0].astype(np.float32), case[1].astype(np.float32), case[2]
    h, w, ids = (to_torch(np.array(a, order="C")) for a in (context, embedding, token_ids))
    logits = torch.nn.functional.linear(h, w).reshape(-1, len(w))
    theirs = -torch.nn.functional.cross_entropy(logits, ids.reshape(-1), reduction="none").numpy()
    exact, bound = exact_scores(context, embedding, 1.0, "float32", 1)
    require(theirs.reshape(token_ids.shape), exact, bound, token_ids)
    if token_ids.size:
        mean = float(torch.nn.functional.cross_entropy(logits, ids.reshape(-1)))
        of_tokens = np.take_along_axis(bound, token_ids[..., None], axis=-1)
        scores = np.take_along_axis(exact, token_ids[..., None], axis=-1)
        summed = bounds.gamma(token_ids.size + 1, "float32") * np.abs(scores).mean()  # PyTorch's mean is in float32
        for ours in (
            torch_impl.scoring.cross_entropy(h, w, ids, block=3),
            reference.scoring.cross_entropy(context, embedding, token_ids, block=3),
        ):
            blocked = exact_scores(context, embedding, 1.0, "float32", math.ceil(len(embedding) / 3))[1]
            blocked = np.take_along_axis(blocked, token_ids[..., None], axis=-1)
            assert abs(ours - mean) <= (of_tokens + blocked).mean() * (1 + 2**-20) + 2 * summed


@pytest.mark.parametrize("text", ["I do beseech your highness", "KING RICHARD III:\nWhy, then, if thy part,"])
def test_parity_with_transformers_loss(checkpoint: Any, text: str) -> None:
    """The model's own `loss`, which shifts labels by one, against ours on its hidden states."""
    ids = checkpoint.tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        loss = float(checkpoint.model(input_ids=ids, labels=ids).loss)
        hidden = checkpoint.model.transformer(ids).last_hidden_state[0, :-1]
    embedding, targets = checkpoint.model.transformer.wte.weight.detach(), ids[0, 1:]
    context, table, tokens = hidden.numpy(), embedding.numpy(), targets.numpy()
    exact, one = exact_scores(context, table, 1.0, "float32", 1)
    many = exact_scores(context, table, 1.0, "float32", math.ceil(len(table) / 100))[1]
    allowed, scores = (np.take_along_axis(a, tokens[:, None], axis=-1) for a in (one + many, exact))
    allowed = allowed.mean() + 2 * bounds.gamma(len(tokens) + 1, "float32") * np.abs(scores).mean()
    assert abs(torch_impl.scoring.cross_entropy(hidden, embedding, targets, block=100) - loss) <= allowed
    assert abs(reference.scoring.cross_entropy(context, table, tokens, block=100) - loss) <= allowed
    perplexity = reference.scoring.perplexity(context, table, tokens, block=100)
    assert perplexity == np.exp(reference.scoring.cross_entropy(context, table, tokens, block=100))


# How many blocks of memory each function takes, above the block of logits and a few numbers for each position: rank
# compares, top_k holds two blocks with their ids in 64 bits.
BLOCKS = (("log_probs", 1.5), ("rank", 2), ("top_k", 10))


@pytest.mark.parametrize(("function", "blocks"), BLOCKS)
@pytest.mark.parametrize(
    ("of_context", "of_embedding"), [("float32", "float32"), ("float16", "float16"), ("float64", "float32")]
)
def test_peak_memory_is_bounded_whatever_the_vocabulary(
    function: str, blocks: float, of_context: str, of_embedding: str
) -> None:
    """As tracemalloc sees it: a few blocks of `(N, block)`, no more at eight times the vocabulary."""
    positions, d, block, k = 64 if function == "top_k" else 1_024, 8, 128, 5
    rng = np.random.default_rng(1)
    context = rng.standard_normal((positions, d), dtype=np.float32).astype(of_context)
    itemsize = strategies.compute_dtype(context).itemsize
    peaks = []
    for vocab_size in (2_048, 16_384):
        embedding = rng.standard_normal((vocab_size, d), dtype=np.float32).astype(of_embedding)
        argument = k if function == "top_k" else rng.integers(0, vocab_size, positions)
        runs = []
        for _ in range(3):  # other threads of the process, such as those that run the tests, only add to it
            tracemalloc.start()
            getattr(reference.scoring, function)(context, embedding, argument, 0.7, block)
            runs.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        peaks.append(min(runs))
    one_block = positions * (block + k) * itemsize
    # And the two buffers of 8,192 numbers in which NumPy's reductions convert.
    assert max(peaks) < blocks * one_block + block * d * itemsize + positions * 8 * 16 + 2 * 8_192 * 8
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < positions * 16_384 * itemsize / 4


class _Largest(TorchDispatchMode):
    """Watches every operation of PyTorch: the most elements in one result."""

    def __init__(self) -> None:  # PyTorch does not ask for a call of its own
        self.elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("function", [function for function, _ in BLOCKS])
def test_the_mirror_makes_nothing_larger_than_a_block(function: str) -> None:
    positions, d, block, vocab_size, k = 16, 8, 32, 1_000, 5
    context, embedding = torch.randn(positions, d), torch.randn(vocab_size, d, dtype=torch.bfloat16)
    argument = k if function == "top_k" else torch.arange(positions)
    with _Largest() as watched:
        getattr(torch_impl.scoring, function)(context, embedding, argument, 0.7, block)
    assert 0 < watched.elements <= positions * (block + k)


@BOTH
@spec("HEAD-5", "SOFTMAX-4", "TEMP-2", "TEMP-3", "LOGITS-4")
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"context": np.array([[1.0, np.nan]])}, ValueError, "logits[0, 0] is nan: it must be finite, or -inf"),
        ({"embedding": np.array([[0.0, 1], [0, 2], [np.inf, 0]])}, ValueError, "logits[0, 2] is inf"),
        ({"embedding": np.full((3, 2), -1.7e308)}, ValueError, "logits[0] is -inf for every token"),
        ({"temperature": 1e-300, "context": np.array([[0, 1e30]])}, ValueError, "(logits / temperature=1e-300)[0, "),
        ({"temperature": 0.0}, ValueError, "temperature is 0.0"),
        ({"token_ids": np.array([3])}, ValueError, "token_ids[0] is 3: it must be in [0, 3)"),
        ({"token_ids": np.array([-1])}, ValueError, "token_ids[0] is -1"),
        ({"token_ids": np.array([0, 1])}, ValueError, "token_ids has shape (2,): it must be (1,)"),
        ({"token_ids": np.array([0.0])}, TypeError, "token ids are integers"),
        ({"token_ids": np.array([True])}, TypeError, "token ids are integers"),
        ({"block": 0}, ValueError, "block is 0: it must be at least 1"),
        ({"block": 1.5}, TypeError, "block is 1.5: it must be an integer"),
        ({"embedding": np.ones((2, 3))}, ValueError, "both need the same last axis"),
        ({"embedding": np.ones((2, 2), np.int64)}, TypeError, "has dtype"),
        ({"embedding": np.ones((0, 2))}, ValueError, "V >= 1"),
    ],
)
def test_refusals(scoring: Any, changed: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "context": np.array([[1.0, 2.0]]),
        "embedding": np.array([[0.0, 1], [0, 2], [0, 3]]),
        "token_ids": np.array([1]),
        "temperature": 1.0,
        "block": 2,
    }
    arguments |= changed
    for function in ("log_probs", "rank"):
        with pytest.raises(error) as raised:
            getattr(scoring, function)(**arguments)
        assert message in str(raised.value)


@BOTH
@spec("HEAD-4")
def test_the_defaults_and_the_mean(scoring: Any) -> None:
    """Temperature 1; the mean over 1,000 positions is taken in float64; nothing overflows but the perplexity itself."""
    rng = np.random.default_rng(6)
    context, embedding = rng.standard_normal((1_000, 4), np.float32), rng.standard_normal((9, 4), np.float32)
    token_ids = rng.integers(0, 9, 1_000)
    scores = np.asarray(scoring.log_probs(context, embedding, token_ids))
    assert scores.tolist() == np.asarray(scoring.log_probs(context, embedding, token_ids, 1.0, 1024)).tolist()
    mean = scoring.cross_entropy(context, embedding, token_ids)
    assert abs(mean + scores.mean(dtype=np.float64)) <= 2 * bounds.gamma(1_000, "float64") * np.abs(scores).mean()
    assert scoring.perplexity(context, embedding, token_ids) == np.exp(mean)
    assert scoring.perplexity(np.ones((1, 1)), np.array([[0.0], [1000.0]]), np.array([0])) == np.inf
    for ours, theirs in zip(
        scoring.top_k(context, embedding, 9), scoring.top_k(context, embedding, 9, 1.0, 1024), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@spec("HEAD-3")
def test_no_floating_point_warning_whatever_numpy_is_set_to() -> None:
    """A first maximum near the largest number, weights that underflow, a score beyond the range."""
    embedding = np.array([[3e38], [0], [-3e38]], np.float32)
    with np.errstate(all="raise"):
        scores = reference.scoring.log_probs(np.ones((3, 1), np.float32), embedding, np.arange(3), block=1)
        close = reference.scoring.log_probs(np.ones((1, 1)), np.array([[0.0], [-740.0]]), np.array([0]), block=1)
    assert scores.tolist() == [0.0, -np.float32(3e38), -np.inf]
    assert close == 0


@BOTH
@spec("HEAD-4")
def test_no_positions(scoring: Any) -> None:
    """Axes of length 0 give empty results; their mean is refused."""
    context, embedding, token_ids = np.ones((0, 2)), np.ones((3, 2)), np.ones(0, np.int64)
    assert np.shape(scoring.log_probs(context, embedding, token_ids)) == (0,)
    assert np.shape(scoring.rank(context, embedding, token_ids)) == (0,)
    assert np.shape(scoring.top_k(context, embedding, 2)[0]) == (0, 2)
    with pytest.raises(ValueError, match="the mean needs at least one position"):
        scoring.cross_entropy(context, embedding, token_ids)
