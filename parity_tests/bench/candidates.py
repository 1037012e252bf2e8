"""What is timed: the step from context vector to token in each implementation, its stages, and two limits."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper, parser
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

import reference
import torch_impl
from reference import fast
from reference.operations import OPERATIONS
from reference.pipeline import Step
from torch_impl import fast as torch_fast

SHAPES = {"gpt2": (50_257, 768), "gpt2-xl": (50_257, 1_600), "llama3": (128_256, 4_096), "tiny": (2_048, 192)}
TEMPERATURE, K = 0.7, 50
PROTOBUF_LIMIT = 2**31 - 2**20  # bytes of an ONNX model; a larger embedding is not put in it but passed at each call
SQUARE = 1_536  # rows and columns of the product that measures the rate of BLAS

# Two ONNX graphs as text: only the product, and the head up to the survivors' probabilities.
PRODUCT = """<ir_version: 10, opset_import: ["" : 17]>
product (float[b, d] context, float[V, d] embedding) => (float[b, V] logits) {
    logits = Gemm <transB = 1> (context, embedding)
}"""
WHOLE = """<ir_version: 10, opset_import: ["" : 17]>
head (float[b, d] context, float[V, d] embedding) => (float[b, n] probs, int64[b, n] token_ids)
<float temperature = {%r}, int64[1] k = {%d}> {
    logits = Gemm <transB = 1> (context, embedding)
    scaled = Div (logits, temperature)
    values, token_ids = TopK (scaled, k)
    probs = Softmax <axis = -1> (values)
}"""

WHOLE_HEAD = "ONNX, the whole head"
Function = Callable[[], Any]
Functions = dict[str, Function]


class Inputs:
    """One random head: `context (batch, d)`, `embedding (V, d)`, float32, as NumPy arrays and tensors."""

    def __init__(self, batch: int, vocab_size: int, hidden_size: int, k: int = K) -> None:
        rng = np.random.default_rng(0)
        self.context = rng.standard_normal((batch, hidden_size), dtype=np.float32) * 2
        self.embedding = rng.standard_normal((vocab_size, hidden_size), dtype=np.float32) * np.float32(0.14)
        self.h, self.w = torch.from_numpy(self.context), torch.from_numpy(self.embedding)
        self.k = min(k, vocab_size)


def lesson(logits: torch.Tensor, temperature: float, k: int) -> torch.Tensor:
    """What a PyTorch user would write: the pipeline of the lesson, but with the scatter on the last axis."""
    values, token_ids = torch.topk(logits / temperature, k)
    filtered = torch.full_like(logits, -torch.inf).scatter_(-1, token_ids, values)
    return torch.multinomial(torch.softmax(filtered, dim=-1), 1)


def transformers_processors(logits: torch.Tensor, temperature: float, k: int) -> torch.Tensor:
    """What `generate()` of Transformers does with the logits."""
    ids = torch.empty(0, dtype=torch.long)  # the processors ignore them
    scores = TopKLogitsWarper(k)(ids, TemperatureLogitsWarper(temperature)(ids, logits))
    return torch.multinomial(torch.softmax(scores, dim=-1), 1)


def onnx_session(model: onnx.ModelProto, feed: dict[str, Any], threads: int) -> Callable[[], list[np.ndarray]]:
    """An ONNX Runtime session on these inputs. An embedding among them becomes part of the model.

    Its threads must not spin after a call: they would take processor time from the candidate that is timed next.
    """
    if "embedding" in feed and feed["embedding"].nbytes < PROTOBUF_LIMIT:
        (place,) = (i for i, given in enumerate(model.graph.input) if given.name == "embedding")
        model.graph.input.pop(place)
        model.graph.initializer.append(numpy_helper.from_array(feed["embedding"], "embedding"))
        feed = {name: value for name, value in feed.items() if name != "embedding"}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def onnx_draw(graph: str, feed: dict[str, Any], threads: int) -> Callable[[], np.ndarray]:
    """A graph up to the survivors' probabilities, then the race on NumPy's noise."""
    survivors, rng = onnx_session(parser.parse_model(graph), feed, threads), np.random.default_rng(0)

    def draw() -> np.ndarray:
        probs, token_ids = survivors()
        race = probs / rng.standard_exponential(probs.shape, np.float32)
        return np.take_along_axis(token_ids, race.argmax(axis=-1)[:, None], axis=-1)

    return draw


def _whole_head(graph: bytes, inputs: Inputs, threads: int) -> Callable[[], list[np.ndarray]]:
    """A graph of the head and its draw, as `ports/onnx` writes it: from context and a uniform number to token."""
    settings = {"temperature": np.array(TEMPERATURE), "k": np.array(inputs.k)}
    uniform = np.random.default_rng(0).random(len(inputs.context))
    feed = {"context": inputs.context, "embedding": inputs.embedding, "uniform": uniform, **settings}
    return onnx_session(onnx.load_from_string(graph), feed, threads)


def steps(inputs: Inputs, threads: int, graph: bytes | None = None) -> Functions:
    """Whole steps, by name. Each library draws from its own generator; a `TorchGenerator` makes PyTorch's noise.

    `graph` is the whole head in ONNX, if that is to be timed too.
    """
    context, embedding, h, w, k = inputs.context, inputs.embedding, inputs.h, inputs.w, inputs.k
    torchs, numpys = reference.TorchGenerator(0), np.random.default_rng(0)
    own, linear = torch.Generator().manual_seed(0), torch.nn.functional.linear

    def plain(rng: Any) -> np.ndarray:
        return reference.multinomial(reference.lm_head(context, embedding, TEMPERATURE, k), rng=rng)

    def fast_mirror(same_tokens: bool) -> torch.Tensor:
        return torch_fast.next_token(h, w, TEMPERATURE, k, rng=own, same_tokens=same_tokens)

    functions: Functions = {
        "reference": lambda: plain(torchs),
        "reference, NumPy's noise": lambda: plain(numpys),
        "fast path": lambda: fast.next_token(context, embedding, TEMPERATURE, k, rng=torchs),
        "fast path, NumPy's noise": lambda: fast.next_token(context, embedding, TEMPERATURE, k, rng=numpys),
        "mirror": lambda: torch_impl.multinomial(torch_impl.lm_head(h, w, TEMPERATURE, k), rng=own),
        "fast mirror": lambda: fast_mirror(same_tokens=True),
        "fast mirror, k numbers": lambda: fast_mirror(same_tokens=False),
        "lesson": lambda: lesson(linear(h, w), TEMPERATURE, k),
        "Transformers": lambda: transformers_processors(linear(h, w), TEMPERATURE, k),
        "ONNX Runtime": onnx_draw(WHOLE % (TEMPERATURE, k), {"context": context, "embedding": embedding}, threads),
        **({} if graph is None else {WHOLE_HEAD: _whole_head(graph, inputs, threads)}),
    }
    return {**functions, **(_on_cuda(h.cuda(), w.cuda(), k) if torch.cuda.is_available() else {})}


def _on_cuda(h: torch.Tensor, w: torch.Tensor, k: int) -> Functions:
    """The step on the graphics processor, until its token is there."""
    own = torch.Generator("cuda").manual_seed(0)

    def fast_mirror(same_tokens: bool) -> list[int]:
        token_ids: list[int] = torch_fast.next_token(h, w, TEMPERATURE, k, rng=own, same_tokens=same_tokens).tolist()
        return token_ids

    return {
        "CUDA: fast mirror": lambda: fast_mirror(same_tokens=True),
        "CUDA: fast mirror, k numbers": lambda: fast_mirror(same_tokens=False),
        "CUDA: lesson": lambda: lesson(torch.nn.functional.linear(h, w), TEMPERATURE, k).tolist(),
    }


def stages(inputs: Inputs, threads: int) -> Functions:
    """Single stages, each on the input that it has in the whole step, and the products of three libraries."""
    context, embedding, h, w, k = inputs.context, inputs.embedding, inputs.h, inputs.w, inputs.k
    torchs, numpys, own = reference.TorchGenerator(0), np.random.default_rng(0), torch.Generator().manual_seed(0)
    logits = reference.compute_logits(context, embedding)
    z, vocab_size = torch.from_numpy(logits), logits.shape[1]
    few, token_ids = fast.survivors(logits, TEMPERATURE, k)
    on_tensors = torch.from_numpy(few), torch.from_numpy(token_ids), vocab_size, 1, own
    cut: list[Step] = [("apply_temperature", {"temperature": TEMPERATURE}), ("keep_top_k", {"k": k})]
    filtered: list[Step] = [*cut, ("keep_top_p", {"p": 0.95}), ("keep_min_p", {"p": 0.05})]
    product = parser.parse_model(PRODUCT)
    return {
        "product: NumPy": lambda: context @ embedding.T,
        "product: PyTorch": lambda: torch.nn.functional.linear(h, w),
        "product: PyTorch, in parts": lambda: torch_fast.compute_logits(h, w),
        "product: ONNX Runtime": onnx_session(product, {"context": context, "embedding": embedding}, threads),
        **_after_the_product("reference", reference, logits, k, torchs),
        "fast path: survivors": lambda: fast.survivors(logits, TEMPERATURE, k),
        "fast path: survivors, then top-p and min-p": lambda: fast.process(logits, filtered),
        "fast path: draw": lambda: fast._race(few, token_ids, vocab_size, 1, torchs),
        "fast path: draw, NumPy's noise": lambda: fast._race(few, token_ids, vocab_size, 1, numpys),
        **_after_the_product("mirror", torch_impl, z, k, own),
        "fast mirror: survivors": lambda: torch_fast.survivors(z, TEMPERATURE, k),
        "fast mirror: draw": lambda: torch_fast._race(*on_tensors, same_tokens=True),
        "fast mirror: draw, k numbers": lambda: torch_fast._race(*on_tensors, same_tokens=False),
    }


def _after_the_product(name: str, head: Any, logits: Any, k: int, rng: Any) -> Functions:
    """The stages of `lm_head` after the product, and the draw. Each one takes what the one before it returns."""
    parts, values = OPERATIONS["lm_head"].parts, {"logits": logits, "temperature": TEMPERATURE, "k": k}
    inner = {part for outer in parts for part in OPERATIONS[outer].parts}
    functions: Functions = {}
    for stage in (part for part in parts if "logits" in OPERATIONS[part].arguments and part not in inner):
        functions[f"{name}: {stage}"] = function = partial(getattr(head, stage), **OPERATIONS[stage].given(values))
        values.update(dict.fromkeys(OPERATIONS[stage].results, function()))
    return {**functions, f"{name}: multinomial": lambda: head.multinomial(values["probs"], rng=rng)}


def limits(inputs: Inputs, threads: int) -> Functions:
    """Two measures of the machine: reading the embedding once, and the rate of NumPy's BLAS where it is fastest.

    Reading is a dot product over a share of the embedding in each thread. The rate is that of a product of square
    matrices, 2 * 1,536**3 operations. Where a candidate does better, `page.Measured.limit` takes that.
    """
    shares = np.array_split(inputs.embedding.reshape(-1), threads)
    pool = ThreadPoolExecutor(threads)
    square = np.random.default_rng(1).standard_normal((SQUARE, SQUARE), dtype=np.float32)
    return {"read": lambda: sum(pool.map(np.dot, shares, shares)), "square": lambda: square @ square}
