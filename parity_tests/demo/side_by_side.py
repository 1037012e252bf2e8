"""One prompt, three heads: NumPy, PyTorch and Transformers next to each other, token by token."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedModel

import reference
import torch_impl
from torch_impl import huggingface
from weights_export.checkpoint import Checkpoint
from weights_export.forward import window as context_window
from weights_export.tokens import encode

from ..local_torch_rng import local_stream_is_mt19937
from ..verdict import Verdict, Word, compare
from .decoding import (
    PROFILE,
    NumpyHead,
    judge_steps,
    numpy_generate,
    scores_of_generate,
    steps,
    transformers_generate,
)

SHOWN = 10


@dataclass(frozen=True)
class Candidate:
    """One token and its probability in each implementation. `ulps` is the largest difference from NumPy's."""

    token: str
    id: int
    logit: float
    numpy: float
    pytorch: float
    transformers: float
    ulps: int


@dataclass(frozen=True)
class Draw:
    """The token ids that each implementation drew from the same seed, in order."""

    numpy: list[int]
    pytorch: list[int]
    transformers: list[int]


@dataclass(frozen=True)
class SideBySide:
    """The whole comparison, to be printed or written as JSON."""

    prompt: str
    temperature: float
    top_k: int
    seed: int
    candidates: list[Candidate]
    pytorch: Verdict
    transformers: Verdict
    draw: Draw
    texts: dict[str, str]
    generation: list[Verdict]
    same_stream: bool
    others: dict[str, Any]  # what generation_config.json sets beside temperature and top-k, and all three apply
    ignored: tuple[str, ...]  # what it sets, and none of them applies

    @property
    def diverged(self) -> bool:
        """Whether any comparison diverged."""
        return any(v.word == Word.DIVERGED for v in (self.pytorch, self.transformers, *self.generation))

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain data, with the word of each verdict."""
        data = asdict(self)
        for name in ("pytorch", "transformers"):
            data[name] = str(getattr(self, name).word)
        data["generation"] = [str(v.word) for v in self.generation]
        return {**data, "diverged": self.diverged}


def ulps_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many float32 numbers apart `a` and `b` are. Both must be >= 0."""
    x, y = (np.ascontiguousarray(v, dtype=np.float32).view(np.int32).astype(np.int64) for v in (a, b))
    return np.abs(x - y)


