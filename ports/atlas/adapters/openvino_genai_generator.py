"""OpenVINO GenAI's `LLMPipeline` on the CPU, `generate`, through models that are made for it.

It has no function that takes logits. So each question becomes a small model without a cache, whose logits are those of
the question after the ids so far; before that, they leave the given output alone to draw. What survives is seen by
drawing: the ids that come up in 1,024 draws, each a request of its own with its own `rng_seed`, as sequences of one
request share the counts of the penalties. What penalties make of a logit is seen by greedy decoding: the largest number
that it is not below. Log-probabilities are the scores of tokens that are taken when all others are banned as
`stop_token_ids` before `min_new_tokens`.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai
from openvino import opset13 as op

from ...checker.errors import SkippedError

TITLE, SHORT = "OpenVINO GenAI", "OpenVINO"
PACKAGES = ("openvino", "openvino-genai")
DTYPES = ("float32",)
POINTERS = True
PROFILE = "openvino-genai"
OFF: dict[str, Any] = {}
PROPERTIES = {"ATTENTION_BACKEND": "SDPA", "INFERENCE_PRECISION_HINT": "f32"}
SUBNORMAL = 2**23
DRAWS, MOST = 1_024, 512
INPUTS = {
    "input_ids": (2, np.int64),
    "attention_mask": (2, np.int64),
    "position_ids": (2, np.int64),
    "beam_idx": (1, np.int32),
}


def _pipeline(rows: np.ndarray, prompt: list[int], output: list[int]) -> Any:
    """A pipeline for prompts of this length, each with its own row of logits after the output, which alone it draws."""
    start = len(prompt) - 1 + len(output)
    before = np.full((start, rows.shape[-1]), -np.inf, np.float32)
    before[np.arange(len(prompt) - 1, start), output] = 64.0  # above 0, whatever the penalties
    inputs = {name: op.parameter([-1] * axes, kind, name=name) for name, (axes, kind) in INPUTS.items()}
    for name, node in inputs.items():
        node.output(0).get_tensor().set_names({name})
    zero, one, last = (op.constant(np.array(i)) for i in (0, 1, start))
    places = op.minimum(inputs["position_ids"], last)
    own = op.unsqueeze(op.range(zero, op.gather(op.shape_of(places), zero, zero), one, "i64"), one)
    index = op.select(op.equal(places, last), op.add(own, last), places)
    logits = op.result(op.gather(op.constant(np.concatenate([before, rows.astype(np.float32)])), index, zero))
    logits.output(0).get_tensor().set_names({"logits"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "openvino_model.xml"
        openvino.save_model(openvino.Model([logits], list(inputs.values())), path, compress_to_fp16=False)
        tokenizer = openvino_genai.Tokenizer(folder)  # there is none: ids go in and out
        return openvino_genai.LLMPipeline(folder, tokenizer, "CPU", **PROPERTIES)


def _generated(pipeline: Any, prompts: list[list[int]], length: int, **settings: Any) -> Any:
    """What `generate` returns, after so many new tokens or, with `min_new_tokens`, as many."""
    config = openvino_genai.GenerationConfig()
    config.eos_token_id = (settings.get("stop_token_ids") or [2**31])[0]  # it is banned too; without one it is refused
    config.ignore_eos = True
    config.max_new_tokens = max(length, settings.get("min_new_tokens", 0))
    for name, value in settings.items():
        setattr(config, name, set(value) if name == "stop_token_ids" else value)
    return pipeline.generate(openvino.Tensor(np.array(prompts, np.int64)), config)


def _draws(logits: np.ndarray, count: int, prompt: list[int], output: list[int], **settings: Any) -> list[int]:
    pipeline = _pipeline(np.array([logits]), prompt, output)
    last, asked = len(output), {"do_sample": True, **settings}
    return [_generated(pipeline, [prompt], last + 1, rng_seed=i, **asked).tokens[0][last] for i in range(count)]


def drawn(logits: np.ndarray, settings: dict[str, Any], prompt: list[int], output: list[int]) -> list[int]:
    """The ids that come up after this prompt and output."""
    return sorted(set(_draws(logits, DRAWS, prompt or [0], output, **settings)))


def _order(numbers: Any) -> np.ndarray:
    """Floats to integers in the same order, and back."""
    bits = np.asarray(numbers, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(2**31) - bits, bits)


def _float(order: np.ndarray) -> np.ndarray:
    return np.where(order < 0, -(2**31) - order, order).astype(np.int32).view(np.float32)


def penalised(logits: np.ndarray, settings: dict[str, Any], prompt: list[int], output: list[int]) -> np.ndarray:
    """The logits after the penalties: each is the largest float32 that does not win against it, or -inf."""
    v = len(logits)
    if any(not 0 <= token < v for token in output):
        raise SkippedError("it cannot be made to draw such an id")
    prompt = prompt or [v + 1]  # an id that is in no question
    least, most = _order(-np.finfo(np.float32).max), _order(np.inf)
    found, wins = np.full(v, least), np.zeros(v, bool)
    count = 16 if v * len(output) < 1_000 else 4  # probes at once
    for step in (2**32 // count**power for power in range(1, 33) if count**power <= 2**32):
        probes = np.minimum(found[:, None] + step * np.arange(count), most)
        rows = np.full((v, count, v + 2), -np.inf, np.float32)
        rows[np.arange(v), :, np.arange(v)] = np.asarray(logits, np.float32)[:, None]
        rows[:, :, v] = _float(probes)
        pipeline = _pipeline(rows.reshape(-1, v + 2), prompt, output)
        tokens = _generated(pipeline, [prompt] * v * count, len(output) + 1, **settings).tokens
        won = np.array([token[len(output)] != v for token in tokens]).reshape(v, count)
        wins |= won.any(-1)
        found = np.where(won.any(-1), np.take_along_axis(probes, won.sum(-1, keepdims=True) - 1, -1)[:, 0], found)
    numbers = np.where(np.abs(found) < SUBNORMAL, np.float32(0), _float(found))  # those below compare as 0
    return np.where(wins, numbers, np.float32(-np.inf))


def _few(logits: Any) -> np.ndarray:
    """As rows. Raises: SkippedError for so many logits that asking about each would take minutes."""
    if np.size(logits) > MOST:
        raise SkippedError(f"it takes minutes to ask about more than {MOST} logits")
    return np.reshape(logits, (-1, np.shape(logits)[-1]))


def _by_row(logits: Any, history: Any, penalty: str, value: Any, prompt: bool) -> np.ndarray:
    rows = _few(logits)
    if ((np.abs(_order(rows)) < SUBNORMAL) & ((rows != 0) | np.signbit(rows))).any():
        raise SkippedError("greedy decoding cannot tell -0 or a subnormal number from 0")
    seen = np.reshape(history, (len(rows), np.shape(history)[-1])).tolist()
    done = [
        penalised(row, {penalty: value}, *((said, []) if prompt else ([], said)))
        for row, said in zip(rows, seen, strict=True)
    ]
    return np.array(done, np.float32).reshape(np.shape(logits))


def repetition_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`repetition_penalty`, with the history as the prompt."""
    return _by_row(logits, history, "repetition_penalty", penalty, True)


