"""The fast path on tensors: the verdicts, tokens and stream of the mirror's plain path, waiting for the device once."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

import reference
import torch_impl
from torch_impl import fast, validation

from .. import strategies, suite
from ..heads import MIRROR, on_tensors, to_torch, torch_generator
from ..local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from ..verdict import compare
from .test_fast import CHECKS

spec = pytest.mark.spec


def _scattered(probs: torch.Tensor, token_ids: torch.Tensor, vocab_size: int) -> torch.Tensor:
    return torch.zeros((*probs.shape[:-1], vocab_size), dtype=probs.dtype).scatter(-1, token_ids, probs)


def _lm_head(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> torch.Tensor:
    logits = fast.compute_logits(context, embedding)
    return _scattered(*fast.survivors(logits, temperature, k), logits.shape[-1])


def _multinomial(probs: Any, num_samples: int = 1, *, rng: Any) -> torch.Tensor:
    """All of V as survivors: the draw of the fast path, with what it does to the stream."""
    vocab_size = probs.shape[-1] if isinstance(probs, torch.Tensor) and probs.ndim else 0
    token_ids = torch.arange(vocab_size).expand(getattr(probs, "shape", (0,)))
    return fast.draw(probs, token_ids, vocab_size, num_samples, rng=rng)


FAST = MIRROR.but(
    "torch_impl.fast",
    **{
        function.__name__.strip("_"): on_tensors(function) for function in (fast.compute_logits, _lm_head, _multinomial)
    },
)
OF_LOGITS = [check for check in suite.checks("test_logits") if "gpt2" not in check.name]


@spec("HEAD-1", "HEAD-2", "HEAD-3", "HEAD-4", "HEAD-5", "TOPK-1", "TOPK-2", "DRAW-1", "DRAW-5", "RNG-5")
@pytest.mark.parametrize("check", [*CHECKS, *OF_LOGITS], ids=lambda check: check.name)
def test_the_suites_checks(check: suite.Check) -> None:
    """The checks that mutants are held against, on the fast path as the head."""
    check.call(FAST)


@spec("TEMP-1", "TOPK-2", "SOFTMAX-1")
@given(st.data(), strategies.logits(), strategies.temperatures)
def test_survivors_are_those_of_the_reference(data: st.DataObject, rows: np.ndarray, temperature: float) -> None:
    k = data.draw(strategies.ks(rows.shape[-1]))
    try:
        kept = reference.keep_top_k(reference.apply_temperature(rows, temperature), k)
    except ValueError:  # the quotient overflows
        with pytest.raises(ValueError, match="is inf: it must be finite"):
            fast.survivors(to_torch(rows), temperature, k)
        return
    probs, token_ids = fast.survivors(to_torch(rows), temperature, k)
    assert (token_ids.diff(dim=-1) > 0).all()
    whole = _scattered(probs, token_ids, rows.shape[-1]).numpy()
    compare("softmax", reference.softmax(kept), whole, logits=kept).require()
    assert not whole[kept == -np.inf].any()


@spec("TEMP-1", "TOPK-2")
@pytest.mark.parametrize("temperature", [0.7, 1.3, 3e7])
def test_ties_at_the_cut(temperature: float) -> None:
    """In bfloat16 most rows have one, and division makes more: the lowest ids survive, as in the plain path."""
    rows = torch.randn((60, 2_000), generator=torch_generator(0)).bfloat16()
    plain = torch_impl.top_k(torch_impl.apply_temperature(rows, temperature), 50)[1].sort(dim=-1).values
    tied = torch.topk(rows, 51).values
    assert 20 < (tied[:, 49] == tied[:, 50]).sum() < 60
    assert fast.survivors(rows, temperature, 50)[1].equal(plain)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@spec("DRAW-1", "RNG-3", "RNG-5")
def test_the_tokens_of_torch_multinomial_and_its_stream(dtype: torch.dtype) -> None:
    """64 rows of GPT-2's length, four steps, from the plain probabilities; then both give the same next number."""
    logits = 4 * torch.randn((64, 50_257), dtype=dtype, generator=torch_generator(1))
    probs, token_ids = fast.survivors(logits, 0.7, 50)
    whole = _scattered(probs, token_ids, logits.shape[-1])
    plain, rng = torch_generator(11), torch_generator(11)
    for _ in range(4):
        drawn = fast.draw(probs, token_ids, logits.shape[-1], rng=rng)
        assert drawn.equal(torch.multinomial(whole, 1, generator=plain))
    assert rng.get_state().equal(plain.get_state())


