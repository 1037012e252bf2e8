"""The fixed grid of the report: stage x implementation x dtype x shape, with a verdict in each cell."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

import reference
from reference.operations import DEFAULTS, OPERATIONS, STAGES
from torch_impl.huggingface import context_of
from weights_export.checkpoint import PROMPTS, load

from .. import power
from ..heads import MIRROR, REFERENCE, Head, on_tensors, torch_generator
from ..local_torch_rng import local_stream_is_mt19937
from ..strategies import FixedNoise, compute_dtype
from ..suite import gpt2_shaped
from ..variants import VARIANTS
from ..variants import stages as replaced
from ..verdict import Verdict, Word, compare

DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
ROWS, SEED, CAP = 8, 0, 30.0


@dataclass(frozen=True)
class Implementation:
    """A head and how it is judged: its own operations, its tie rule, and the dtypes that it supports."""

    head: Head
    ties: str = "lowest_id"
    dtypes: tuple[str, ...] = tuple(DTYPES)

    @property
    def stages(self) -> list[str]:
        """The operations that are judged, in the order of the table."""
        return [stage for stage in STAGES if stage in self.head.operations and stage not in self.head.absent]


def of_head(head: Head) -> Implementation:
    """Somebody's head, by its contract."""
    return Implementation(head, head.contract.rule_for_ties(), tuple(d for d in DTYPES if d in head.contract.dtypes))


@dataclass(frozen=True)
class Setting:
    """One dtype and one shape: the arguments of each stage by name, as `compare` takes them."""

    shape: str
    dtype: str
    inputs: dict[str, dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


@dataclass(frozen=True)
class Cell:
    """The verdict on one implementation of one stage in one setting."""

    stage: str
    setting: str
    implementation: str
    verdict: Verdict

    def __str__(self) -> str:
        """The word, and the largest error / bound if there is an error: `WITHIN_BOUND .012`."""
        word = f"{self.verdict.word} unusual" if self.verdict.unusual else str(self.verdict.word)
        if not self.verdict.ratio:
            return word
        ratio = self.verdict.ratio
        shown = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}" if ratio >= 0.001 else "<0.001"
        return f"{word} {shown.replace('0.', '.', 1)}"


@dataclass(frozen=True)
class PowerCell(Cell):
    """The verdict on a rounding or a correct order of summation. Only how far off the rounding is, is of interest."""

    def __str__(self) -> str:
        return str(Cell.__str__(self) if self.verdict.word == Word.DIVERGED else self.verdict.word)


_NO_IDS = torch.empty(0, dtype=torch.long)  # the processors ignore the input ids


