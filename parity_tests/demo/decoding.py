"""The NumPy head in place of `model.generate(do_sample=True)`: PyTorch runs the model, the head chooses each token."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel

import reference
from reference.profiles import PROFILES
from weights_export import proof
from weights_export.forward import run
from weights_export.output_layer import finished

from ..judges.draws import judge_draw
from ..judges.pipeline import draw_behind
from ..verdict import Verdict, Word

PROFILE = PROFILES["transformers"]


@dataclass(frozen=True)
class Step:
    """One step of generation for a batch of B rows."""

    context: np.ndarray  # (B, d)
    logits: np.ndarray  # (B, V)
    noise: np.ndarray  # (B, V)
    token_ids: np.ndarray  # (B,), what the NumPy head drew
    theirs: torch.Tensor  # (B, V), the model's own logits


@dataclass(frozen=True)
class NumpyHead:
    """A model with its output layer in NumPy, which has been proved on the model's own logits."""

    model: PreTrainedModel
    embedding: np.ndarray  # (V, d)
    finish: Mapping[str, Any]  # what follows the product: arguments of `finish_logits`

    @classmethod
    def of(cls, model: PreTrainedModel, token_ids: list[int]) -> "NumpyHead":
        """The head of a model in float32. Raises: BundleError where its logits for a prompt are others."""
        head = proof.from_model(model, run(model, [token_ids]))
        return cls(model, model.get_output_embeddings().weight.detach().numpy(), head.layer.finish(head.bias))

    def logits(self, context: np.ndarray) -> np.ndarray:
        """`(..., d) -> (..., V)`."""
        logits = reference.compute_logits(context, self.embedding)
        return reference.finish_logits(logits, **self.finish) if self.finish else logits


class _Recorder:
    """A source of noise that keeps the noise it returned last."""

    def __init__(self, seed: int) -> None:
        self._rng = reference.TorchGenerator(seed)
        self.noise = np.empty(0)

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        self.noise = self._rng.standard_exponential(size, dtype)
        return self.noise


@dataclass
class _Drawing(LogitsProcessor):
    """Draws each token by the NumPy head, inside `generate()`, which then finds one token possible: that one.

    So `generate()` keeps the cache, the positions and the masks, in whatever way the model's family needs them. With
    `follow` `(B, tokens)` it finds those tokens instead.
    """

    head: NumpyHead
    pipeline: list[tuple[str, Mapping[str, Any]]]
    seed: int
    follow: np.ndarray | None = None
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng, self._context = _Recorder(self.seed), np.empty(0)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sees each context vector as it enters the output embedding."""

        def entered(_: Any, arguments: tuple[torch.Tensor, ...]) -> None:
            self._context = arguments[0][:, -1].float().numpy()

        handle = self.head.model.get_output_embeddings().register_forward_pre_hook(entered)
        try:
            yield
        finally:
            handle.remove()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = self.head.logits(self._context)
        prompt_length = input_ids.shape[1] - len(self.steps)
        kept = reference.process(logits, self.pipeline, input_ids.numpy(), prompt_length)
        drawn = reference.multinomial(reference.softmax(kept), rng=self._rng)[:, 0]
        chosen = drawn if self.follow is None else self.follow[:, len(self.steps)]
        self.steps.append(Step(self._context, logits, self._rng.noise, drawn, scores))
        return torch.full_like(scores, -torch.inf).scatter_(1, torch.from_numpy(chosen)[:, None], 0.0)


@torch.no_grad()
def steps(
    head: NumpyHead,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    tokens: int,
    *,
    temperature: float,
    k: int,
    seed: int,
    follow: np.ndarray | None = None,
    **others: Any,
) -> list[Step]:
    """`tokens` steps of generation. `seed` is that of `torch.manual_seed`; rows do not stop at an end token.

    `others` are further settings of `generate()` by its own names, such as `top_p`.

    Every row takes V numbers of the stream at every step, finished rows included [RNG-5].

    With `follow` `(B, tokens)`, the model is fed those tokens instead of its own. Two sequences are compared this way:
    after the first different token they would have nothing in common any more.
    """
    pipeline = PROFILE.steps(temperature=temperature, top_k=k, **others)
    drawing = _Drawing(head, pipeline, seed, follow)
    with drawing.watching(), _settings(head.model):
        head.model.generate(  # type: ignore[operator]  # Transformers does not declare it for this class
            input_ids,
            attention_mask=attention_mask,
            do_sample=False,
            logits_processor=[drawing],
            max_new_tokens=tokens,
        )
    return drawing.steps


def numpy_generate(
    head: NumpyHead, input_ids: torch.Tensor, attention_mask: torch.Tensor, tokens: int, **settings: Any
) -> np.ndarray:
    """`tokens` new token ids for each row, `(B, tokens)`, by the NumPy head. Rows do not stop at an end token."""
    found = steps(head, input_ids, attention_mask, tokens, **settings)
    return np.stack([step.token_ids for step in found], axis=1)


@contextmanager
def _settings(model: PreTrainedModel, **given: Any) -> Iterator[None]:
    """These settings of generation alone: a checkpoint's generation_config.json may name filters and penalties."""
    before = model.generation_config
    model.generation_config = GenerationConfig(pad_token_id=0, **given)
    try:
        yield
    finally:
        model.generation_config = before


