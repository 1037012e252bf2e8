"""The fast path: the same verdicts as any other head, the same tokens and the same stream as the plain path."""

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import reference
from reference import bounds, fast
from reference.torch_rng import BLOCK

from .. import strategies, suite
from ..heads import REFERENCE
from ..judges import draws
from ..strategies import FixedNoise
from ..verdict import Word, compare

spec = pytest.mark.spec


def _scattered(values: np.ndarray, token_ids: np.ndarray, vocab_size: int) -> np.ndarray:
    whole = np.zeros((*values.shape[:-1], vocab_size), values.dtype)
    place = np.nonzero(values)  # without the places left over, which repeat an id
    whole[(*place[:-1], token_ids[place])] = values[place]
    return whole


def _lm_head(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    logits = reference.compute_logits(context, embedding)
    return _scattered(*fast.survivors(logits, temperature, k), logits.shape[-1])


def _multinomial(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """All of V as survivors: the draw of the fast path, with what it does to the stream."""
    probs = np.asarray(probs)
    token_ids = np.broadcast_to(np.arange(probs.shape[-1] if probs.ndim else 0), probs.shape)
    return fast.draw(probs, token_ids, probs.shape[-1] if probs.ndim else 0, num_samples, rng=rng)


FAST = REFERENCE.but("reference.fast", lm_head=_lm_head, multinomial=_multinomial)


CHECKS = [
    check
    for module in ("test_multinomial", "test_lm_head", "test_refusals")
    for check in suite.checks(module)
    # Those at GPT-2's size are tested below, on the fast path's own functions; so is the distribution.
    if "gpt2" not in check.name and "distribution" not in check.name
]


@spec("HEAD-1", "HEAD-2", "HEAD-3", "HEAD-4", "HEAD-5", "TOPK-1", "TOPK-2", "DRAW-1", "DRAW-5", "RNG-5")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_suites_checks(check: suite.Check) -> None:
    """The checks that mutants are held against, on the fast path as the head."""
    check.call(FAST)


@spec("TEMP-1", "TOPK-2", "SOFTMAX-1")
@given(st.data(), strategies.logits(), strategies.temperatures)
def test_survivors_are_those_of_the_plain_path(data: st.DataObject, rows: np.ndarray, temperature: float) -> None:
    """Bit for bit the same logits go in, so the survivors are the same ids and the probabilities differ by one sum."""
    k = data.draw(strategies.ks(rows.shape[-1]))
    refusal, kept = "", rows
    try:
        kept = reference.keep_top_k(reference.apply_temperature(rows, temperature), k)
    except ValueError as error:  # the quotient overflows
        refusal = str(error)
    if refusal:
        with pytest.raises(ValueError, match=re.escape(refusal)):
            fast.survivors(rows, temperature, k)
        return
    probs = _scattered(*fast.survivors(rows, temperature, k), rows.shape[-1])
    compare("softmax", reference.softmax(kept), probs, logits=kept).require()
    assert not probs[kept == -np.inf].any()


@spec("TEMP-1", "TOPK-2")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("temperature", [1.3, 1.7, 3e7, 1e38])
def test_ties_that_the_division_makes(dtype: str, temperature: float) -> None:
    """Neighbouring numbers whose quotients are equal: the lowest id survives, not the greatest logit."""
    rng = np.random.default_rng(5)
    steps, merged = rng.integers(0, 40, (50, 900)), 0
    for start in (1.9, -126.0, 1.9 * 2.0**-110):
        rows = (start + np.spacing(np.dtype(dtype).type(start)) * steps).astype(dtype)
        scaled = reference.apply_temperature(rows, temperature)
        kept = reference.keep_top_k(scaled, 20)
        token_ids = fast.survivors(rows, temperature, 20)[1]
        assert np.array_equal(token_ids, np.sort(reference.top_k(scaled, 20)[1]))
        assert np.array_equal(np.argwhere(kept > -np.inf)[:, 1].reshape(50, 20), token_ids)
        merged += sum(len(np.unique(q)) < len(np.unique(row)) for q, row in zip(scaled, rows, strict=True))
    assert merged >= 50


@spec("OUT-5", "OUT-6", "HEAD-1")
@given(strategies.factors(), st.data(), strategies.scales, strategies.caps, st.integers(0, 2**32))
def test_a_finish(pair: Any, data: st.DataObject, scale: float, cap: float, seed: int) -> None:
    """The token of the composed functions, from the same stream."""
    context, embedding = pair
    k, bias = data.draw(strategies.ks(len(embedding))), data.draw(strategies.biases(len(embedding), embedding.dtype))
    finish: dict[str, Any] = {"bias": bias, "multiplier": scale, "cap": cap}
    logits = reference.finish_logits(reference.compute_logits(context, embedding), **finish)
    survivors = fast.survivors(logits, 0.7, k)
    expected = fast.draw(*survivors, logits.shape[-1], rng=reference.TorchGenerator(seed))[..., 0]
    drawn = fast.next_token(context, embedding, 0.7, k, rng=reference.TorchGenerator(seed), finish=finish)
    np.testing.assert_array_equal(drawn, expected)


@given(st.data(), strategies.arguments("process"), st.booleans())
def test_pipelines_on_the_survivors_alone(data: st.DataObject, case: dict[str, Any], warm: bool) -> None:
    """Any steps, and a top-k with filters behind it: the probabilities of the plain path, with their ids."""
    filters = ("keep_top_k", {"k": data.draw(strategies.ks(case["logits"].shape[-1]))}), ("keep_min_p", {"p": 0.05})
    nucleus = ("keep_top_p", {"p": data.draw(strategies.shares)})
    steps = [*case["steps"], *([("apply_temperature", {"temperature": 0.7})] if warm else []), *filters, nucleus]
    for chosen in (case["steps"], steps):
        given = {**case, "steps": chosen}
        try:
            kept = reference.process(**given)
        except ValueError:  # a temperature too much
            continue
        probs, token_ids = fast.process(**given)
        whole = np.zeros(kept.shape, probs.dtype)
        for row in np.ndindex(probs.shape[:-1]):  # places left over may stand at the last id, after the id itself
            whole[row] = np.bincount(token_ids[row], probs[row], kept.shape[-1])
        compare("softmax", reference.softmax(kept), whole, logits=kept).require()


def test_a_whole_pipeline_at_gpt2_shape(gpt2_shaped: Any) -> None:
    contexts, embedding = gpt2_shaped
    steps: list[Any] = [("apply_temperature", {"temperature": 0.7}), ("keep_top_k", {"k": 50})]
    steps += [("keep_top_p", {"p": 0.95}), ("keep_min_p", {"p": 0.05})]
    for seed in range(3):
        kept = reference.process(reference.compute_logits(contexts[:8], embedding), steps)
        due = reference.multinomial(reference.softmax(kept), rng=reference.TorchGenerator(seed))[:, 0]
        drawn = fast.next_token(contexts[:8], embedding, rng=reference.TorchGenerator(seed), steps=steps)
        assert drawn.tolist() == due.tolist()


@spec("HEAD-4", "DRAW-1", "RNG-2", "RNG-5")
@given(strategies.factors(), st.data(), st.sampled_from([0.1, 0.7, 1.0, 10.0]), st.integers(0, 2**32))
def test_the_tokens_and_the_stream_of_the_plain_path(
    pair: Any, data: st.DataObject, temperature: float, seed: int
) -> None:
    """Three steps from one seed; then both generators give the same next number."""
    context, embedding = pair
    k = data.draw(strategies.ks(len(embedding)))
    plain, rng = reference.TorchGenerator(seed), reference.TorchGenerator(seed)
    probs = reference.lm_head(context, embedding, temperature, k)
    for _ in range(3):
        before = reference.TorchGenerator(0)
        before._stream.set_state(plain._stream.get_state())
        ours = reference.multinomial(probs, rng=plain)
        theirs = fast.next_token(context, embedding, temperature, k, rng=rng)
        assert theirs.shape == context.shape[:-1]
        noise = before.standard_exponential(probs.shape, probs.dtype)
        error = bounds.softmax(np.where(probs > 0, np.log(np.where(probs > 0, probs, 1)), -np.inf), probs.dtype.name)
        draws.multinomial(ours, theirs[..., None], None, probs=probs, noise=noise, error=error).require()
    assert rng.uniform(3).tolist() == plain.uniform(3).tolist()


@spec("HEAD-1", "RNG-5")
def test_the_tokens_of_the_plain_path_at_gpt2_shape(gpt2_shaped: Any) -> None:
    """64 rows, four steps, one stream."""
    context, embedding = gpt2_shaped
    logits = reference.compute_logits(context, embedding)
    probs = reference.softmax(reference.keep_top_k(reference.apply_temperature(logits, 0.7), 50))
    plain, rng = reference.TorchGenerator(11), reference.TorchGenerator(11)
    for _ in range(4):
        kept, token_ids = fast.survivors(logits, 0.7, 50)
        drawn = fast.draw(kept, token_ids, logits.shape[-1], rng=rng)
        assert drawn.tolist() == reference.multinomial(probs, rng=plain).tolist()
    assert rng.uniform(1) == plain.uniform(1)


@spec("RNG-3", "RNG-5")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_noise_of_the_survivors_is_that_of_all(dtype: Any) -> None:
    """Bit for bit, over several blocks of the stream; then both sources give the same next number."""
    token_ids = np.sort(np.random.default_rng(8).choice(20_000, (3, 50), replace=False), axis=1)
    plain, rng = reference.TorchGenerator(5), reference.TorchGenerator(5)
    noise = fast._noise(rng, token_ids, 20_000, np.dtype(dtype))
    whole = plain.standard_exponential((3, 20_000), np.dtype(dtype))
    assert noise.dtype == dtype
    assert noise.tolist() == np.take_along_axis(whole, token_ids, axis=-1).tolist()
    assert rng.uniform(1) == plain.uniform(1)


@spec("DRAW-1")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpys_generator_is_asked_for_the_survivors_alone(dtype: Any) -> None:
    probs = np.random.default_rng(1).random((200, 5)).astype(dtype)
    token_ids = np.broadcast_to(np.array([1, 4, 6, 7, 9]), probs.shape)
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    drawn = fast.draw(probs, token_ids, 10, rng=rng)
    race = probs / again.standard_exponential(probs.shape, probs.dtype)
    assert drawn[:, 0].tolist() == np.take_along_axis(token_ids, race.argmax(axis=1)[:, None], axis=1)[:, 0].tolist()
    assert rng.random() == again.random()


@spec("DRAW-1")
def test_the_distribution_from_numpys_noise() -> None:
    """Chi-square of 40,000 tokens: the noise of the survivors alone is enough."""
    embedding = np.log(np.array([[1], [2], [4], [0.5], [3]], np.float32))
    rows = 40_000
    rng = np.random.default_rng(2024)
    drawn = fast.next_token(np.ones((rows, 1), np.float32), embedding, temperature=1.0, k=3, rng=rng)
    counts = np.bincount(drawn, minlength=5)
    assert counts[[0, 3]].sum() == 0
    assert stats.chisquare(counts[[1, 2, 4]], np.array([2, 4, 3]) / 9 * rows).pvalue > 1e-9


@spec("DRAW-5")
def test_other_sources_are_asked_for_all_of_v() -> None:
    """The noise decides, and bad noise of a token that did not survive is refused too."""
    context, embedding = np.ones(1), np.array([[0.0], [1.0], [1.0], [-1.0]])
    assert fast.next_token(context, embedding, k=2, rng=FixedNoise([1, 3, 2, 1])) == 2
    with pytest.raises(ValueError, match=r"noise\[3\] is nan"):
        fast.next_token(context, embedding, k=2, rng=FixedNoise([1, 3, 2, np.nan]))
    with pytest.raises(TypeError, match="rng has type RandomState"):
        fast.next_token(context, embedding, k=2, rng=np.random.RandomState(0))


@spec("HEAD-5", "LOGITS-4", "TEMP-2", "TEMP-3", "TOPK-5", "SOFTMAX-4")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"context": np.full((2, 1), np.nan)}, r"logits\[0, 0\] is nan: it must be finite"),
        ({"context": np.array([[1.0], [np.inf]])}, r"logits\[1, 1\] is inf"),
        ({"context": np.ones((2, 2))}, "both need the same last axis"),
        ({"embedding": np.ones((0, 1))}, "V >= 1"),
        ({"temperature": 0.0}, "for greedy decoding take the argmax"),
        ({"temperature": 10**309}, r"\(inf in float64\)"),
        ({"temperature": 1e-300, "context": np.full((2, 1), 1e30)}, r"\(logits / temperature=1e-300\)\[0, 1\] is inf"),
        ({"k": 0}, "k is 0: it must be at least 1"),
    ],
)
def test_refusals_have_the_plain_paths_words(changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"context": np.ones((2, 1)), "embedding": np.array([[-1.0], [2.0]]), "k": 1, **changed}
    with pytest.raises(ValueError, match=message) as fast_error:
        fast.next_token(**arguments, rng=reference.TorchGenerator(0))
    with pytest.raises(ValueError) as plain_error:
        reference.lm_head(**arguments)
    assert str(fast_error.value) == str(plain_error.value)