@spec("RNG-3", "RNG-5")
@pytest.mark.skipif(not local_stream_is_mt19937(), reason=OTHER_STREAM)
def test_logarithms_are_those_of_exponential() -> None:
    """Bit for bit, and only where they are the logarithms of the generator's uniform numbers."""
    assert fast._logarithms_of_uniforms()
    token_ids = torch.arange(0, 20_000, 400).expand(3, -1)
    for dtype in (torch.float32, torch.float64):
        whole = torch.empty((3, 20_000), dtype=dtype).exponential_(generator=torch_generator(5))
        assert fast.noise(torch_generator(5), token_ids, 20_000, dtype).equal(whole.gather(-1, token_ids))


@spec("RNG-5")
def test_another_stream_is_asked_for_all_exponentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors for which PyTorch takes them from Intel's library."""
    monkeypatch.setattr(fast, "_logarithms_of_uniforms", lambda: False)
    monkeypatch.setattr(fast, "_exponentials", None)
    token_ids = torch.arange(0, 20_000, 400).expand(3, -1)
    whole = torch.empty((3, 20_000)).exponential_(generator=torch_generator(5))
    assert fast.noise(torch_generator(5), token_ids, 20_000, torch.float32).equal(whole.gather(-1, token_ids))


@spec("HEAD-1", "DRAW-1", "RNG-5", "OUT-5", "PIPE-1")
def test_next_token_at_gpt2_shape(gpt2_shaped: Any) -> None:
    """The tokens of the composed functions and of NumPy's fast path, also with a finish and with steps."""
    context, embedding = map(torch.from_numpy, gpt2_shaped)
    steps: list[Any] = [("apply_temperature", {"temperature": 0.7}), ("keep_top_k", {"k": 50})]
    steps += [("keep_top_p", {"p": 0.95}), ("keep_min_p", {"p": 0.05})]
    finish: dict[str, Any] = {"multiplier": 0.5, "cap": 30.0}
    for rows in (context[0], context[:1], context[:9]):
        plain, rng = torch_generator(3), torch_generator(3)
        logits = torch_impl.compute_logits(rows, embedding)
        cases: list[tuple[dict[str, Any], torch.Tensor]] = [
            ({}, torch_impl.process(logits, steps[:2])),
            ({"steps": steps}, torch_impl.process(logits, steps)),
            ({"finish": finish}, torch_impl.process(torch_impl.finish_logits(logits, **finish), steps[:2])),
        ]
        for added, kept in cases:
            due = torch_impl.multinomial(torch_impl.softmax(kept), rng=plain)[..., 0]
            assert fast.next_token(rows, embedding, rng=rng, **added).equal(due)


@given(strategies.arguments("process"))
def test_pipelines(case: dict[str, Any]) -> None:
    tensors = {name: to_torch(value) for name, value in case.items()}
    steps = [*case["steps"], ("keep_top_k", {"k": 7}), ("keep_min_p", {"p": 0.05}), ("keep_top_p", {"p": 0.9})]
    for chosen in (case["steps"], steps):
        try:
            kept = torch_impl.process(**{**tensors, "steps": chosen})
        except ValueError:  # a temperature too much
            continue
        probs, token_ids = fast.process(**{**tensors, "steps": chosen})
        whole = torch.zeros(kept.shape, dtype=probs.dtype).scatter_add(-1, token_ids, probs)
        compare("softmax", reference.softmax(kept.numpy()), whole.numpy(), logits=kept.numpy()).require()


