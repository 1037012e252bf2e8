"""Runs the graphs in ONNX Runtime: arrays in, arrays out."""

from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto

from . import build

Kinds = tuple[tuple[str, str, int], ...]  # the name, dtype and number of axes of each tensor


def session(model: ModelProto) -> onnxruntime.InferenceSession:
    """A session on the CPU. One thread is enough, since nothing here is large."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # failures are raised; logged as well, they would fill the harness's standard error
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@cache
def _session(operation: str, kinds: Kinds, ties: str) -> onnxruntime.InferenceSession:
    dtypes, axes = {name: dtype for name, dtype, _ in kinds}, {name: count for name, _, count in kinds}
    if operation == "lm_head":
        return session(build.head(dtypes, axes["context"]))
    wide = any(dtype == "float64" for name, dtype in dtypes.items() if name not in ("uniform", "noise"))
    return session(build.stage(operation, "float64" if wide else "float32", dtypes, axes, ties))


def run(loaded: onnxruntime.InferenceSession, **inputs: Any) -> dict[str, np.ndarray]:
    """The outputs by name. bfloat16, which NumPy lacks, is passed as 16-bit integers with the same bits."""
    names = [output.name for output in loaded.get_outputs()]
    results = loaded.run_with_ort_values(names, {name: _value(name, value) for name, value in inputs.items()})
    return {name: result.numpy() for name, result in zip(names, results, strict=True)}


def run_operation(operation: str, ties: str = "lowest_id", **inputs: Any) -> dict[str, np.ndarray]:
    """Run one operation of PROTOCOL.md. Its graph is built only once for each set of dtypes and numbers of axes."""
    tensors = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
    kinds = tuple((name, tensor.dtype.name, tensor.ndim) for name, tensor in tensors.items())
    return run(_session(operation, kinds, ties), **inputs)


def _value(name: str, value: Any) -> onnxruntime.OrtValue:
    if not isinstance(value, np.ndarray):
        if name in ("temperature", "uniform"):
            value = np.array(value, np.float64)
        else:  # a k beyond 64 bits is above V, and all k above V mean the same
            value = np.array(min(value, 2**63 - 1), np.int64)
    value = np.require(value, requirements="C")
    if value.dtype.name == "bfloat16":
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(value.view(np.uint16), TensorProto.BFLOAT16)
    return onnxruntime.OrtValue.ortvalue_from_numpy(value)
