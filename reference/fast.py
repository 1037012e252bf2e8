"""From context vector to drawn token, fast: the same as `head.py`, but after the cut only the k survivors are computed.

Read `head.py` first. This file shows what can be skipped without breaking a rule of `SPEC.md`.

    context [..., d]
        |   compute_logits   the product: nearly all of the time, and the only array as long as the vocabulary
    logits [..., V]
        |   survivors        a row is split into about sqrt(V k) groups; only groups with a large maximum are looked at,
        |                    and only their large logits are divided, sorted and put through the softmax
    probs, token_ids [..., k]
        |   draw             the race among the survivors, with noise for them alone
    token ids [...]

Bad input is refused as in `head.py`, with the same messages. nan and inf show up in the maxima of the groups, so the
check costs good logits nothing. If there are any, the functions of `head.py` are called to report where they are.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import filter_validation, head, output_layer, pipeline, validation
from .torch_rng import BLOCK, TorchGenerator, exponentials


def _group_maxima(rows: np.ndarray, k: int) -> np.ndarray:
    """The largest logit of each group of a row, `(rows, V) -> (rows, width)` with k <= width. nan wins, as in `max`.

    A row is laid out as a table of about sqrt(V / k) lines. A group is one column: token v is in group `v % width`.
    Columns, because NumPy then compares whole lines, which are contiguous in memory. sqrt(V / k), because the cost is
    the number of maxima, V / lines, plus the tokens in the k groups that are looked at, k * lines. The sum is smallest
    where the two are equal.
    """
    vocab_size = rows.shape[1]
    width = -(-vocab_size // math.isqrt(vocab_size // k))
    whole = vocab_size - vocab_size % width  # the last line of the table may be shorter
    maxima: np.ndarray = rows[:, :whole].reshape(len(rows), whole // width, width).max(axis=1)
    rest = maxima[:, : vocab_size - whole]
    np.maximum(rest, rows[:, whole:], out=rest)
    return maxima


def _candidates(rows: np.ndarray, maxima: np.ndarray, lowest: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each row, the logits that are not below its `lowest`, and their ids in ascending order.

    A group whose maximum is below `lowest` has no such logit and is not read.
    """
    vocab_size, width = rows.shape[1], maxima.shape[1]
    lines = np.arange(0, vocab_size, width)[:, None]
    for row, largest, low in zip(rows, maxima, lowest, strict=True):
        token_ids = (lines + np.flatnonzero(largest >= low)).reshape(-1)  # line by line: ascending
        if token_ids[-1] >= vocab_size:  # the last line of the table may be shorter
            token_ids = token_ids[token_ids < vocab_size]
        logits = row.take(token_ids)
        reach = (logits >= low).nonzero()[0]
        yield logits.take(reach), token_ids.take(reach)


def _kth(maxima: np.ndarray, k: int) -> np.ndarray:
    """The k-th largest group maximum of each row, `-> (rows,)`: a lower bound of the k-th largest logit.

    Each of the k largest maxima is itself a logit, so at least k logits are that large.
    """
    kth: np.ndarray = np.partition(maxima, maxima.shape[1] - k, axis=1)[:, maxima.shape[1] - k]
    return kth