@spec("DRAW-1")
def test_the_distribution_from_k_numbers() -> None:
    """Chi-square of 40,000 tokens; and k numbers of the generator are taken for each row, not V."""
    embedding, rows = torch.tensor([[1.0], [2], [4], [0.5], [3]]).log(), 40_000
    rng, again = torch_generator(2024), torch_generator(2024)
    drawn = fast.next_token(torch.ones((rows, 1)), embedding, temperature=1.0, k=3, rng=rng, same_tokens=False)
    counts = drawn.bincount(minlength=5).numpy()
    assert counts[[0, 3]].sum() == 0
    assert stats.chisquare(counts[[1, 2, 4]], np.array([2, 4, 3]) / 9 * rows).pvalue > 1e-9
    torch.empty((rows, 3)).exponential_(generator=again)
    assert rng.get_state().equal(again.get_state())


@spec("HEAD-5", "LOGITS-4", "TEMP-2", "TEMP-3", "TOPK-5", "SOFTMAX-4", "DRAW-5")
@pytest.mark.parametrize(
    "changed",
    [
        {"context": torch.full((2, 1), torch.nan)},
        {"context": torch.tensor([[1.0], [torch.inf]])},
        {"context": torch.ones((2, 2))},
        {"embedding": torch.ones((0, 1))},
        {"temperature": 0.0},
        {"temperature": 1e-38, "context": torch.full((2, 1), 1e30)},
        {"k": 0},
    ],
)
def test_refusals_have_the_plain_paths_words(changed: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "context": torch.ones((2, 1)), "embedding": torch.tensor([[-1.0], [2.0]]), "k": 1, **changed
    }  # fmt: skip
    with pytest.raises(ValueError) as plain_error:
        torch_impl.lm_head(**arguments)
    with pytest.raises(ValueError) as fast_error:
        fast.next_token(**arguments, rng=torch_generator(0))
    assert str(fast_error.value) == str(plain_error.value)


@pytest.mark.parametrize(
    ("token_ids", "message"),
    [
        ([[0, 1], [2, 1]], r"token_ids\[1, 1\] is 1, after 2: ids must ascend"),
        ([[0, 1], [1, 1]], r"token_ids\[1, 1\] is 1, after 1: an id may stand once"),
        ([[0, 1], [1, 3]], r"token_ids\[1, 1\] is 3: it must be in \[0, 3\)"),
        ([[0, 1]], r"token_ids has shape \(1, 2\): it must be \(2, 2\)"),
    ],
)
def test_ids_that_are_refused(token_ids: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fast.draw(torch.ones((2, 2)), torch.tensor(token_ids), 3, rng=torch_generator(0))


class Waits(TorchDispatchMode):
    """Counts the operations for whose result a program waits for its device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.split(".")[0] in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "_unique2"):
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("same_tokens", [False, True])
def test_the_device_is_waited_for_once(same_tokens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device where all exponentials are made; the temperature is looked at on the CPU."""
    monkeypatch.setattr(fast, "_logarithms_of_uniforms", lambda: False)
    context, embedding = torch.randn((4, 8), generator=torch_generator(0)), torch.randn((500, 8))
    with Waits() as of_temperature:
        float(validation.check_temperature(0.7, torch.zeros((), device="cpu")))
    with Waits() as waits:
        fast.next_token(context, embedding, rng=torch_generator(0), same_tokens=same_tokens)
    assert waits.names == [*of_temperature.names, "_local_scalar_dense.default"]


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # PyTorch's own
def test_from_logits_to_flag_is_one_graph() -> None:
    rows, divisor = torch.randn((4, 500), generator=torch_generator(0)), torch.tensor(0.7)
    compiled = torch.compile(fast._largest, fullgraph=True, backend="eager")
    for ours, plain in zip(compiled(rows, divisor, 50), fast._largest(rows, divisor, 50), strict=True):
        assert ours.equal(plain)