@spec("HEAD-4")
@pytest.mark.parametrize("source", [np.random.default_rng, reference.TorchGenerator])
def test_no_array_of_v_beyond_the_logits(source: Any, gpt2_shaped: Any) -> None:
    """What the cut and the draw allocate at once, as tracemalloc sees it, is less than one row of logits.

    But for a `TorchGenerator`'s blocks of 2**14 numbers, whose size does not depend on V.
    """
    logits = reference.compute_logits(gpt2_shaped[0][0], gpt2_shaped[1])
    stream = BLOCK * 8 * 3 if source is reference.TorchGenerator else 0
    rng = source(0)
    tracemalloc.start()
    probs, token_ids = fast.survivors(logits)
    fast.draw(probs, token_ids, len(logits), rng=rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < logits.nbytes + stream


def test_an_all_masked_tail_and_a_kth_of_minus_infinity() -> None:
    """Fewer finite logits than k: the places left over have probability zero and are never drawn."""
    row = np.full(1000, -np.inf)
    row[[3, 500, 999]] = [1.0, 2.0, 1.0]
    probs, token_ids = fast.survivors(row, 1.0, 50)
    assert token_ids[probs > 0].tolist() == [3, 500, 999]
    drawn = {int(fast.draw(probs, token_ids, 1000, rng=reference.TorchGenerator(seed))[0]) for seed in range(50)}
    assert drawn == {3, 500, 999}


def test_logits_at_the_end_of_the_range() -> None:
    assert fast.survivors(np.full(4, np.finfo(np.float32).min, np.float32), 1.0, 2)[1].tolist() == [0, 1]


def test_a_wrong_survivor_is_found(checkpoint: Any) -> None:
    """The verdict above is a real one."""
    embedding = checkpoint.model.transformer.wte.weight.detach().numpy()
    inputs = {"context": embedding[:2] * 4, "embedding": embedding}
    ours, theirs = reference.lm_head(**inputs), _lm_head(**inputs)
    assert compare("lm_head", ours, theirs, **inputs).word in (Word.IDENTICAL, Word.WITHIN_BOUND)
    theirs[0] = np.roll(theirs[0], 1)
    assert compare("lm_head", ours, theirs, **inputs).word == Word.DIVERGED