def survivors(logits: Any, temperature: float = 0.7, k: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Temperature, cut and softmax: `(..., V) -> probs, token_ids`, each `(..., min(k, V))`, ids ascending.

    The probabilities are those of `softmax(keep_top_k(apply_temperature(logits, temperature), k))`, within its bound:
    the sum is taken over k weights instead of V  [TEMP-1, TOPK-2, SOFTMAX-1]. If fewer than k logits are finite, the
    places left over come last and have probability 0.
    Raises: as the stages do.

    >>> survivors(np.array([1.0, 3.0, -np.inf, 3.0]), temperature=1.0, k=2)
    (array([0.5, 0.5]), array([1, 3]))
    """
    x, token_ids = _cut(logits, temperature, k)
    return head.softmax(x), token_ids


def _cut(logits: Any, temperature: float, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The scaled logits that survive and their ids, `(..., V) -> (..., min(k, V))` twice, ids ascending."""
    k = validation.check_count("k", k)
    logits = validation.check_vocabulary("logits", logits)
    divisor = validation.check_temperature(temperature, logits.dtype)
    rows, k = logits.reshape(-1, logits.shape[-1]), min(k, logits.shape[-1])
    maxima = _group_maxima(rows, k)
    token_ids = np.full((len(rows), k), logits.shape[-1] - 1)
    x = np.full((len(rows), k), -np.inf, logits.dtype)
    with np.errstate(all="ignore"):  # single logits may overflow to -inf (TEMP-3)
        largest = maxima.max(axis=1) / divisor
        if not np.isfinite(largest).all():
            head.apply_temperature(logits, temperature)  # raises the error, which names the place
        # The rule cuts after the division. Division keeps the order of logits, but rounding may make two of them equal,
        # and then the lower id wins. So the candidates reach a little below the k-th logit: down to whatever could have
        # the same quotient.
        lowest = _may_divide_to_the_same(_kth(maxima, k), divisor)
        for i, (values, candidates) in enumerate(_candidates(rows, maxima, lowest)):
            quotients = values / divisor
            kept = (-quotients).argsort(kind="stable")[:k]
            kept.sort()  # back from the order of value to the order of id
            x[i, : len(kept)], token_ids[i, : len(kept)] = quotients.take(kept), candidates.take(kept)
    shape = (*logits.shape[:-1], k)
    return x.reshape(shape), token_ids.reshape(shape)


def process(
    logits: Any, steps: Sequence[pipeline.Step], history: Any = None, prompt_length: int = 0, uniform: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """`softmax(pipeline.process(...))`, as probabilities and token ids, ids ascending  [PIPE-1].

    `(..., V) -> probs, token_ids`, each `(..., min(k, V))` where the steps have a top-k that keeps exactly k and
    nothing but filters and temperatures comes after it: those look at the k survivors alone. Else each `(..., V)`.
    Raises: as `pipeline.process`.

    >>> process(np.array([1.0, 3.0, -np.inf, 3.0]), [("keep_top_k", {"k": 3}), ("keep_top_p", {"p": 0.9})])
    (array([0. , 0.5, 0.5]), array([0, 1, 3]))
    """
    names = [name for name, _ in filter_validation.check_steps(steps, pipeline.FUNCTIONS)]
    cut = names.index("keep_top_k") if "keep_top_k" in names else len(names)
    on_survivors = all(name == "apply_temperature" or name.startswith("keep_") for name in names[cut:])
    if cut == len(names) or not on_survivors or steps[cut][1].get("ties") == "all":
        x = pipeline.process(logits, steps, history, prompt_length, uniform)
        return head.softmax(x), np.broadcast_to(np.arange(x.shape[-1]), x.shape)
    divides = cut > 0 and names[cut - 1] == "apply_temperature"
    first, temperature = (cut - 1, steps[cut - 1][1]["temperature"]) if divides else (cut, 1.0)
    if first:
        logits = pipeline.process(logits, steps[:first], history, prompt_length, uniform)
    x, token_ids = _cut(logits, temperature, steps[cut][1]["k"])
    if cut + 1 < len(names):
        x = pipeline.process(x, steps[cut + 1 :], uniform=uniform)
    return head.softmax(x), token_ids


def _may_divide_to_the_same(kth: np.ndarray, divisor: np.floating) -> np.ndarray:
    """A number so low that no finite logit below it can have the same quotient as `kth`; masked tokens are below it.

    Two quotients that round to the same number q are at most `2 u |q| + s` apart, where s is the smallest subnormal.
    Their numerators are therefore at most `2 u |kth| (1 + u) + 2 s divisor` apart. The slack is four times that, which
    also covers the rounding of this function itself.
    """
    limits = np.finfo(kth.dtype)
    slack = 4 * limits.eps * np.abs(kth) + kth.dtype.type(8 * float(limits.smallest_subnormal) * float(divisor))
    lowest: np.ndarray = np.maximum(kth - slack, limits.min)
    return lowest


def _noise(rng: Any, token_ids: np.ndarray, vocab_size: int, dtype: np.dtype) -> np.ndarray:
    """The noise of each survivor, one number each.

    `head.multinomial` takes V numbers of the stream for each row. If this took only k, the next call would meet another
    place of the stream and draw other tokens [RNG-5]. So V are taken here too, except where nobody can tell.
    """
    if isinstance(rng, np.random.Generator):
        # No rule ties a NumPy seed to certain tokens, so k fresh numbers do as well as k out of V, and cost far less.
        numbers: np.ndarray = rng.standard_exponential(size=token_ids.shape, dtype=dtype)
        return numbers
    if isinstance(rng, TorchGenerator):
        # All V numbers of the stream are made, but the logarithm, which takes most of the time, only of k.
        uniforms = _uniforms(rng, token_ids, vocab_size)
        return exponentials(uniforms, dtype).astype(dtype).reshape(token_ids.shape)
    # An unknown source may have a stream too, so it is asked for all V numbers, as by `head.multinomial`. `of_all` only
    # gives the check their shape: an array broadcast from one number takes no memory.
    of_all = np.broadcast_to(dtype.type(0), (*token_ids.shape[:-1], vocab_size))
    given = validation.check_noise(rng.standard_exponential(size=of_all.shape, dtype=dtype), of_all)
    return np.take_along_axis(given, token_ids, axis=-1)


def _uniforms(rng: TorchGenerator, token_ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """The U of each survivor, `(rows * k,)`: token v of row r takes number `r V + v` of the stream  [RNG-5].

    A Mersenne Twister cannot skip numbers. So the whole stream is made, one block at a time, and only the numbers of
    the survivors are kept.
    """
    token_ids = token_ids.reshape(-1, token_ids.shape[-1])
    numbers = (token_ids + vocab_size * np.arange(len(token_ids))[:, None]).reshape(-1)  # ascending
    outputs, end = np.empty(len(numbers), np.uint64), len(token_ids) * vocab_size
    seams = np.searchsorted(numbers, np.arange(0, end + BLOCK, BLOCK))  # block i holds numbers[seams[i] : seams[i + 1]]
    for start, first, last in zip(range(0, end, BLOCK), seams[:-1], seams[1:], strict=True):
        block = rng._stream.randint(2**64, size=min(BLOCK, end - start), dtype=np.uint64)
        outputs[first:last] = block[numbers[first:last] - start]
    return (outputs & (2**53 - 1)) * 2.0**-53


def draw(probs: Any, token_ids: np.ndarray, vocab_size: int, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """`head.multinomial` among survivors: `probs`, `token_ids` `(..., k) -> (..., num_samples)`  [DRAW-1 to DRAW-6].

    The ids of a row must ascend, and none may stand twice, unless its second probability is 0. Those of `survivors` do,
    those of `top_k` do not. What is promised depends on `rng`:

    - A `TorchGenerator` gives the same tokens as a draw from all V, and its stream ends in the same place.
    - A `numpy.random.Generator` gives the same distribution.
    - Any other source is asked for V numbers for each row, as by `head.multinomial`.

    Raises: as `head.multinomial`; TypeError for ids that are not integers; ValueError for ids of another shape, not in
    ascending order, repeated, or outside [0, V).

    >>> draw(np.array([0.25, 0.75]), np.array([1, 2]), 3, 2, rng=TorchGenerator(0))  # the tokens of [0, 0.25, 0.75]
    array([2, 1])
    """
    num_samples = validation.check_count("num_samples", num_samples)
    probs = validation.check_probabilities(probs, num_samples)
    token_ids = validation.check_token_ids(token_ids, probs.shape, vocab_size, "probability")
    validation.check_ascending(token_ids, probs)
    return _race(probs, token_ids, vocab_size, num_samples, rng)


def _race(probs: np.ndarray, token_ids: np.ndarray, vocab_size: int, num_samples: int, rng: Any) -> np.ndarray:
    """`draw`, from probabilities and ids that have been checked."""
    noise = _noise(validation.check_generator(rng), token_ids, vocab_size, probs.dtype)
    race = np.full_like(probs, -1)  # where tokens of probability zero stay: behind all others
    with np.errstate(all="ignore"):  # noise may be 0, which wins; abs because it may be -0.0
        np.divide(probs, np.abs(noise), out=race, where=probs > 0)
    places = race.argmax(axis=-1)[..., None] if num_samples == 1 else head._largest(race, num_samples)
    return np.take_along_axis(token_ids, places, axis=-1)


def next_token(
    context: Any,
    embedding: Any,
    temperature: float = 0.7,
    k: int = 50,
    *,
    rng: Any,
    finish: Mapping[str, Any] | None = None,
    steps: Sequence[pipeline.Step] | None = None,
) -> np.ndarray:
    """One token for each context vector, `(..., d), (V, d) -> (...)`: `multinomial(lm_head(...), rng=rng)[..., 0]`.

    The softmax sums over k numbers instead of V, so a probability may differ in its last bits. The token drawn may
    differ only where two race values are closer than that  [HEAD-1, DRAW-1, RNG-5]. `finish` holds arguments of
    `finish_logits` by name, for a head that has that between product and temperature  [OUT-5]. `steps` are those of a
    pipeline without a history, in place of temperature and top-k  [PIPE-1].
    Raises: as the stages do.

    >>> next_token(np.array([1.0]), np.array([[0.0], [2.0], [2.0], [1.0]]), k=2, rng=TorchGenerator(0))
    array(2)
    """
    logits = head.compute_logits(context, embedding)  # [..., d] -> [..., V]
    if finish:
        logits = output_layer.finish_logits(logits, **finish)
    if steps is None:
        probs, token_ids = survivors(logits, temperature, k)  # [..., V] -> [..., k]
    else:
        probs, token_ids = process(logits, steps)
    return _race(probs, token_ids, logits.shape[-1], 1, rng)[..., 0]
