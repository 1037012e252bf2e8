"""The LM head as ONNX graphs: one for each stage, and one for the whole head from context vector to token.

    python -m ports.onnx.build FILE [--draw uniform|noise] [--bundle DIR]

Each function below adds the nodes of one stage to a graph. Names and rules are those of SPEC.md. The graphs use only
standard ONNX operators of opset 21, so any runtime that has these can run them. No operator can refuse bad input:
`refusals.py` does that.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from reference.operations import DEFAULTS, OPERATIONS, STAGES
from reference.version import VERSION

OPSET, IR_VERSION = 21, 10
FLOATS = {
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}


class Graph:
    """A graph under construction: `graph("MatMul", a, b)` adds a node and returns the name of what it computes."""

    def __init__(self, compute: str) -> None:
        self.compute = compute  # the compute dtype, float32 or float64 (HEAD-2)
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.weights: list[Any] = []

    def __call__(self, operator: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node and return the name of its first output. The name is generated unless `outputs` gives it."""
        names = list(outputs) or [f"{operator}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names[0]

    def input(self, name: str, kind: int, axes: int) -> str:
        """Add an input with that many axes, each of any length."""
        self.inputs.append(_value(name, kind, axes))
        return name

    def floats(self, name: str, dtype: str, axes: int) -> str:
        """Add an input of floats and convert it to the compute dtype. 16-bit floats become float32, which is exact."""
        given = self.input(name, FLOATS[dtype], axes)
        return given if dtype == self.compute else self("Cast", given, to=FLOATS[self.compute])

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a number, or a list of numbers, by default in the compute dtype."""
        array = np.array(value, dtype or self.compute)
        return self("Constant", value=numpy_helper.from_array(array))

    def weight(self, name: str, array: np.ndarray) -> str:
        """Add an array that is stored in the file."""
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def model(self, name: str, *outputs: tuple[str, int, int]) -> ModelProto:
        """The finished model with these outputs (name, type, number of axes), after ONNX's own check."""
        results = [_value(*output) for output in outputs]
        graph = helper.make_graph(self.nodes, name, self.inputs, results, initializer=self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "lm-head-parity"
        checker.check_model(model)
        return model


def _value(name: str, kind: int, axes: int) -> Any:
    return helper.make_tensor_value_info(name, kind, [f"{name}_axis_{i}" for i in range(axes)])


def compute_logits(g: Graph, context: str, embedding: str, name: str = "logits") -> str:
    """`(..., d), (V, d) -> (..., V)`: MatMul with the transposed embedding; ONNX Runtime fuses the two  [LOGITS-1]."""
    return g("MatMul", context, g("Transpose", embedding, perm=[1, 0]), outputs=[name])


def finish_logits(
    g: Graph,
    logits: str,
    bias: np.ndarray | None,
    multiplier: float,
    divisor: float,
    cap: float,
    name: str = "finished",
) -> str:
    """Add, Mul, Div, each rounded once; then a soft cap, if it is finite. No logit is masked here  [OUT-5, OUT-6]."""
    if bias is not None:
        logits = g("Add", logits, g.weight("bias", bias.astype(g.compute)))
    if not np.isfinite(cap):
        return g("Div", g("Mul", logits, g.constant(multiplier)), g.constant(divisor), outputs=[name])
    scaled = g("Div", g("Mul", logits, g.constant(multiplier)), g.constant(divisor))
    return g("Mul", g("Tanh", g("Div", scaled, g.constant(cap))), g.constant(cap), outputs=[name])


def apply_temperature(g: Graph, logits: str, temperature: str, name: str = "scaled") -> str:
    """A true division by the temperature, which is first rounded to the dtype of the logits  [TEMP-1]."""
    return g("Div", logits, g("CastLike", temperature, logits), outputs=[name])


def top_k(g: Graph, logits: str, k: str, values: str = "values", token_ids: str = "token_ids") -> tuple[str, str]:
    """TopK sorts, and puts the lowest id first at a tie. It fails for k above V, hence the Min  [TOPK-1 to TOPK-4]."""
    count = g("Min", g("Reshape", k, g.constant([1], np.int64)), g("Shape", logits, start=-1))
    g("TopK", logits, count, outputs=[values, token_ids], axis=-1, largest=1, sorted=1)
    return values, token_ids


def keep_top_k(g: Graph, logits: str, k: str, name: str = "kept") -> str:
    """The survivors, scattered into a tensor of -inf  [TOPK-6]."""
    values, token_ids = top_k(g, logits, k, "survivors", "survivor_ids")
    masked = g("Expand", g.constant(-np.inf), g("Shape", logits))
    return g("ScatterElements", masked, token_ids, values, outputs=[name], axis=-1)


def keep_all_ties(g: Graph, logits: str, k: str, name: str = "kept") -> str:
    """Every logit that is not below the k-th survives  [TOPK-7].

    Where could choose between the logit and -inf, but that of ONNX Runtime turns -0 into 0. So -0 is added to a
    survivor, which keeps every bit of it, and -inf to all others.
    """
    values, _ = top_k(g, logits, k, "survivors", "survivor_ids")
    last, axis, end = g.constant([-1], np.int64), g.constant([-1], np.int64), g.constant([2**62], np.int64)
    kth = g("Slice", values, last, end, axis)  # (..., 1)
    hidden = g("Neg", g("Where", g("GreaterOrEqual", logits, kth), g.constant(0), g.constant(np.inf)))
    return g("Add", logits, hidden, outputs=[name])


def softmax(g: Graph, logits: str, name: str = "probs") -> str:
    """Softmax over the last axis  [SOFTMAX-1 to SOFTMAX-3]."""
    return g("Softmax", logits, outputs=[name], axis=-1)


def multinomial(g: Graph, probs: str, num_samples: str, noise: str, name: str = "token_ids") -> str:
    """The n largest `probs / noise`, with tokens of probability zero behind all others  [DRAW-1 to DRAW-4].

    Abs, because noise may be -0. ONNX has an operator Multinomial, but it takes neither noise nor a uniform, so its
    draw could not be compared with that of another runtime.
    """
    race = g("Where", g("Greater", probs, g.constant(0)), g("Div", probs, g("Abs", noise)), g.constant(-1))
    return top_k(g, race, num_samples, "race_values", name)[1]


def inverse_cdf(g: Graph, probs: str, uniform: str, name: str = "token_ids") -> str:
    """The first id whose running sum exceeds `uniform * total`, else the last with probability > 0  [CDF-1, CDF-2].

    The sums are float64, whatever the dtype of `probs`. Of equal elements, ArgMax returns the first, or the last with
    `select_last_index`.
    """
    running = g("CumSum", g("Cast", probs, to=TensorProto.DOUBLE), g.constant(-1, np.int64))  # (..., V)
    last, axis = g.constant([-1], np.int64), g.constant([-1], np.int64)
    total = g("Slice", running, last, g.constant([2**62], np.int64), axis, outputs=["total"])  # (..., 1)
    target = g("Mul", g("Unsqueeze", g("Cast", uniform, to=TensorProto.DOUBLE), axis), total)
    exceeds = g("Cast", g("Greater", running, target), to=TensorProto.INT32)
    possible = g("Cast", g("Greater", probs, g("CastLike", g.constant(0), probs)), to=TensorProto.INT32)
    first = g("ArgMax", exceeds, axis=-1, keepdims=0)
    end = g("ArgMax", possible, axis=-1, keepdims=0, select_last_index=1)
    found = g("Cast", g("ReduceMax", exceeds, axis, keepdims=0), to=TensorProto.BOOL)
    return g("Where", found, first, end, outputs=[name])


def scalar(g: Graph, name: str) -> str:
    """Add a single number as an input: `temperature`, `k` or `num_samples`."""
    return g.input(name, TensorProto.DOUBLE if isinstance(DEFAULTS[name], float) else TensorProto.INT64, 0)


def stage(
    operation: str, compute: str, dtypes: dict[str, str], axes: dict[str, int], ties: str = "lowest_id"
) -> ModelProto:
    """The graph of one operation of PROTOCOL.md, built by the function above with that name. For `lm_head` see `head`.

    `dtypes` and `axes` map the names of its tensors to dtypes and numbers of axes. `compute` is the compute dtype.
    Raises: ValueError for another operation.
    """
    if operation not in STAGES or operation == "lm_head":
        raise ValueError(f"operation is {operation!r}: it must be a function of a head other than lm_head")
    g = Graph(compute)
    given = []
    for name in OPERATIONS[operation].arguments:
        if name == "uniform":
            given.append(g.input(name, FLOATS[dtypes[name]], axes[name]))
        elif name in dtypes:
            given.append(g.floats(name, dtypes[name], axes[name]))
        elif isinstance(DEFAULTS.get(name), (int, float)):
            given.append(scalar(g, name))
    build = keep_all_ties if ties == "all" else globals()[operation]
    found = build(g, *given)
    outputs = found if isinstance(found, tuple) else (found,)
    full = next(iter(axes.values()))
    if operation == "inverse_cdf":
        return g.model(operation, (found, TensorProto.INT64, full - 1), ("total", TensorProto.DOUBLE, full))
    ids = {"token_ids": TensorProto.INT64}
    return g.model(operation, *((name, ids.get(name, FLOATS[compute]), full) for name in outputs))


def head(
    dtypes: dict[str, str] | None = None,
    axes: int = 2,
    draw: str | None = None,
    embedding: np.ndarray | None = None,
    finish: Mapping[str, Any] | None = None,
) -> ModelProto:
    """The whole head in one graph: context, embedding, temperature, k -> logits, probs, and with `draw` a token.

    - `axes` is the number of axes of the context: 2 for (batch, d).
    - `draw="uniform"` is the walk: it adds the input `uniform` (...) and the output `token_ids` (...).
    - `draw="noise"` is the race: it adds the input `noise` (..., V) and the output `token_ids` (..., 1).
    - With `embedding`, the matrix is stored in the file and is not an input.
    - `finish` are arguments of `finish_logits`, for a bundle of version 3; they are stored in the file.

    Raises: ValueError for another word in `draw`.
    """
    dtypes = dtypes or {"context": "float32", "embedding": "float32"}
    compute = "float64" if "float64" in dtypes.values() else "float32"
    g = Graph(compute)
    context = g.floats("context", dtypes["context"], axes)
    if embedding is None:
        matrix = g.floats("embedding", dtypes["embedding"], 2)
    else:
        matrix = g.weight("embedding", np.ascontiguousarray(embedding, compute))
    temperature, k = scalar(g, "temperature"), scalar(g, "k")
    logits = compute_logits(g, context, matrix, "products" if finish else "logits")
    if finish:
        logits = finish_logits(g, logits, **finish, name="logits")
    probs = softmax(g, keep_top_k(g, apply_temperature(g, logits, temperature), k))
    outputs = [(logits, FLOATS[compute], axes), (probs, FLOATS[compute], axes)]
    if draw == "uniform":
        token_ids = inverse_cdf(g, probs, g.input("uniform", TensorProto.DOUBLE, axes - 1))
        outputs.append((token_ids, TensorProto.INT64, axes - 1))
    elif draw == "noise":
        token_ids = multinomial(g, probs, g.constant(1, np.int64), g.floats("noise", compute, axes))
        outputs.append((token_ids, TensorProto.INT64, axes))
    elif draw is not None:
        raise ValueError(f"draw is {draw!r}: it must be 'uniform', 'noise' or None")
    return g.model("lm_head", *outputs)


def main() -> None:
    """Write the whole head to a file."""
    parser = argparse.ArgumentParser(prog="python -m ports.onnx.build", description="Write the whole head as ONNX.")
    parser.add_argument("file", type=Path, help="the file to write, such as lm_head.onnx")
    parser.add_argument("--draw", choices=["uniform", "noise"], default="uniform", help="the walk or the race")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="store the head of an exported bundle in it")
    parser.add_argument("--version", action="version", version=VERSION)
    options = parser.parse_args()
    embedding, finish = None, None
    if options.bundle:
        from weights_export.bundle import open_bundle

        try:
            bundle = open_bundle(options.bundle)
            embedding, finish = bundle.embedding, bundle.finish
        except (OSError, ValueError) as error:
            parser.error(f"--bundle {options.bundle}: {error}")
    model = head(draw=options.draw, embedding=embedding, finish=finish)
    options.file.write_bytes(model.SerializeToString(deterministic=True))
    print(f"{options.file}: inputs {_names(model.graph.input)}; outputs {_names(model.graph.output)}")


def _names(values: Any) -> str:
    return ", ".join(value.name for value in values)


if __name__ == "__main__":
    main()
