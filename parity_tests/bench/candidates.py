"""What is timed: from context vector to drawn token, by every implementation at hand, its stages, and two limits."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

import reference
import torch_impl
from reference import fast, validation

SHAPES = {"gpt2": (50_257, 768), "gpt2-xl": (50_257, 1_600), "llama3": (128_256, 4_096), "tiny": (2_048, 192)}
TEMPERATURE, K = 0.7, 50
PROTOBUF_LIMIT = 2**31 - 2**20  # bytes of an ONNX model: a larger embedding is fed at each call

Functions = dict[str, Callable[[], Any]]


class Inputs:
    """One random head: `context (batch, d)`, `embedding (V, d)`, float32, as NumPy arrays and tensors."""

    def __init__(self, batch: int, vocab_size: int, hidden_size: int, k: int = K) -> None:
        rng = np.random.default_rng(0)
        self.context = rng.standard_normal((batch, hidden_size), dtype=np.float32) * 2
        self.embedding = rng.standard_normal((vocab_size, hidden_size), dtype=np.float32) * np.float32(0.14)
        self.h, self.w = torch.from_numpy(self.context), torch.from_numpy(self.embedding)
        self.k = min(k, vocab_size)


def lesson(context: torch.Tensor, embedding: torch.Tensor, temperature: float, k: int) -> torch.Tensor:
    """What a PyTorch user writes: the lesson's pipeline with its scatter on the last axis."""
    logits = torch.nn.functional.linear(context, embedding)
    values, token_ids = torch.topk(logits / temperature, k)
    filtered = torch.full_like(logits, -torch.inf).scatter_(-1, token_ids, values)
    return torch.multinomial(torch.softmax(filtered, dim=-1), 1)


def transformers_processors(context: torch.Tensor, embedding: torch.Tensor, temperature: float, k: int) -> torch.Tensor:
    """What `generate()` does with the logits."""
    ids = torch.empty(0, dtype=torch.long)  # the processors ignore them
    logits = torch.nn.functional.linear(context, embedding)
    scores = TopKLogitsWarper(k)(ids, TemperatureLogitsWarper(temperature)(ids, logits))
    return torch.multinomial(torch.softmax(scores, dim=-1), 1)