def side_by_side(
    checkpoint: Checkpoint, prompt: str, *, temperature: float = 0.7, k: int = 50, seed: int = 0, tokens: int = 1
) -> SideBySide:
    """Compute the next-token distribution of `prompt` in three ways, and `tokens` tokens from one seed.

    `prompt` must have at least one character, and `tokens` must be at least 1; the command checks both.
    Raises: ValueError if the prompt and the new tokens do not fit the context window; and as the stages do.
    """
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    ids = encode(tokenizer, prompt, None)
    window = context_window(model)
    if window is not None and len(ids) + tokens > window:
        raise ValueError(
            f"--tokens {tokens} is too many after a prompt of length {len(ids)}: the sum must be at most {window}, the "
            "length of the model's context window"
        )
    input_ids = torch.tensor([ids])
    mask = torch.ones_like(input_ids)
    others = settings_of(model)
    settings: dict[str, Any] = {"temperature": temperature, "k": k, "seed": seed, **others}
    head = NumpyHead.of(model, ids)
    try:
        theirs = transformers_generate(model, input_ids, mask, tokens, **settings)
    except RuntimeError as error:
        raise ValueError(f"generate() fails, at temperature {temperature:g}: {error}") from None
    # One more run of the model, along the tokens of generate(), gives everything that NumPy and PyTorch need.
    followed = steps(head, input_ids, mask, tokens, follow=theirs, **settings)
    ours = np.stack([step.token_ids for step in followed], axis=1)
    if not np.array_equal(ours, theirs):  # these steps still followed their tokens: NumPy's own text needs another run
        ours = numpy_generate(head, input_ids, mask, tokens, **settings)
    h, logits = followed[0].context, followed[0].logits
    context = torch.from_numpy(h)
    inputs: dict[str, Any] = {
        "context": h,
        "embedding": head.embedding,
        "temperature": temperature,
        "k": k,
        "finish": head.finish,
    }
    by_numpy = reference.softmax(reference.keep_top_k(reference.apply_temperature(logits, temperature), k))
    by_torch = _by_torch(head, context, temperature, k)
    by_transformers = huggingface.processed(followed[0].theirs, temperature, k).numpy()
    verdicts = [
        compare("lm_head", by_numpy, by_torch, **inputs),
        compare("lm_head", by_numpy, by_transformers, **inputs, ties="all"),
    ]
    if others:  # the model's own logits through all steps, by each implementation
        pipeline = PROFILE.steps(temperature=temperature, top_k=k, **others)
        raw, theirs_after = scores_of_generate(model, input_ids, temperature=temperature, top_k=k, **others)
        common: dict[str, Any] = {"steps": pipeline, "history": input_ids.numpy(), "prompt_length": len(ids)}
        after = reference.process(raw.numpy(), **common)
        by_mirror = torch_impl.process(raw, pipeline, input_ids, len(ids)).numpy()
        also = [compare("process", after, x, logits=raw.numpy(), **common) for x in (by_mirror, theirs_after.numpy())]
        verdicts = [max(pair, key=lambda v: list(Word).index(v.word)) for pair in zip(verdicts, also, strict=True)]
        by_numpy, by_torch, by_transformers = map(reference.softmax, (after, by_mirror, theirs_after.numpy()))
    shown = reference.top_k(logits[0], min(SHOWN, k))[1]
    ulps = np.maximum(ulps_between(by_numpy, by_torch), ulps_between(by_numpy, by_transformers))[0]
    rng = torch.Generator().manual_seed(seed)
    draw = Draw(
        numpy=ours[0].tolist(),
        pytorch=torch_impl.multinomial(torch.from_numpy(by_torch[0]), rng=rng).tolist(),
        transformers=theirs[0].tolist(),
    )
    same_stream = local_stream_is_mt19937()
    return SideBySide(
        prompt=prompt,
        temperature=temperature,
        top_k=k,
        seed=seed,
        candidates=[
            Candidate(
                token=tokenizer.decode([i]),
                id=int(i),
                logit=float(logits[0, i]),
                numpy=float(by_numpy[0, i]),
                pytorch=float(by_torch[0, i]),
                transformers=float(by_transformers[0, i]),
                ulps=int(ulps[i]),
            )
            for i in shown
        ],
        pytorch=verdicts[0],
        transformers=verdicts[1],
        draw=draw,
        texts={name: tokenizer.decode(getattr(draw, name)) for name in ("numpy", "pytorch", "transformers")},
        generation=judge_steps(head, followed, theirs, **settings, prompt=input_ids.numpy()) if same_stream else [],
        same_stream=same_stream,
        others=others,
        ignored=ignored_settings(model),
    )


def _by_torch(head: NumpyHead, context: torch.Tensor, temperature: float, k: int) -> np.ndarray:
    """The mirror's probabilities."""
    logits = torch_impl.compute_logits(context, torch.from_numpy(head.embedding))
    if head.finish:
        bias = head.finish["bias"]
        numbers = {name: value for name, value in head.finish.items() if name != "bias"}
        logits = torch_impl.finish_logits(logits, None if bias is None else torch.from_numpy(bias), **numbers)
    kept = torch_impl.keep_top_k(torch_impl.apply_temperature(logits, temperature), k)
    return torch_impl.softmax(kept).numpy()


# The settings that are applied: the end of a text is not, so neither is a least length.
_APPLIED = PROFILE.defaults.keys() - {"temperature", "top_k", "eos_token_id", "min_length", "min_new_tokens"}
# What else changes tokens in generate().
_CHANGES_TOKENS = (
    *("sequence_bias", "bad_words_ids", "min_length", "min_new_tokens", "num_beams"),
    *("begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty"),
    *("remove_invalid_values", "guidance_scale", "watermarking_config", "penalty_alpha", "dola_layers"),
)


