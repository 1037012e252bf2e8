"""Correct but different: implementations that the suite must never call wrong, however they add, sort or draw.

Each variant replaces some functions of the reference by another correct way to the same result: another order of
summation, another library, another selection algorithm, another form of the race.
"""

import heapq
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import reference
from reference import validation
from reference.operations import OPERATIONS

from . import engine_variants as engines
from . import filter_variants as filters
from . import norm_variants as norms
from .by_row import process_with, whole
from .heads import REFERENCE, Head, keeps_with
from .judges import orders
from .stream_variants import draw_as_by_other_means


def _products(context: Any, embedding: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The context as rows `(rows, d)`, the embedding, and zeros for the logits `(rows, V)`."""
    context, embedding = validation.check_factors(context, embedding)
    rows = context.reshape(int(np.prod(context.shape[:-1])), context.shape[-1])
    return rows, embedding, np.zeros((len(rows), len(embedding)), context.dtype)


def _shaped(logits: np.ndarray, context: Any) -> np.ndarray:
    return logits.reshape(*np.shape(context)[:-1], logits.shape[-1])


def float64_accumulation(context: Any, embedding: Any) -> np.ndarray:
    """The sums are taken in float64 and rounded once."""
    rows, embedding, logits = _products(context, embedding)
    return _shaped((rows.astype(np.float64) @ embedding.astype(np.float64).T).astype(logits.dtype), context)


def _in_order(product: orders.Product) -> Callable[..., np.ndarray]:
    """A product of rows as `compute_logits`."""

    def compute_logits(context: Any, embedding: Any) -> np.ndarray:
        rows, embedding, _ = _products(context, embedding)
        return _shaped(product(rows, embedding), context)

    return compute_logits


def kahan_sum(context: Any, embedding: Any) -> np.ndarray:
    """Compensated summation: each rounding error is carried into the next addition."""
    rows, embedding, total = _products(context, embedding)
    columns, lost = np.ascontiguousarray(embedding.T), np.zeros_like(total)
    for i in range(rows.shape[1]):
        term = rows[:, i, None] * columns[i] - lost
        longer = total + term
        total, lost = longer, (longer - total) - term
    return _shaped(total, context)


def einsum(context: Any, embedding: Any) -> np.ndarray:
    """`...d,vd->...v`, by NumPy's own loops."""
    return np.einsum("...d,vd->...v", *validation.check_factors(context, embedding))


def row_by_row(context: Any, embedding: Any) -> np.ndarray:
    """A matrix-vector product for each row of the batch."""
    rows, embedding, logits = _products(context, embedding)
    for row, out in zip(rows, logits, strict=True):
        out[:] = embedding @ row
    return _shaped(logits, context)


def transposed_product(context: Any, embedding: Any) -> np.ndarray:
    """`embedding @ context.T`, transposed: the result has another memory layout."""
    rows, embedding, _ = _products(context, embedding)
    return _shaped((embedding @ rows.T).T, context)


def divides_in_float64(logits: Any, temperature: float) -> np.ndarray:
    """Divides in float64 and rounds to float32. Rounding twice changes nothing here, because 53 >= 2 * 24 + 2 bits."""
    logits = validation.check_logits(logits)
    divisor = float(validation.check_temperature(temperature, logits.dtype))
    with np.errstate(over="ignore"):
        return validation.check_scaled((logits.astype(np.float64) / divisor).astype(logits.dtype), temperature)


def full_sort(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorts the whole vocabulary with a stable sort, then cuts."""
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    token_ids = np.argsort(-logits, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


def heap(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """A heap of k tokens, row by row, in plain Python. Of equal logits, the lower id counts as the larger."""
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    token_ids = np.empty((*logits.shape[:-1], min(k, logits.shape[-1])), np.int64)
    for row in np.ndindex(logits.shape[:-1]):
        values = logits[row].tolist()
        token_ids[row] = heapq.nsmallest(k, range(len(values)), key=lambda i: (-values[i], i))
    return np.take_along_axis(logits, token_ids, axis=-1), token_ids


def _weights(logits: np.ndarray, shift: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(logits - shift)


def shift_by_a_whole_number(logits: Any) -> np.ndarray:
    """Subtracts the maximum rounded to a whole number."""
    logits = validation.check_logits(logits)
    weights = _weights(logits, np.rint(logits.max(axis=-1, keepdims=True)))
    return weights / weights.sum(axis=-1, keepdims=True)


def softmax_in_float64(logits: Any) -> np.ndarray:
    """Computes in float64 and rounds once."""
    logits = validation.check_logits(logits)
    return reference.softmax(logits.astype(np.float64)).astype(logits.dtype)


def one_by_one_softmax(logits: Any) -> np.ndarray:
    """Adds up the weights strictly from left to right."""
    logits = validation.check_logits(logits)
    weights = _weights(logits, logits.max(axis=-1, keepdims=True))
    return weights / np.cumsum(weights, axis=-1)[..., -1:]


def online_softmax(logits: Any) -> np.ndarray:
    """Blocks of 16 with a running maximum. When it rises, the sum so far is rescaled (Milakov & Gimelshein 2018)."""
    logits = validation.check_logits(logits)
    highest = np.full((*logits.shape[:-1], 1), -np.inf, logits.dtype)
    total = np.zeros_like(highest)
    for start in range(0, logits.shape[-1], 16):
        block = logits[..., start : start + 16]
        higher = np.maximum(highest, block.max(axis=-1, keepdims=True))
        finite = np.where(higher == -np.inf, 0, higher)  # only masked tokens so far: avoids -inf minus -inf
        total = total * _weights(highest, finite) + _weights(block, finite).sum(axis=-1, keepdims=True)
        highest = higher
    return _weights(logits, highest) / total


def softmax_of_survivors(logits: Any) -> np.ndarray:
    """Leaves masked tokens out of the sum and puts zeros in their places."""
    logits = validation.check_logits(logits)
    probs = np.zeros_like(logits)
    for row in np.ndindex(logits.shape[:-1]):
        alive = np.flatnonzero(logits[row] > -np.inf)
        probs[row][alive] = reference.softmax(logits[row][alive])
    return probs


def _race(probs: Any, num_samples: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
    probs = validation.check_probabilities(probs, validation.check_count("num_samples", num_samples))
    noise = validation.check_generator(rng).standard_exponential(size=probs.shape, dtype=probs.dtype)
    return probs, np.abs(validation.check_noise(noise, probs))


def gumbel_max(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """The race in logarithms, `log p - log E`, in float64."""
    probs, noise = _race(probs, num_samples, rng)
    with np.errstate(divide="ignore"):
        race = np.log(probs, dtype=np.float64) - np.log(noise, dtype=np.float64)
    return np.argsort(-race, axis=-1, kind="stable")[..., :num_samples]


def arrival_times(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """The n smallest arrival times `E / p`, in float64. Tokens of probability zero never arrive."""
    probs, noise = _race(probs, num_samples, rng)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        times = np.where(probs > 0, noise.astype(np.float64) / probs, np.inf)
    return np.lexsort((times, probs == 0))[..., :num_samples]


def race_in_blocks(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """Draws sixty rows and then the next sixty, from the same stream."""
    probs = validation.check_probabilities(probs, validation.check_count("num_samples", num_samples))
    if probs.ndim == 1:
        return reference.multinomial(probs, num_samples, rng=rng)
    rows = probs.reshape(int(np.prod(probs.shape[:-1])), probs.shape[-1])
    blocks = [reference.multinomial(rows[i : i + 60], num_samples, rng=rng) for i in range(0, len(rows), 60)]
    return np.concatenate([np.empty((0, num_samples), np.int64), *blocks]).reshape(*probs.shape[:-1], num_samples)


def binary_search(probs: Any, uniform: Any) -> np.ndarray:
    """`searchsorted(side="right")`, but never beyond the last possible token."""
    reference.inverse_cdf(probs, uniform)  # refuses bad input
    probs = validation.check_probabilities(probs)
    uniform = validation.check_uniform(uniform, probs.shape[:-1])
    token_ids = np.empty(probs.shape[:-1], np.int64)
    for row in np.ndindex(probs.shape[:-1]):
        running = np.cumsum(probs[row], dtype=np.float64)
        found = np.searchsorted(running, uniform[row] * running[-1], side="right")
        token_ids[row] = min(found, np.flatnonzero(probs[row])[-1])
    return token_ids


def blocked_prefix_sums(probs: Any, uniform: Any) -> np.ndarray:
    """Prefix sums of blocks of 7, plus the sum of the blocks before, as parallel machines compute them."""
    reference.inverse_cdf(probs, uniform)
    probs = validation.check_probabilities(probs)
    uniform = validation.check_uniform(uniform, probs.shape[:-1])[..., None]
    running = np.empty(probs.shape, np.float64)
    before = np.zeros((*probs.shape[:-1], 1))
    for start in range(0, probs.shape[-1], 7):
        block = before + np.cumsum(probs[..., start : start + 7], axis=-1, dtype=np.float64)
        running[..., start : start + 7], before = block, block[..., -1:]
    exceeds = (running > uniform * running[..., -1:]) & (probs > 0)
    last = probs.shape[-1] - 1 - np.argmax(probs[..., ::-1] > 0, axis=-1)
    return np.where(exceeds.any(axis=-1), exceeds.argmax(axis=-1), last)


def sparse_head(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> np.ndarray:
    """The softmax of the k survivors alone, scattered into zeros."""
    logits = reference.compute_logits(context, embedding)
    values, token_ids = reference.top_k(reference.apply_temperature(logits, temperature), k)
    probs = np.zeros_like(logits)
    np.put_along_axis(probs, token_ids, reference.softmax(values), axis=-1)
    return probs


@cache
def _onnx_session(operator: str, dtype: str, **attributes: Any) -> onnxruntime.InferenceSession:
    """A session for a graph of one operator."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = {"MatMul": ["a", "b"], "TopK": ["a", "k"], "Div": ["a", "b"]}.get(operator, ["a"])
    outputs = ["values", "ids"] if operator == "TopK" else ["values"]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, outputs, **attributes)],
        operator,
        [helper.make_tensor_value_info(n, TensorProto.INT64 if n == "k" else kind, None) for n in inputs],
        [helper.make_tensor_value_info(n, TensorProto.INT64 if n == "ids" else kind, None) for n in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _onnx(operator: str, *arrays: np.ndarray, **attributes: Any) -> list[np.ndarray]:
    session = _onnx_session(operator, arrays[0].dtype.name, **attributes)
    names = [node.name for node in session.get_inputs()]
    return session.run(None, {n: np.ascontiguousarray(a) for n, a in zip(names, arrays, strict=True)})


def onnx_matmul(context: Any, embedding: Any) -> np.ndarray:
    """ONNX Runtime's MatMul."""
    rows, embedding, logits = _products(context, embedding)
    return _shaped(_onnx("MatMul", rows, embedding.T)[0] if rows.size else logits, context)


def onnx_div(logits: Any, temperature: float) -> np.ndarray:
    """ONNX Runtime's Div."""
    logits = validation.check_logits(logits)
    divisor = validation.check_temperature(temperature, logits.dtype)
    if not logits.size:
        return logits
    quotient = _onnx("Div", logits, np.array(divisor))[0]
    return validation.check_scaled(quotient, temperature)


def onnx_top_k(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """ONNX Runtime's TopK, which keeps the lowest ids at a tie and refuses k above V."""
    logits, k = validation.check_logits(logits), validation.check_count("k", k)
    if not logits.size:
        return full_sort(logits, k)
    values, token_ids = _onnx("TopK", logits, np.array([min(k, logits.shape[-1])]), axis=-1, largest=1, sorted=1)
    return values, token_ids


def onnx_softmax(logits: Any) -> np.ndarray:
    """ONNX Runtime's Softmax."""
    logits = validation.check_logits(logits)
    return _onnx("Softmax", logits, axis=-1)[0] if logits.size else logits


@whole("log_probs")
def onnx_log_softmax(logits: np.ndarray) -> np.ndarray:
    """ONNX Runtime's LogSoftmax."""
    return _onnx("LogSoftmax", logits, axis=-1)[0] if logits.size else logits


def _variant(name: str, **operations: Any) -> Head:
    """The reference with some operations replaced. If they are stages of the head, its `lm_head` is made of them."""
    variant = REFERENCE.but(name, **operations)
    on_the_way = operations.keys() & set(OPERATIONS["lm_head"].parts)
    return variant.composed().but(name, **operations) if on_the_way else variant


def _with_pipelines(name: str, **operations: Any) -> Head:
    """The reference with some steps replaced, and a `process` that is made of them."""
    variant = _variant(name, **operations)
    return variant.but(name, process=process_with(variant.operations))


VARIANTS = (
    _variant(
        "float64 accumulation",
        compute_logits=float64_accumulation,
        softmax=softmax_in_float64,
        layer_norm=norms.layer_norm_by(norms.in_float64),
        rms_norm=norms.rms_norm_by(norms.rms_in_float64),
        finish_logits=norms.finish_in_float64,
    ),
    _variant(
        "one by one",
        compute_logits=_in_order(orders.one_by_one(range)),
        softmax=one_by_one_softmax,
        layer_norm=norms.layer_norm_by(norms.one_by_one_centred),
        rms_norm=norms.rms_norm_by(norms.one_by_one),
    ),
    _variant("one by one, reversed", compute_logits=_in_order(orders.one_by_one(lambda d: reversed(range(d))))),
    _variant("Kahan sum", compute_logits=kahan_sum),
    _variant("pairwise sum", compute_logits=_in_order(orders.pairwise)),
    _variant("blocked sum", compute_logits=_in_order(orders.blocked), inverse_cdf=blocked_prefix_sums),
    _variant("einsum", compute_logits=einsum),
    _variant("row by row", compute_logits=row_by_row, multinomial=race_in_blocks).drawing_its_own_noise(),
    _variant("transposed product", compute_logits=transposed_product),
    _variant("float64 division", apply_temperature=divides_in_float64),
    _variant("full sort", top_k=full_sort, keep_top_k=keeps_with(full_sort)),
    _variant("heap", top_k=heap, keep_top_k=keeps_with(heap)),
    _variant("another shift", softmax=shift_by_a_whole_number),
    _variant("online softmax", softmax=online_softmax),
    _variant("softmax of survivors", softmax=softmax_of_survivors, lm_head=sparse_head),
    _variant("Welford's updates", layer_norm=norms.layer_norm_by(norms.welford)),
    _variant(
        "torch.nn",
        layer_norm=norms.layer_norm_by(norms.torch_layer_norm),
        rms_norm=norms.rms_norm_by(norms.torch_rms_norm),
    ),
    _variant("Llama and Cohere", layer_norm=norms.layer_norm_by(norms.cohere), rms_norm=norms.rms_norm_by(norms.llama)),
    _variant("Gemma", rms_norm=norms.rms_norm_by(norms.gemma), finish_logits=norms.finish_by_exp),
    _variant("Gumbel-max", multinomial=gumbel_max).drawing_its_own_noise(),
    _variant("arrival times", multinomial=arrival_times),
    _variant("binary search", inverse_cdf=binary_search),
    _variant(
        "ONNX Runtime",
        compute_logits=onnx_matmul,
        apply_temperature=onnx_div,
        top_k=onnx_top_k,
        keep_top_k=keeps_with(onnx_top_k),
        softmax=onnx_softmax,
        log_probs=onnx_log_softmax,
    ),
    _with_pipelines(
        "in their dtype",
        **filters.IN_THEIR_DTYPE,
        greedy=filters.sorted_greedy,
        log_probs=filters.torch_log_probs,
    ),
    _with_pipelines(
        "by other sums",
        keep_top_p=filters.before_it,
        keep_min_p=filters.by_probabilities,
        frequency_penalty=filters.added_up,
        log_probs=filters.scipy_log_probs,
        cross_entropy=filters.torch_cross_entropy,
    ),
    _variant(
        "row by row, token by token",
        repetition_penalty=filters.masked_repetition,
        presence_penalty=filters.one_hot_presence,
        logit_bias=filters.bias_one_by_one,
        ban=filters.ban_by_where,
        no_repeat_ngram=filters.ngrams_in_a_dictionary,
        min_length=filters.length_by_mask,
        top_log_probs=filters.top_of_all,
        rank=filters.rank_by_sorting,
    ),
    _with_pipelines("Transformers", **engines.TRANSFORMERS),
    _with_pipelines(
        "sorted",
        keep_top_p=engines.top_p_descending,
        keep_epsilon=engines.epsilon_of_log_probs,
        keep_eta=engines.eta_of_log_probs,
        keep_top_h=engines.top_h_one_by_one,
        keep_xtc=engines.xtc_sorted,
        greedy=engines.greedy_in_a_loop,
        repetition_penalty=engines.repetition_in_place,
        frequency_penalty=engines.frequency_one_by_one,
        presence_penalty=engines.presence_by_set,
        cross_entropy=engines.one_by_one_cross_entropy,
    ),
    _with_pipelines(
        "weights against products",
        keep_top_p=engines.top_p_of_weights,
        keep_typical=engines.typical_of_weights,
        keep_epsilon=engines.epsilon_of_weights,
        keep_top_n_sigma=engines.n_sigma_by_welford,
        keep_xtc=engines.xtc_of_weights,
        repetition_penalty=engines.repetition_by_torch,
        frequency_penalty=engines.frequency_fused,
        logit_bias=engines.bias_over_v,
        min_length=engines.min_length_by_bias,
    ),
    _variant("a heap of probabilities", keep_top_p=engines.top_p_by_heap, greedy=engines.greedy_by_top_k),
    _variant("pipelines row by row", process=engines.process_row_by_row),
    _variant("other generators and walks", draw_as=draw_as_by_other_means),
)


def stages(variant: Head) -> list[str]:
    """The operations that a variant replaces."""
    return [name for name, function in variant.operations.items() if function is not REFERENCE.operations[name]]