def onnx_session(inputs: Inputs, threads: int, whole: bool) -> Callable[[], list[np.ndarray]]:
    """The product, or the head up to the probabilities of the k survivors, as an ONNX Runtime session.

    Its threads must not spin after a call: they would take the processor from whoever is timed next.
    """
    embedding = inputs.embedding
    constant = embedding.nbytes < PROTOBUF_LIMIT
    nodes = [helper.make_node("Gemm", ["context", "embedding"], ["logits"], transB=1)]
    outputs, initializers = ["logits"], []
    if whole:
        initializers = [
            numpy_helper.from_array(np.array(TEMPERATURE, np.float32), "temperature"),
            numpy_helper.from_array(np.array([inputs.k]), "k"),
        ]
        nodes += [
            helper.make_node("Div", ["logits", "temperature"], ["scaled"]),
            helper.make_node("TopK", ["scaled", "k"], ["values", "token_ids"]),
            helper.make_node("Softmax", ["values"], ["probs"], axis=-1),
        ]
        outputs = ["probs", "token_ids"]
    given = [helper.make_tensor_value_info("context", TensorProto.FLOAT, inputs.context.shape)]
    feed = {"context": inputs.context}
    if constant:
        initializers.append(numpy_helper.from_array(embedding, "embedding"))
    else:
        given.append(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, embedding.shape))
        feed["embedding"] = embedding
    kind = {"token_ids": TensorProto.INT64}
    graph = helper.make_graph(
        nodes,
        "head",
        given,
        [helper.make_tensor_value_info(name, kind.get(name, TensorProto.FLOAT), None) for name in outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(outputs, feed)


def _onnx_step(inputs: Inputs, threads: int) -> Callable[[], np.ndarray]:
    survivors, rng = onnx_session(inputs, threads, whole=True), np.random.default_rng(0)

    def step() -> np.ndarray:
        probs, token_ids = survivors()
        race = probs / rng.standard_exponential(probs.shape, np.float32)
        return np.take_along_axis(token_ids, race.argmax(axis=-1)[:, None], axis=-1)

    return step


def _jax_step(inputs: Inputs) -> Callable[[], Any]:
    """Raises ImportError where JAX is not installed."""
    import jax

    h, w = jax.numpy.asarray(inputs.context), jax.numpy.asarray(inputs.embedding)

    @jax.jit
    def step(key: Any, context: Any, embedding: Any) -> Any:
        values, token_ids = jax.lax.top_k(context @ embedding.T / TEMPERATURE, inputs.k)
        place = jax.random.categorical(key, values)
        return jax.numpy.take_along_axis(token_ids, place[:, None], axis=-1)

    keys = iter(jax.random.split(jax.random.key(0), 100_000))
    return lambda: step(next(keys), h, w).block_until_ready()


def steps(inputs: Inputs, threads: int) -> Functions:
    """Whole steps, by name. Each library draws from its own generator, but where PyTorch's noise is named."""
    context, embedding, h, w, k = inputs.context, inputs.embedding, inputs.h, inputs.w, inputs.k
    torchs, numpys = reference.TorchGenerator(0), np.random.default_rng(0)
    own = torch.Generator().manual_seed(0)

    def plain(rng: Any) -> np.ndarray:
        return reference.multinomial(reference.lm_head(context, embedding, TEMPERATURE, k), rng=rng)

    functions: Functions = {
        "reference": lambda: plain(torchs),
        "reference, NumPy's noise": lambda: plain(numpys),
        "fast path": lambda: fast.next_token(context, embedding, TEMPERATURE, k, rng=torchs),
        "fast path, NumPy's noise": lambda: fast.next_token(context, embedding, TEMPERATURE, k, rng=numpys),
        "mirror": lambda: torch_impl.multinomial(torch_impl.lm_head(h, w, TEMPERATURE, k), rng=own),
        "lesson": lambda: lesson(h, w, TEMPERATURE, k),
        "Transformers": lambda: transformers_processors(h, w, TEMPERATURE, k),
        "ONNX Runtime": _onnx_step(inputs, threads),
    }
    with contextlib.suppress(ImportError):
        functions["JAX"] = _jax_step(inputs)
    return functions


def stages(inputs: Inputs, threads: int) -> Functions:
    """Single stages, each on the input that it meets in the whole step; the products of three libraries."""
    context, embedding, h, w, k = inputs.context, inputs.embedding, inputs.h, inputs.w, inputs.k
    torchs, numpys = reference.TorchGenerator(0), np.random.default_rng(0)
    own = torch.Generator().manual_seed(0)
    logits = reference.compute_logits(context, embedding)
    scaled = reference.apply_temperature(logits, TEMPERATURE)
    kept = reference.keep_top_k(scaled, k)
    probs = reference.softmax(kept)
    few, token_ids = fast.survivors(logits, TEMPERATURE, k)
    t_logits, t_scaled, t_kept, t_probs = (torch.from_numpy(a) for a in (logits, scaled, kept, probs))
    return {
        "product: NumPy": lambda: context @ embedding.T,
        "product: PyTorch": lambda: torch.nn.functional.linear(h, w),
        "product: ONNX Runtime": onnx_session(inputs, threads, whole=False),
        "reference: apply_temperature": lambda: reference.apply_temperature(logits, TEMPERATURE),
        "reference: keep_top_k": lambda: reference.keep_top_k(scaled, k),
        "reference: softmax": lambda: reference.softmax(kept),
        "reference: multinomial": lambda: reference.multinomial(probs, rng=torchs),
        "fast path: survivors": lambda: fast.survivors(logits, TEMPERATURE, k),
        "fast path: draw": lambda: fast._race(few, token_ids, logits.shape[1], 1, torchs),
        "fast path: draw, NumPy's noise": lambda: fast._race(few, token_ids, logits.shape[1], 1, numpys),
        "fast path: checks of the input": lambda: _checks(context, embedding, logits, k, torchs),
        "mirror: apply_temperature": lambda: torch_impl.apply_temperature(t_logits, TEMPERATURE),
        "mirror: keep_top_k": lambda: torch_impl.keep_top_k(t_scaled, k),
        "mirror: softmax": lambda: torch_impl.softmax(t_kept),
        "mirror: multinomial": lambda: torch_impl.multinomial(t_probs, rng=own),
    }


def _checks(context: Any, embedding: Any, logits: Any, k: int, rng: Any) -> None:
    """What the fast path does on good input for the sake of bad input alone."""
    validation.product(context, embedding)
    validation.vocabulary("logits", logits)
    validation.temperature(TEMPERATURE, logits.dtype)
    validation.count("k", k)
    validation.generator(rng)
    np.isfinite(logits[:, :1]).all()


def limits(inputs: Inputs, threads: int) -> Functions:
    """What no head can beat: every number of the embedding read once, by a dot product in each thread; a product.

    The product is of square matrices, 2 * 1,536**3 operations, at which BLAS is as fast as it gets.
    """
    shares = np.array_split(inputs.embedding.reshape(-1), threads)
    pool = ThreadPoolExecutor(threads)
    square = np.random.default_rng(1).standard_normal((SQUARE, SQUARE), dtype=np.float32)
    return {"read": lambda: sum(pool.map(np.dot, shares, shares)), "square": lambda: square @ square}


SQUARE = 1_536