def frequency_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`frequency_penalty`, with the history as the output."""
    return _by_row(logits, history, "frequency_penalty", penalty, False)


def presence_penalty(logits: Any, history: Any, penalty: Any) -> np.ndarray:
    """`presence_penalty`, with the history as the output."""
    return _by_row(logits, history, "presence_penalty", penalty, False)


def log_probs(logits: Any) -> np.ndarray:
    """The scores with `logprobs=1` of each token, where no other may be taken."""
    rows = _few(logits)
    v, pipeline, found = rows.shape[-1], _pipeline(rows, [0], []), np.full(rows.shape, -np.inf, np.float32)
    for token in range(v):
        others = [other for other in range(v) if other != token]
        banned = {"min_new_tokens": 1, "stop_token_ids": others} if others else {}
        said = _generated(pipeline, [[0]] * len(rows), 1, logprobs=1, **banned)
        taken = np.array(said.tokens)[:, 0] == token
        found[taken, token] = np.array(said.scores, np.float32)[taken]
    return found.reshape(np.shape(logits))


def greedy(logits: Any) -> np.ndarray:
    """The token that it takes by default."""
    rows = np.reshape(logits, (-1, np.shape(logits)[-1]))
    taken = np.array(_generated(_pipeline(rows, [0], []), [[0]] * len(rows), 1).tokens, np.int64)
    return taken[:, 0].reshape(np.shape(logits)[:-1])


def survivors(logits: np.ndarray, k: int) -> list[int]:
    """The ids that are drawn with `top_k`, at a temperature of 1,000."""
    return drawn(logits, {"top_k": k, "temperature": 1_000.0}, [], [])


def sample(logits: np.ndarray, temperature: float) -> int:
    """One token with `temperature`, from the whole vocabulary, with seed 0."""
    return _draws(logits, 1, [0], [], temperature=temperature)[0]


def draw(logits: np.ndarray) -> int:
    """One token at temperature 1."""
    return sample(logits, 1.0)
