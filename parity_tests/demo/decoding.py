"""The NumPy head in place of `model.generate(do_sample=True)`: PyTorch runs the model, the head chooses each token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

import reference

from ..judges.draws import judge_draw
from ..verdict import Verdict, Word


@dataclass(frozen=True)
class Step:
    """One step of generation for a batch of B rows."""

    context: np.ndarray  # (B, d)
    logits: np.ndarray  # (B, V)
    noise: np.ndarray  # (B, V)
    token_ids: np.ndarray  # (B,), what the NumPy head drew


class _Recorder:
    """A source of noise that keeps the noise it returned last."""

    def __init__(self, seed: int) -> None:
        self._rng = reference.TorchGenerator(seed)
        self.noise = np.empty(0)

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        self.noise = self._rng.standard_exponential(size, dtype)
        return self.noise


@torch.no_grad()
def steps(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    temperature: float,
    k: int,
    seed: int,
    follow: np.ndarray | None = None,
) -> Iterator[Step]:
    """Generate one step after another, without an end. `seed` is that of `torch.manual_seed`.

    Every row takes V numbers of the stream at every step, finished rows included [RNG-5]. As in `generate()`, every
    logit that ties with the k-th survives (`ties="all"`).

    With `follow` `(B, tokens)`, the model is fed those tokens instead of its own, and the steps end with them. Two
    sequences are compared this way: after the first different token they would have nothing in common any more.
    """
    embedding = model.get_output_embeddings().weight.detach().float().numpy()
    rng, cache, mask = _Recorder(seed), DynamicCache(config=model.config), attention_mask
    ids, positions = input_ids, (mask.long().cumsum(1) - 1).clamp(min=0)
    step = 0
    while follow is None or step < follow.shape[1]:
        hidden = model.base_model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state
        context = hidden[:, -1].float().numpy()
        logits = reference.compute_logits(context, embedding)
        kept = reference.keep_top_k(reference.apply_temperature(logits, temperature), k, ties="all")
        drawn = reference.multinomial(reference.softmax(kept), rng=rng)[:, 0]
        yield Step(context, logits, rng.noise, drawn)
        ids = torch.from_numpy(drawn if follow is None else follow[:, step])[:, None]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions, step = positions[:, -1:] + 1, step + 1


def numpy_generate(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, tokens: int, **settings: Any
) -> np.ndarray:
    """`tokens` new token ids for each row, `(B, tokens)`, by the NumPy head. Rows do not stop at an end token."""
    stream = steps(model, input_ids, attention_mask, **settings)
    return np.stack([next(stream).token_ids for _ in range(tokens)], axis=1)


def transformers_generate(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    tokens: int,
    *,
    temperature: float,
    k: int,
    seed: int,
    **options: Any,
) -> np.ndarray:
    """The new token ids of `model.generate(do_sample=True)` after `torch.manual_seed(seed)`, `(B, at most tokens)`.

    `generate()` draws from PyTorch's global stream, whose state is restored afterwards.
    """
    generate: Any = model.generate  # Transformers does not declare it for this class
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sequences = generate(
            input_ids,
            attention_mask=attention_mask,
            do_sample=True,
            temperature=float(temperature),
            top_k=k,
            max_new_tokens=tokens,
            pad_token_id=model.config.eos_token_id,
            **options,
        )
    return sequences[:, input_ids.shape[1] :].numpy()


def judge_steps(
    model: PreTrainedModel,
    followed: Sequence[Step],
    theirs: np.ndarray,
    *,
    temperature: float,
    k: int,
    seed: int,
) -> list[Verdict]:
    """One verdict for each token of `theirs` `(B, tokens)`, the output of `generate()`.

    `followed` are the steps along these tokens. So where a token differs, the next step starts from the same text
    again, and one tie counts only once. Tokens after the end token of a row are not judged.
    """
    embedding = model.get_output_embeddings().weight.detach().float().numpy()
    running = np.ones(len(theirs), dtype=bool)
    verdicts = []
    for i, step in enumerate(followed):
        for row in np.flatnonzero(running):
            token, drawn = int(theirs[row, i]), int(step.token_ids[row])
            if token == drawn:
                verdicts.append(Verdict(operation="generate", word=Word.IDENTICAL))
                continue
            behind = judge_draw(step.context[row], embedding, step.noise[row], token, temperature, k)
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
                    inputs={"temperature": temperature, "k": k, "seed": seed},
                )
            )
        running &= theirs[:, i] != model.config.eos_token_id
    return verdicts


def compare_with_generate(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, theirs: np.ndarray, **settings: Any
) -> list[Verdict]:
    """`judge_steps`, after running the model along `theirs`."""
    followed = list(steps(model, input_ids, attention_mask, follow=theirs, **settings))
    return judge_steps(model, followed, theirs, **settings)
