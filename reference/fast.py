"""From context vector to drawn token, fast: what `head.py` computes, on the k survivors alone after the cut.

`head.py` is the one to read; this file says what can be left out without changing a rule of `SPEC.md`.

    context [..., d]
        |   compute_logits   the product: nearly all of the time, and the only array as long as the vocabulary
    logits [..., V]
        |   survivors        the candidates are found through the largest logit of each of about sqrt(V k) groups; only
        |                    they are divided by the temperature, sorted and put through the softmax
    probs, token_ids [..., k]
        |   draw             the race among the survivors: noise is made for them alone
    token ids [...]

Bad input is refused as in `head.py`, with the same words. The maxima of the groups show nan and inf, so good logits pay
nothing for the check; once something is wrong, the functions of `head.py` are asked to say where.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import head, validation
from .torch_rng import BLOCK, TorchGenerator, exponentials


def _group_maxima(rows: np.ndarray, k: int) -> np.ndarray:
    """The largest of each group of a row, `(rows, V) -> (rows, width)`, k <= width: nan wins, as in `max`.

    A row is laid out as a table of about sqrt(V / k) lines, and a group is one of its columns: token v is in group
    `v % width`. So the maxima are taken line by line, along memory, and k groups hold about as many tokens as there are
    groups.
    """
    vocab_size = rows.shape[1]
    width = -(-vocab_size // math.isqrt(vocab_size // k))
    whole = vocab_size - vocab_size % width  # the last line of the table may be shorter
    maxima: np.ndarray = rows[:, :whole].reshape(len(rows), whole // width, width).max(axis=1)
    rest = maxima[:, : vocab_size - whole]
    np.maximum(rest, rows[:, whole:], out=rest)
    return maxima


def _candidates(rows: np.ndarray, maxima: np.ndarray, lowest: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each row the logits not below its `lowest`, and their ids, ascending: only groups that reach it are read."""
    vocab_size, width = rows.shape[1], maxima.shape[1]
    lines = np.arange(0, vocab_size, width)[:, None]
    for row, largest, low in zip(rows, maxima, lowest, strict=True):
        token_ids = (lines + np.flatnonzero(largest >= low)).reshape(-1)  # line by line: ascending
        if token_ids[-1] >= vocab_size:
            token_ids = token_ids[token_ids < vocab_size]
        logits = row.take(token_ids)
        reach = (logits >= low).nonzero()[0]
        yield logits.take(reach), token_ids.take(reach)


def _kth(maxima: np.ndarray, k: int) -> np.ndarray:
    """The k-th largest maximum of each row. k tokens are at least as large, so the k-th token is: `-> (rows,)`."""
    kth: np.ndarray = np.partition(maxima, maxima.shape[1] - k, axis=1)[:, maxima.shape[1] - k]
    return kth


