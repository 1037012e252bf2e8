"""onnxruntime-genai's `Generator` on the CPU, `generate_next_token`, through models that are made for it.

It has no function that takes logits. So each question becomes a small model, which has the logits of the question after
any token. What survives is seen by drawing: the ids that come up in 1,024 draws.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime_genai
from onnx import TensorProto, helper, numpy_helper

TITLE, SHORT = "ONNX Runtime GenAI", "GenAI"
PACKAGES = ("onnxruntime-genai",)
DTYPES = ("float32",)
POINTERS = True
PROFILE = "onnxruntime-genai"
OFF = {"top_k": 0, "top_p": 1.0}
DRAWS, BATCH = 1_024, 32  # 32 is its limit
LENGTH = 128


def _graph(logits: np.ndarray) -> Any:
    """A decoder with the cache that it asks for, filled with zeros, whose logits are the same at every place."""
    v, floats, ids = len(logits), TensorProto.FLOAT, TensorProto.INT64
    past, present = (["b", 1, length, 4] for length in ("p", "t"))
    info, node = helper.make_tensor_value_info, helper.make_node
    return helper.make_graph(
        [
            node("Mul", ["input_ids", "zero"], ["row"]),
            node("Gather", ["table", "row"], ["logits"]),
            node("Gather", ["zeros", "row"], ["flat"]),
            node("Unsqueeze", ["flat", "one"], ["new"]),
            *(node("Concat", [f"past.0.{kind}", "new"], [f"present.0.{kind}"], axis=2) for kind in ("key", "value")),
        ],
        "same_logits_everywhere",
        [info("input_ids", ids, ["b", "s"]), info("attention_mask", ids, ["b", "t"])]
        + [info(f"past.0.{kind}", floats, past) for kind in ("key", "value")],
        [info("logits", floats, ["b", "s", v])]
        + [info(f"present.0.{kind}", floats, present) for kind in ("key", "value")],
        [
            numpy_helper.from_array(np.array([logits], np.float32), "table"),
            numpy_helper.from_array(np.zeros((1, 4), np.float32), "zeros"),
            numpy_helper.from_array(np.array(0, np.int64), "zero"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )


def _config(v: int, ends: list[int]) -> dict[str, Any]:
    names = {"past_key_names": "past.%d.key", "past_value_names": "past.%d.value"}
    made = {"present_key_names": "present.%d.key", "present_value_names": "present.%d.value"}
    decoder = {
        "filename": "model.onnx",
        "head_size": 4,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "session_options": {"provider_options": []},
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **names},
        "outputs": {"logits": "logits", **made},
    }
    ids = {"bos_token_id": 0, "eos_token_id": ends, "pad_token_id": 0}
    return {"model": {"type": "llama", "vocab_size": v, "context_length": LENGTH, "decoder": decoder, **ids}}


def _draws(logits: np.ndarray, count: int, seen: list[int], settings: dict[str, Any]) -> list[int]:
    """The tokens that it draws, or takes if `do_sample` is False, after those that were seen."""
    model = helper.make_model(_graph(logits), opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    drawn: list[int] = []
    config = _config(len(logits), settings.get("eos_token_id", [0]))
    options = {name: value for name, value in settings.items() if name != "eos_token_id"}  # it is the model's
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "model.onnx")
        (Path(folder) / "genai_config.json").write_text(json.dumps(config), encoding="utf-8")
        loaded = onnxruntime_genai.Model(folder)
        while len(drawn) < count:
            batch = min(BATCH, count - len(drawn))
            parameters = onnxruntime_genai.GeneratorParams(loaded)
            of_batch = {"max_length": LENGTH, "batch_size": batch, "random_seed": 1 + len(drawn)}
            parameters.set_search_options(**{"do_sample": True, **of_batch, **options})
            generator = onnxruntime_genai.Generator(loaded, parameters)
            generator.append_tokens(np.tile(np.array(seen, np.int32), (batch, 1)))
            generator.generate_next_token()
            drawn += np.array(generator.get_next_tokens()).tolist()
            del generator, parameters  # before the model that they use
        del loaded
    return drawn


def drawn(logits: np.ndarray, settings: dict[str, Any], prompt: list[int], output: list[int]) -> list[int]:
    """The ids that come up with these search options. Prompt and output are one sequence to it."""
    return sorted(set(_draws(logits, DRAWS, [*prompt, *output] or [0], settings)))


def greedy(logits: Any) -> np.ndarray:
    """The token that it takes with its default search options, for one row or row by row."""
    rows = np.reshape(logits, (-1, np.shape(logits)[-1]))
    taken = [_draws(row, 1, [0], {"do_sample": False})[0] for row in rows]
    return np.array(taken, np.int64).reshape(np.shape(logits)[:-1])


def survivors(logits: np.ndarray, k: int) -> list[int]:
    """The ids that are drawn with `top_k`, at a temperature of 1,000."""
    return drawn(logits, {**OFF, "top_k": k, "temperature": 1_000.0}, [], [])


def sample(logits: np.ndarray, temperature: float) -> int:
    """One token with `temperature`, from the whole vocabulary."""
    return _draws(logits, 1, [0], {**OFF, "temperature": temperature})[0]


def draw(logits: np.ndarray) -> int:
    """One token at temperature 1."""
    return sample(logits, 1.0)