def settings_of(model: PreTrainedModel) -> dict[str, Any]:
    """What the checkpoint's generation_config.json sets beside temperature and top-k, and all three apply."""
    given = {name: getattr(model.generation_config, name, None) for name in sorted(_APPLIED)}
    return {
        name: value for name, value in given.items() if value is not None and PROFILE.steps(top_k=0, **{name: value})
    }


def ignored_settings(model: PreTrainedModel) -> tuple[str, ...]:
    """What else the checkpoint's generation_config.json would do to the tokens."""
    given = {name: getattr(model.generation_config, name, None) for name in _CHANGES_TOKENS}
    return tuple(f"{name} = {value!r}" for name, value in given.items() if value and value != 1)  # 1 is "off"


_COLOUR = {Word.IDENTICAL: "green", Word.WITHIN_BOUND: "green", Word.TIE_BREAK: "yellow", Word.DIVERGED: "bold red"}


def _word(verdict: Verdict) -> Text:
    return Text(verdict.word, style=_COLOUR[verdict.word])


def render(result: SideBySide) -> Group:
    """The comparison as text for a terminal 100 columns wide."""
    table = Table()
    for name, side in (("token", "left"), ("id", "right"), ("logit", "right"), ("NumPy", "right")):
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for name in ("PyTorch", "Transformers", "ulps"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in result.candidates:
        numbers = (f"{p:.8f}" for p in (c.numpy, c.pytorch, c.transformers))
        table.add_row(Text(repr(c.token)[:24]), str(c.id), f"{c.logit:.4f}", *numbers, str(c.ulps))
    whole = Table.grid(padding=(0, 2))
    for name, verdict in (("PyTorch", result.pytorch), ("Transformers", result.transformers)):
        whole.add_row(name, _word(verdict), f"{verdict.ratio:.2g}")
    parts: list[Any] = [
        Text(f"prompt {result.prompt!r}, temperature {result.temperature:g}, k = {result.top_k}\n"),
        *([Text(f"from generation_config.json: {_listed(result.others)}\n")] if result.others else []),
        table,
        Text("the whole vocabulary, against NumPy: verdict, and the largest error ÷ bound"),
        whole,
    ]
    parts += [Text(""), *_draws(result)]
    if result.ignored:
        parts.append(Text(f"not applied, though generation_config.json sets it: {', '.join(result.ignored)}"))
    for verdict in (result.pytorch, result.transformers, *result.generation):
        if verdict.word == Word.DIVERGED:
            parts.append(Text(str(verdict), style="red"))
    return Group(*parts)


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


def _draws(result: SideBySide) -> list[Any]:
    draw = result.draw
    if not result.same_stream:
        return [
            Text(
                f"drawn from seed {result.seed}: NumPy {result.texts['numpy']!r}, PyTorch {result.texts['pytorch']!r}. "
                "This PyTorch fills exponential_() from another stream than MT19937 (RNG-1): seeds cannot agree."
            )
        ]
    grid = Table.grid(padding=(0, 2))
    if len(draw.numpy) == 1:
        title = f"drawn from seed {result.seed}"
        for label, name in (("NumPy", "numpy"), ("PyTorch", "pytorch"), ("Transformers", "transformers")):
            grid.add_row(label, Text(f"{result.texts[name]!r} (id {getattr(draw, name)[0]})"))
    else:
        title = f"{len(draw.numpy)} tokens from seed {result.seed}"
        for label, name in (("the NumPy head", "numpy"), ("model.generate()", "transformers")):
            grid.add_row(label, Text(repr(result.texts[name])))
    return [Text(title), grid, _agreement(result)]


def _agreement(result: SideBySide) -> Text:
    worst = max(result.generation, key=lambda v: list(Word).index(v.word))
    same = result.draw.numpy == result.draw.transformers and result.draw.pytorch[0] == result.draw.numpy[0]
    return Text.assemble(("the same" if same else "NOT the same") + ", token for token: ", _word(worst))


def show(result: SideBySide, console: Console) -> None:
    """Print the comparison."""
    console.print(render(result), soft_wrap=False)