def _warped_temperature(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    return TemperatureLogitsWarper(temperature)(_NO_IDS, logits)


def _warped_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    return TopKLogitsWarper(k)(_NO_IDS, logits)


def _warped_head(context: torch.Tensor, embedding: torch.Tensor, temperature: float, k: int) -> torch.Tensor:
    logits = torch.nn.functional.linear(context, embedding)
    return torch.softmax(_warped_top_k(_warped_temperature(logits, temperature), k), dim=-1)


TRANSFORMERS = Implementation(
    Head("", {})
    .but(
        "Transformers",
        torch_rng=torch_generator,
        apply_temperature=on_tensors(_warped_temperature),
        keep_top_k=on_tensors(_warped_top_k),
        lm_head=on_tensors(_warped_head),
        multinomial=on_tensors(lambda probs, rng: torch.multinomial(probs, 1, generator=rng)),
    )
    .drawing_its_own_noise(),
    ties="all",
    dtypes=("float32", "float64"),
)
_ONNX = next(variant for variant in VARIANTS if variant.name == "ONNX Runtime")
ONNX_RUNTIME = Implementation(Head(_ONNX.name, {name: _ONNX.operations[name] for name in replaced(_ONNX)}))

IMPLEMENTATIONS = (Implementation(REFERENCE), Implementation(MIRROR), TRANSFORMERS, ONNX_RUNTIME)


def settings(shape: str, contexts: np.ndarray, embedding: np.ndarray) -> Iterator[Setting]:
    """The inputs of every stage in each dtype. They are the reference's results of the stage before, in that dtype."""
    for dtype, kind in DTYPES.items():
        h, w = contexts[:ROWS].astype(kind), embedding.astype(kind)
        logits = reference.compute_logits(h, w).astype(kind)
        kept = reference.keep_top_k(reference.apply_temperature(logits, DEFAULTS["temperature"]), DEFAULTS["k"])
        probs = reference.softmax(kept).astype(kind)
        values = {
            "temperature": DEFAULTS["temperature"],
            "k": DEFAULTS["k"],
            "context": h,
            "embedding": w,
            "logits": logits,
            "probs": probs,
            "noise": reference.TorchGenerator(SEED).standard_exponential(probs.shape, compute_dtype(probs)),
            "uniform": reference.TorchGenerator(SEED).uniform(len(probs)),
            "seed": SEED,
            "hidden": h,
            "weight": w[0],
            "cap": CAP,
            "history": np.tile(np.arange(7), (len(h), 2)),
            "biased": np.arange(3),
            "biases": w[:3, 0],
            "banned": np.arange(3),
            "end_ids": np.arange(3),
            "token_ids": np.arange(len(h)),
            "steps": [
                ("apply_temperature", {"temperature": DEFAULTS["temperature"]}),
                ("keep_top_p", {"p": DEFAULTS["p"]}),
            ],
        }
        inputs = {stage: OPERATIONS[stage].given(OPERATIONS[stage].defaults | values) for stage in STAGES}
        for given in inputs.values():  # each implementation has its own rule for ties, and draws one token
            given.pop("ties", None), given.pop("num_samples", None)
        inputs["layer_norm"]["bias"], inputs["finish_logits"]["bias"] = w[1], w[:, 0]
        yield Setting(shape, dtype, inputs)


def all_settings() -> Iterator[Setting]:
    """Settings of two shapes: the embedded tiny GPT-2 with its own contexts, and random ones of GPT-2's shape."""
    model, tokenizer = (checkpoint := load("tiny")).model, checkpoint.tokenizer
    contexts = [context_of(model, torch.tensor([tokenizer.encode(prompt)])) for prompt in PROMPTS[:ROWS]]
    yield from settings("tiny", torch.cat(contexts).numpy(), model.get_output_embeddings().weight.detach().numpy())
    yield from settings("GPT-2", *gpt2_shaped())


def cells(setting: Setting, implementations: tuple[Implementation, ...] = IMPLEMENTATIONS) -> Iterator[Cell]:
    """The cells of one setting: every implementation of every stage."""
    for stage, inputs in setting.inputs.items():
        for implementation in implementations:
            if stage not in implementation.stages or setting.dtype not in implementation.dtypes:
                continue
            if stage == "multinomial" and not (implementation.head.takes_noise or local_stream_is_mt19937()):
                continue  # the head draws its own noise, and no seed makes it the reference's
            yield Cell(stage, str(setting), implementation.head.name, _judge(implementation, stage, inputs))


def power_cells() -> Iterator[PowerCell]:
    """Logits with reduced precision, then by correct orders of summation: a column for each hidden size."""
    for name, product in {**power.ROUNDINGS, **power.PRODUCTS}.items():
        for d in power.HIDDEN_SIZES:
            yield PowerCell("compute_logits", name, f"d = {d:,}", power.verdict(product, d, seed=SEED))


def result(head: Head, stage: str, inputs: dict[str, Any], **rule: Any) -> Any:
    """The result of a head. If it does not take noise, it draws from the seed that the noise was made from."""
    if stage != "multinomial":
        return getattr(head, stage)(**inputs, **rule)
    return head.multinomial(
        inputs["probs"], rng=FixedNoise(inputs["noise"]) if head.takes_noise else head.torch_rng(SEED)
    )


def _judge(implementation: Implementation, stage: str, inputs: dict[str, Any]) -> Verdict:
    ties = implementation.ties
    given = {"ties": ties} if stage == "keep_top_k" and ties != "any" else {}
    expected, actual = result(REFERENCE, stage, inputs, **given), result(implementation.head, stage, inputs)
    if stage == "lm_head" or ties == "any":
        given = {"ties": ties} if "k" in OPERATIONS[stage].arguments else {}
    return compare(stage, expected, actual, **inputs, **given)