def survivors(logits: Any, temperature: float = 0.7, k: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Temperature, cut and softmax: `(..., V) -> probs, token_ids`, each `(..., min(k, V))`, ids ascending.

    The probabilities are those of `softmax(keep_top_k(apply_temperature(logits, temperature), k))` within its bound:
    the sum is taken over k weights, not V  [TEMP-1, TOPK-2, SOFTMAX-1]. Dividing keeps the order but can make ties,
    which the lowest ids win: so the cut takes along what could be the k-th once divided. If fewer than k logits are
    finite, places with probability 0 are left over at the end.
    Raises: as the stages do.

    >>> survivors(np.array([1.0, 3.0, -np.inf, 3.0]), temperature=1.0, k=2)
    (array([0.5, 0.5]), array([1, 3]))
    """
    k = validation.check_count("k", k)
    logits = validation.check_vocabulary("logits", logits)
    divisor = validation.check_temperature(temperature, logits.dtype)
    rows, k = logits.reshape(-1, logits.shape[-1]), min(k, logits.shape[-1])
    maxima = _group_maxima(rows, k)
    token_ids = np.full((len(rows), k), logits.shape[-1] - 1)
    x = np.full((len(rows), k), -np.inf, logits.dtype)
    with np.errstate(over="ignore"):  # single logits may overflow to -inf (TEMP-3)
        largest = maxima.max(axis=1, keepdims=True) / divisor
        if not np.isfinite(largest).all():
            head.apply_temperature(logits, temperature)  # raises, with the place
        lowest = _may_divide_to_the_same(_kth(maxima, k), divisor)
        for i, (values, candidates) in enumerate(_candidates(rows, maxima, lowest)):
            quotients = values / divisor
            kept = (-quotients).argsort(kind="stable")[:k]
            kept.sort()
            x[i, : len(kept)], token_ids[i, : len(kept)] = quotients.take(kept), candidates.take(kept)
        weights = np.exp(x - largest)
    probs = weights / weights.sum(axis=1, keepdims=True)
    shape = (*logits.shape[:-1], k)
    return probs.reshape(shape), token_ids.reshape(shape)


def _may_divide_to_the_same(kth: np.ndarray, divisor: np.floating) -> np.ndarray:
    """A number below which no finite logit can have the same quotient as `kth`, masked tokens being below it.

    Two quotients that round to one number q are at most `2 u |q| + s` apart, s being the smallest subnormal, and so
    their numerators at most `2 u |kth| (1 + u) + 2 s divisor`: here four times that, which covers its own rounding.
    """
    limits = np.finfo(kth.dtype)
    slack = 4 * limits.eps * np.abs(kth) + kth.dtype.type(8 * float(limits.smallest_subnormal) * float(divisor))
    lowest: np.ndarray = np.maximum(kth - slack, limits.min)
    return lowest


def _noise(rng: Any, token_ids: np.ndarray, vocab_size: int, dtype: np.dtype) -> np.ndarray:
    """One number for each survivor, from a source that ends where V numbers for each row would have left it."""
    if isinstance(rng, np.random.Generator):  # no seed promises its tokens: any numbers will do
        numbers: np.ndarray = rng.standard_exponential(size=token_ids.shape, dtype=dtype)
        return numbers
    if isinstance(rng, TorchGenerator):  # the logarithm, which takes most of the time, of the survivors' numbers alone
        uniforms = _uniforms(rng, token_ids, vocab_size)
        return exponentials(uniforms, dtype).astype(dtype).reshape(token_ids.shape)
    # Another source is asked for all V numbers of each row, as `head.multinomial` asks; `of_all` has their shape, and
    # takes no memory.
    of_all = np.broadcast_to(dtype.type(0), (*token_ids.shape[:-1], vocab_size))
    given = validation.check_noise(rng.standard_exponential(size=of_all.shape, dtype=dtype), of_all)
    return np.take_along_axis(given, token_ids, axis=-1)


def _uniforms(rng: TorchGenerator, token_ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """The U of each survivor, `(rows * k,)`: token v of row r is number `r V + v` of the stream  [RNG-5].

    The stream cannot skip, so all of it is made, a block at a time, and of each block only the survivors' numbers kept.
    """
    token_ids = token_ids.reshape(-1, token_ids.shape[-1])
    numbers = (token_ids + vocab_size * np.arange(len(token_ids))[:, None]).reshape(-1)  # ascending
    outputs, end = np.empty(len(numbers), np.uint64), len(token_ids) * vocab_size
    seams = np.searchsorted(numbers, np.arange(0, end + BLOCK, BLOCK))  # which numbers lie in which block
    for start, first, last in zip(range(0, end, BLOCK), seams[:-1], seams[1:], strict=True):
        block = rng._stream.randint(2**64, size=min(BLOCK, end - start), dtype=np.uint64)
        outputs[first:last] = block[numbers[first:last] - start]
    return (outputs & (2**53 - 1)) * 2.0**-53


def draw(probs: Any, token_ids: np.ndarray, vocab_size: int, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """`head.multinomial` among survivors: `probs`, `token_ids` `(..., k) -> (..., num_samples)`  [DRAW-1 to DRAW-6].

    The ids of a row must ascend, as those of `survivors` do, those of `top_k` not. A `TorchGenerator` gives the
    same tokens as if all V had taken part and ends at the same place of its stream; a `numpy.random.Generator` gives
    the same distribution; any other source is asked for V numbers for each row, as `head.multinomial` asks.
    Raises: as `head.multinomial`; TypeError and ValueError for ids of another kind, shape or order, or outside [0, V).

    >>> draw(np.array([0.25, 0.75]), np.array([1, 2]), 3, 2, rng=TorchGenerator(0))  # as the three of [0, 1, 3]
    array([2, 1])
    """
    num_samples = validation.check_count("num_samples", num_samples)
    probs = validation.check_probabilities(probs, num_samples)
    token_ids = validation.check_ascending(
        validation.check_token_ids(token_ids, probs.shape, vocab_size, "probability")
    )
    return _race(probs, token_ids, vocab_size, num_samples, rng)


def _race(probs: np.ndarray, token_ids: np.ndarray, vocab_size: int, num_samples: int, rng: Any) -> np.ndarray:
    """`draw` from probabilities that are known to be good."""
    noise = _noise(validation.check_generator(rng), token_ids, vocab_size, probs.dtype)
    race = np.full_like(probs, -1)  # where tokens of probability zero stay: behind all others
    with np.errstate(divide="ignore", over="ignore"):  # noise may be 0, which wins; abs because it may be -0.0
        np.divide(probs, np.abs(noise), out=race, where=probs > 0)
    places = race.argmax(axis=-1)[..., None] if num_samples == 1 else head._largest(race, num_samples)
    return np.take_along_axis(token_ids, places, axis=-1)


def next_token(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50, *, rng: Any) -> np.ndarray:
    """One token for each context vector, `(..., d), (V, d) -> (...)`: `multinomial(lm_head(...), rng=rng)[..., 0]`.

    Sums are taken over k numbers instead of V, so a probability may differ in its last bits; and the drawn token only
    where two race values are closer than that  [HEAD-1, DRAW-1, RNG-5].
    Raises: what the stages raise.

    >>> next_token(np.array([1.0]), np.array([[0.0], [2.0], [2.0], [1.0]]), k=2, rng=TorchGenerator(0))
    array(2)
    """
    logits = head.compute_logits(context, embedding)  # [..., d] -> [..., V]
    probs, token_ids = survivors(logits, temperature, k)  # [..., V] -> [..., k]
    return _race(probs, token_ids, logits.shape[-1], 1, rng)[..., 0]
