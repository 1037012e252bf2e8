"""Wrong pipelines: the order of the steps, what they hand on, and which ids count."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import reference
from reference.operations import OPERATIONS
from reference.pipeline import FUNCTIONS

from .registry import FOLK, mutant
from .rows import INF

Steps = list[tuple[str, dict[str, Any]]]
LLAMA_CPP = "https://github.com/ggml-org/llama.cpp"
MLX_LM = "https://github.com/ml-explore/mlx-lm"
SGLANG = "https://github.com/sgl-project/sglang"
VLLM = "https://github.com/vllm-project/vllm"
PENALTIES_FIRST = "https://github.com/sgl-project/sglang-jax/pull/1563"
PROMPT_COUNTED = "https://github.com/osaurus-ai/vmlx-swift/issues/295"
FINITE = "https://github.com/huggingface/transformers"


def _steps(rule: str, looks_like: str, source: str = FOLK) -> Callable[[Callable[[Steps], Steps]], Any]:
    """Register a recipe that makes other steps of the steps; the reference then goes through them."""

    def register(recipe: Callable[[Steps], Steps]) -> Any:
        def process(
            logits: Any, steps: Any, history: Any = None, prompt_length: int = 0, uniform: Any = None
        ) -> np.ndarray:
            right = reference.process(logits, steps, history, prompt_length, uniform)
            try:
                return reference.process(
                    logits, recipe([(name, dict(given)) for name, given in steps]), history, prompt_length, uniform
                )
            except ValueError:  # the other order bans the last token, or overflows
                return right

        process.__name__ = recipe.__name__
        mutant("process", rule, looks_like, source)(process)
        return recipe

    return register


def _of(family: str, name: str) -> bool:
    return OPERATIONS[name].family == family


@_steps("PIPE-1", "the steps in reverse")
def reverse(steps: Steps) -> Steps:
    return steps[::-1]


@_steps("PIPE-1", "always in an order of its own: penalties, temperature, filters", VLLM)
def own_order(steps: Steps) -> Steps:
    return sorted(steps, key=lambda step: (not _of("penalties", step[0]), _of("filters", step[0])))


@_steps("PIPE-1", "the temperature last, wherever it stands", LLAMA_CPP)
def temperature_last(steps: Steps) -> Steps:
    return sorted(steps, key=lambda step: step[0] == "apply_temperature")


@_steps("PIPE-1", "the temperature first, wherever it stands")
def temperature_first(steps: Steps) -> Steps:
    return sorted(steps, key=lambda step: step[0] != "apply_temperature")


@_steps("PIPE-1", "in the order of the alphabet")
def by_name(steps: Steps) -> Steps:
    return sorted(steps, key=lambda step: step[0])


@_steps("PIPE-1", "additive penalties before the repetition penalty, wherever they stand", SGLANG)
def additive_penalties_first(steps: Steps) -> Steps:
    """Two kinds of penalties, in two buffers."""
    places = [place for place, (name, given) in enumerate(steps) if "penalty" in OPERATIONS[name].arguments]
    ordered = sorted(places, key=lambda place: steps[place][0] == "repetition_penalty")
    moved = dict(zip(places, ordered, strict=True))
    return [steps[moved.get(place, place)] for place in range(len(steps))]


@_steps("PIPE-1", "top-k before top-p, wherever they stand", PENALTIES_FIRST)
def top_k_before_top_p(steps: Steps) -> Steps:
    places = [place for place, (name, _) in enumerate(steps) if name in ("keep_top_k", "keep_top_p")]
    moved = dict(zip(places, sorted(places, key=lambda place: steps[place][0]), strict=True))
    return [steps[moved.get(place, place)] for place in range(len(steps))]


@_steps("PIPE-1", "the last step left out")
def without_the_last(steps: Steps) -> Steps:
    return steps[:-1]


@_steps("PIPE-1", "the first step alone")
def the_first_alone(steps: Steps) -> Steps:
    return steps[:1]


@_steps("PIPE-1", "the last step applied twice")
def the_last_twice(steps: Steps) -> Steps:
    return [*steps, *steps[-1:]]


@_steps("PIPE-1", "of a function that stands twice, the last one alone")
def a_dictionary_of_steps(steps: Steps) -> Steps:
    return list(dict(steps).items())


@_steps("PIPE-1", "a temperature of 0.7, whatever is given")
def default_temperature(steps: Steps) -> Steps:
    return [(name, given | {"temperature": 0.7} if "temperature" in given else given) for name, given in steps]


def _counts(steps: Steps, change: Callable[[Any], Any]) -> Steps:
    """The steps with other `counts`."""
    return [
        (
            name,
            given | {"counts": change(given.get("counts", "all"))}
            if "history" in OPERATIONS[name].arguments
            else given,
        )
        for name, given in steps
    ]


@_steps("PIPE-2", '"counts" ignored: the prompt counts, too', PROMPT_COUNTED)
def counts_ignored(steps: Steps) -> Steps:
    return _counts(steps, lambda counts: "all")


@_steps("PIPE-2", "the output alone, unless the step says otherwise", SGLANG)
def output_by_default(steps: Steps) -> Steps:
    return [
        (name, {"counts": "output"} | given if "history" in OPERATIONS[name].arguments else given)
        for name, given in steps
    ]


@_steps("PIPE-2", "prompt and output mixed up")
def prompt_for_output(steps: Steps) -> Steps:
    return _counts(steps, lambda counts: {"prompt": "output", "output": "prompt"}.get(counts, counts))


@_steps("PIPE-2", "the last 0 ids are all of them", MLX_LM)
def the_last_0_are_all(steps: Steps) -> Steps:
    """`tokens[-0:]`."""
    return _counts(steps, lambda counts: "all" if counts == 0 else counts)


@_steps("PIPE-2", "one id more than the last n")
def one_id_more(steps: Steps) -> Steps:
    return _counts(steps, lambda counts: counts + 1 if isinstance(counts, int) else counts)


def _calls(rule: str, looks_like: str, source: str = FOLK) -> Callable[[Callable[..., Any]], Any]:
    """Register a whole pipeline, called after the reference, whose result it gets first."""

    def register(recipe: Callable[..., Any]) -> Any:
        def process(
            logits: Any, steps: Any, history: Any = None, prompt_length: int = 0, uniform: Any = None
        ) -> np.ndarray:
            right = reference.process(logits, steps, history, prompt_length, uniform)
            try:
                with np.errstate(all="ignore"):
                    return np.asarray(recipe(right, logits, steps, history, prompt_length, uniform))
            except ValueError:
                return right

        process.__name__ = recipe.__name__
        mutant("process", rule, looks_like, source)(process)
        return recipe

    return register


@_calls("PIPE-2", "the first n ids, not the last n")
def the_first_n(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    for name, given in steps:
        if isinstance(given.get("counts"), int):
            own, ids = {k: v for k, v in given.items() if k != "counts"}, np.asarray(history)[..., : given["counts"]]
            logits = reference.process(logits, [(name, own)], ids, 0, uniform)
        else:
            logits = reference.process(logits, [(name, given)], history, prompt, uniform)
    return logits


@_calls("PIPE-2", "the first id of the output taken for the last of the prompt")
def prompt_one_longer(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    return reference.process(logits, steps, history, prompt + 1, uniform)


@_calls("PIPE-2", "the length of the prompt taken for 0")
def prompt_forgotten(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    return reference.process(logits, steps, history, 0, uniform)


@_calls("PENALTY-1", "the history of the first row for the whole batch")
def history_of_the_first_row(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    ids = np.asarray(history)
    if history is None or not ids.size:
        return right
    first = ids.reshape(-1, ids.shape[-1])[0]
    return reference.process(logits, steps, np.broadcast_to(first, ids.shape), prompt, uniform)


@_calls("HEAD-4", "the first row alone processed")
def first_row_alone(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    first = np.arange(right[..., :1].size).reshape(right[..., :1].shape) == 0
    return np.where(first, right, np.asarray(logits)).astype(right.dtype)


@_calls("PIPE-1", "each filter looks at the distribution before all filters: not renormalised", SGLANG)
def joint(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    z, alive = np.asarray(logits), None
    for name, given in steps:
        after = reference.process(z, [(name, given)], history, prompt, uniform)
        if _of("filters", name) or name == "keep_top_k":
            alive = after > -INF if alive is None else alive & (after > -INF)
        else:
            z = after
    both = z if alive is None else np.where(alive, z, -INF)
    return right if (both.max(axis=-1) == -INF).any() else both.astype(right.dtype)


@_calls("PIPE-1", "the result normalised: log-probabilities in place of logits", MLX_LM)
def log_probs_returned(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    return reference.log_probs(right)


@_calls("PIPE-1", "log-probabilities handed from step to step, not logits", MLX_LM)
def normalised_between(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    """No filter sees a difference; a penalty that divides does."""
    z = np.asarray(logits)
    for name, given in steps:
        z = reference.process(reference.log_probs(z), [(name, given)], history, prompt, uniform)
    return z


@_calls("PIPE-1", "-inf becomes the smallest finite number between two steps", FINITE)
def finite_between(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    z = right[...] if not steps else np.asarray(logits)
    for place, (name, given) in enumerate(steps):
        z = reference.process(z, [(name, given)], history, prompt, uniform)
        z = np.where(z == -INF, np.finfo(z.dtype).min, z) if place + 1 < len(steps) else z
    return z


@_calls("PIPE-1", "rounded to float16 between two steps")
def float16_between(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    z = np.asarray(logits)
    for name, given in steps:
        z = reference.process(z.astype(np.float16), [(name, given)], history, prompt, uniform)
    return z.astype(right.dtype)


@_calls("HEAD-3", "the caller's logits changed in place")
def in_place(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    if isinstance(logits, np.ndarray) and logits.dtype == right.dtype and logits.flags.writeable:
        logits[...] = right
    return right


@_calls("HEAD-3", "takes the counts out of the caller's steps")
def consumes_the_steps(right: Any, logits: Any, steps: Steps, history: Any, prompt: int, uniform: Any) -> Any:
    for _, given in steps:
        given.pop("counts", None)
    return right


@mutant("process", "PIPE-4", "unknown steps silently left out")
def unknown_steps_left_out(
    logits: Any, steps: Any, history: Any = None, prompt_length: int = 0, uniform: Any = None
) -> np.ndarray:
    if isinstance(steps, Sequence) and not isinstance(steps, str):
        steps = [step for step in steps if not _is_step(step) or step[0] in FUNCTIONS]
    return reference.process(logits, steps, history, prompt_length, uniform)


@mutant("process", "PIPE-4", "unknown arguments silently ignored", FINITE)
def unknown_arguments_ignored(
    logits: Any, steps: Any, history: Any = None, prompt_length: int = 0, uniform: Any = None
) -> np.ndarray:
    if isinstance(steps, Sequence) and not isinstance(steps, str):
        steps = [(step[0], _known(*step)) if _is_step(step) and step[0] in FUNCTIONS else step for step in steps]
    return reference.process(logits, steps, history, prompt_length, uniform)


def _is_step(step: Any) -> bool:
    return isinstance(step, (list, tuple)) and len(step) == 2 and isinstance(step[1], dict)


def _known(name: str, given: dict[str, Any]) -> dict[str, Any]:
    known = [*OPERATIONS[name].arguments, *(["counts"] if "history" in OPERATIONS[name].arguments else [])]
    return {argument: value for argument, value in given.items() if argument in known}
