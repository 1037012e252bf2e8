"""Whether verdicts keep their power at a real model's sizes: inputs of each hidden size, and heads that round them.

`parity_tests/meta/test_power.py` proves it, and the report shows a table of it.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np

import reference
from reference.bounds import quantised

from .judges.roundings import rounded
from .judges.words import Verdict
from .variants import VARIANTS, stages
from .verdict import compare

HIDDEN_SIZES = (64, 768, 1_600, 4_096, 8_192)
VOCAB = 512
FORMATS = {"tfloat32": "TF32", "float16": "float16", "bfloat16": "bfloat16"}

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


@cache
def inputs(d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`context (1, d)` and `embedding (VOCAB, d)` as in real models: with outlier dimensions, in every second case."""
    rng = np.random.default_rng([d, seed])
    context = rng.standard_normal((1, d), dtype=np.float32)
    if seed % 2 == 0:
        context[:, rng.integers(0, d, 3)] *= 40
    return context, rng.standard_normal((VOCAB, d), dtype=np.float32) * np.float32(0.14)


def _short(array: np.ndarray, dtype: str) -> np.ndarray:
    return rounded(array, dtype).astype(np.float32) if dtype else array


def _roundings() -> Iterator[tuple[str, Product]]:
    """Heads that round to a short format or to 8 bits, each with the words by which a verdict names it."""
    for dtype, name in FORMATS.items():
        for what, of_context, of_embedding, of_result in (
            ("{} inputs", dtype, dtype, ""),
            ("{} context", dtype, "", ""),
            ("{} embedding", "", dtype, ""),
            ("rounded to {}", "", "", dtype),
        ):
            yield what.format(name), partial(_product, of_context, of_embedding, of_result)
    yield "Q8_0 activations", lambda h, w: reference.compute_logits(quantised.q8_0(h).astype(np.float32), w)


def _product(of_context: str, of_embedding: str, of_result: str, h: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The logits, with the context, the embedding and the result in these formats; "" is float32."""
    logits = reference.compute_logits(_short(h, of_context), _short(w, of_embedding))
    return _short(logits, of_result)


ROUNDINGS = dict(_roundings())
PRODUCTS = {variant.name: variant.compute_logits for variant in VARIANTS if "compute_logits" in stages(variant)}


def verdict(product: Product, d: int, seed: int) -> Verdict:
    """The verdict on the logits that `product` computes."""
    context, embedding = inputs(d, seed)
    expected, actual = reference.compute_logits(context, embedding), product(context, embedding)
    return compare("compute_logits", expected, actual, context=context, embedding=embedding)