def transformers_generate(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    tokens: int,
    *,
    temperature: float,
    k: int,
    seed: int,
    eos_token_id: int | None = None,
    **others: Any,
) -> np.ndarray:
    """The new token ids of `model.generate(do_sample=True)` after `torch.manual_seed(seed)`, `(B, at most tokens)`.

    `generate()` draws from PyTorch's global stream, whose state is restored afterwards.
    """
    with torch.random.fork_rng(devices=[]), _settings(model, eos_token_id=eos_token_id):
        torch.manual_seed(seed)
        sequences = model.generate(  # type: ignore[operator]
            input_ids,
            attention_mask=attention_mask,
            do_sample=True,
            temperature=float(temperature),
            top_k=k,
            max_new_tokens=tokens,
            **others,
        )
    return sequences[:, input_ids.shape[1] :].numpy()


def scores_of_generate(
    model: PreTrainedModel, input_ids: torch.Tensor, **settings: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits `(B, V)` of the next token in `generate(do_sample=True)`: the model's own, and those it draws from."""
    with torch.random.fork_rng(devices=[]), _settings(model):
        found = model.generate(  # type: ignore[operator]
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            do_sample=True,
            max_new_tokens=1,
            output_logits=True,
            output_scores=True,
            return_dict_in_generate=True,
            **settings,
        )
    return found.logits[0], found.scores[0]


def judge_steps(
    head: NumpyHead,
    followed: Sequence[Step],
    theirs: np.ndarray,
    *,
    temperature: float,
    k: int,
    seed: int,
    eos_token_id: int | None = None,
    prompt: np.ndarray | None = None,
    **others: Any,
) -> list[Verdict]:
    """One verdict for each token of `theirs` `(B, tokens)`, the output of `generate()` after `prompt` `(B, n)`.

    `followed` are the steps along these tokens. So where a token differs, the next step starts from the same text
    again, and one tie counts only once. Tokens after the end token of a row are not judged.
    """
    running = np.ones(len(theirs), dtype=bool)
    verdicts = []
    for i, step in enumerate(followed):
        for row in np.flatnonzero(running):
            token, drawn = int(theirs[row, i]), int(step.token_ids[row])
            if token == drawn:
                verdicts.append(Verdict(operation="generate", word=Word.IDENTICAL))
                continue
            if others:
                said = np.concatenate([np.zeros(0, int) if prompt is None else prompt[row], theirs[row, :i]])
                behind = _behind(
                    head, step, int(row), token, said, len(said) - i, temperature=temperature, top_k=k, **others
                )
            else:
                noise = step.noise[row]
                behind = judge_draw(step.context[row], head.embedding, noise, token, temperature, k, head.finish)
            verdicts.append(
                Verdict(
                    operation="generate",
                    word=Word.TIE_BREAK if behind <= 1 else Word.DIVERGED,
                    rule="DRAW-1",
                    reason="another token",
                    ratio=behind,
                    place=(int(row), i),
                    actual=token,
                    expected=drawn,
                    inputs={"temperature": temperature, "k": k, "seed": seed, **others},
                )
            )
        running &= theirs[:, i] != (-1 if eos_token_id is None else eos_token_id)
    return verdicts


def _behind(
    head: NumpyHead, step: Step, row: int, token: int, said: np.ndarray, prompt_length: int, **settings: Any
) -> float:
    """How far a token is behind, with filters and penalties; the two logits may be off by twice their bound."""
    context, finish = step.context[row], head.finish or {}
    error = 2 * finished(context, head.embedding, finish)[1] + finished(context, head.embedding, finish, "float64")[1]
    steps = PROFILE.steps(**settings)
    return draw_behind(step.logits[row], error, steps, said, prompt_length, step.noise[row], token)


def compare_with_generate(
    head: NumpyHead,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    theirs: np.ndarray,
    *,
    eos_token_id: int | None = None,
    **settings: Any,
) -> list[Verdict]:
    """`judge_steps`, after running the model along `theirs`."""
    followed = steps(head, input_ids, attention_mask, theirs.shape[1], follow=theirs, **settings)
    prompt = input_ids.numpy()
    return judge_steps(head, followed, theirs, **settings, eos_token_id=eos_token_id, prompt=prompt)
