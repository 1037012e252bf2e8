"""ONNX Runtime's operators on the CPU, one at a time: MatMul, Div, TopK, Softmax; Multinomial draws."""

from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper

TITLE, SHORT = "ONNX Runtime's operators", "ORT"
PACKAGES = ("onnxruntime",)
DTYPES = ("float16", "float32", "float64")


@cache
def _session(operator: str, dtypes: tuple[str, ...], outputs: int, **attributes: Any) -> Any:
    names = [f"input_{i}" for i in range(len(dtypes))], [f"output_{i}" for i in range(outputs)]
    kinds = [helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for dtype in dtypes]
    graph = helper.make_graph(
        [helper.make_node(operator, *names, **attributes)],
        operator,
        [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(names[0], kinds, strict=True)],
        [helper.make_empty_tensor_value_info(name) for name in names[1]],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(operator: str, *arrays: Any, outputs: int = 1, **attributes: Any) -> list[np.ndarray]:
    arrays = tuple(np.require(a, requirements="C") for a in arrays)
    session = _session(operator, tuple(a.dtype.name for a in arrays), outputs, **attributes)
    return session.run(None, {f"input_{i}": a for i, a in enumerate(arrays)})


def compute_logits(context: Any, embedding: Any) -> np.ndarray:
    """MatMul with the transpose."""
    return _run("MatMul", context, np.asarray(embedding).T)[0]


def apply_temperature(logits: Any, temperature: Any) -> np.ndarray:
    """Div. The temperature is converted to the dtype of the logits, because ONNX accepts no other."""
    return _run("Div", logits, np.array(temperature, logits.dtype))[0]


def top_k(logits: Any, k: Any) -> tuple[np.ndarray, np.ndarray]:
    """TopK, sorted. Its k is an int64 tensor."""
    values, token_ids = _run("TopK", logits, np.array([k], np.int64), outputs=2, axis=-1, largest=1, sorted=1)
    return values, token_ids


def softmax(logits: Any) -> np.ndarray:
    """Softmax."""
    return _run("Softmax", logits, axis=-1)[0]


def draw(logits: Any) -> int:
    """Multinomial, which takes logits of (rows, V) and a seed."""
    return int(_run("Multinomial", logits[None], sample_size=1, seed=1.0)[0][0, 0])
