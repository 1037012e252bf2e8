"""From context vector to drawn token, fast, in PyTorch: the mirror of `reference/fast.py`, read that first.

The same functions on tensors, on any device. What PyTorch does differently:

- A few rows are multiplied with the table in parts, one for each thread.
- `torch.topk` finds the survivors. Which of several equal logits it keeps is open, so where the k-th scaled logit
  equals the next one, and only in such a row, the ids are chosen here.
- The device is waited for once: for one flag, whether the logits are good and no row has such a tie; a `finish` and
  `steps` have checks of their own. That is also where `torch.compile` breaks the graph, besides a generator, which it
  cannot trace, and the check of the temperature; `_largest`, from logits to flag, compiles as one graph.
- `torch.multinomial` takes V exponentials of the generator for each row. On a CPU each of them is the logarithm of one
  uniform number, so V of these are made and only the logarithms of the survivors'; elsewhere all V exponentials.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from . import filter_validation, head, output_layer, pipeline, validation

FEW = 16  # context vectors


def compute_logits(context: Tensor, embedding: Tensor) -> Tensor:
    """`(..., d), (V, d) -> (..., V)`: as `head.compute_logits`, but a few rows on a CPU share one reading of memory.

    There, the table is cut into as many parts as there are threads, each the first factor of its product. With MKL on
    an AMD processor, `torch.nn.functional.linear` of 1 to 8 rows takes about twice as long (BENCHMARKS.md)  [LOGITS-1].
    Raises: as there.

    >>> compute_logits(torch.tensor([3.0, 4.0]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -1.0]]))
    tensor([ 3.0000,  4.0000, -2.5000])
    """
    context, embedding = validation.check_factors(context, embedding)
    rows, parts, d = context.reshape(-1, context.shape[-1]), torch.get_num_threads(), embedding.shape[1]
    each = len(embedding) // parts
    if context.device.type != "cpu" or not 1 <= len(rows) <= FEW or not each or not embedding.is_contiguous():
        return head.product(context, embedding)
    whole = parts * each
    with head.exact_products("cpu"):
        large = torch.bmm(embedding[:whole].view(parts, each, d), rows.T.expand(parts, d, len(rows)))
    rest = head.product(rows, embedding[whole:])
    return torch.cat([large.reshape(whole, len(rows)).T, rest], dim=-1).reshape(*context.shape[:-1], len(embedding))


def _largest(rows: Tensor, divisor: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The k largest scaled logits, descending, and their ids; which rows have a tie at the cut; whether all is good.

    `(rows, V) -> (rows, k), (rows, k), (rows,), ()`. nan is the largest of all to `torch.topk`, so nan and inf show up
    in the first place. What is cut by a mask, at -inf, may be tied: it has no probability.
    """
    values, token_ids = torch.topk(rows, min(k + 1, rows.shape[1]), dim=-1)
    values = values / divisor  # division keeps the order, but rounding may make two logits equal
    last, following = values[:, k - 1], values[:, k:]
    tied = (last[:, None] == following).any(dim=-1) & (last > -torch.inf)
    good = (values[:, 0].isfinite() & ~tied).all()
    return values[:, :k], token_ids[:, :k], tied, good


def survivors(logits: Tensor, temperature: float = 0.7, k: int = 50) -> tuple[Tensor, Tensor]:
    """Temperature, cut and softmax: `(..., V) -> probs, token_ids`, each `(..., min(k, V))`, ids ascending.

    The probabilities are those of `softmax(keep_top_k(apply_temperature(logits, temperature), k))`, within its bound
    [TEMP-1, TOPK-2, SOFTMAX-1]. If fewer than k logits are finite, the others have probability 0 and any ids.
    Raises: as the stages do.

    >>> survivors(torch.tensor([1.0, 3.0, -torch.inf, 3.0]), temperature=1.0, k=2)
    (tensor([0.5000, 0.5000]), tensor([1, 3]))
    """
    x, token_ids = _cut(logits, temperature, k)
    return torch.softmax(x, dim=-1), token_ids


def _cut(logits: Tensor, temperature: float, k: int) -> tuple[Tensor, Tensor]:
    """The scaled logits that survive and their ids, `(..., V) -> (..., min(k, V))` twice, ids ascending."""
    k, logits = validation.check_count("k", k), validation.check_vocabulary("logits", logits)
    on_cpu = validation.check_temperature(temperature, torch.zeros((), dtype=logits.dtype, device="cpu"))
    divisor = torch.full((), float(on_cpu), dtype=logits.dtype, device=logits.device)  # a kernel, and not a copy
    rows, k = logits.reshape(-1, logits.shape[-1]), min(k, logits.shape[-1])
    x, token_ids, tied, good = _largest(rows, divisor, k)
    if not good:  # waits for the device
        if not x[:, 0].isfinite().all():
            head.apply_temperature(logits, temperature)  # raises the error, which names the place
        for row in tied.nonzero()[:, 0].tolist():
            above = int((x[row] > x[row, -1]).sum())
            equal = (rows[row] / divisor == x[row, -1]).nonzero()[:, 0]  # ascending
            token_ids[row, above:] = equal[: k - above]
    token_ids, order = token_ids.sort(dim=-1)
    shape = (*logits.shape[:-1], k)
    return x.gather(-1, order).reshape(shape), token_ids.reshape(shape)


def process(
    logits: Tensor,
    steps: Sequence[pipeline.Step],
    history: filter_validation.Ids | None = None,
    prompt_length: int = 0,
    uniform: Any = None,
) -> tuple[Tensor, Tensor]:
    """`softmax(pipeline.process(...))`, as probabilities and token ids, ids ascending  [PIPE-1].

    `(..., V) -> probs, token_ids`, each `(..., min(k, V))` where the steps have a top-k that keeps exactly k and
    nothing but filters and temperatures comes after it: those look at the k survivors alone. Else each `(..., V)`.
    Raises: as `pipeline.process`.

    >>> process(torch.tensor([1.0, 3.0, -torch.inf, 3.0]), [("keep_top_k", {"k": 3}), ("keep_top_p", {"p": 0.9})])
    (tensor([0.0000, 0.5000, 0.5000]), tensor([0, 1, 3]))
    """
    names = [name for name, *_ in filter_validation.check_steps(steps, pipeline.FUNCTIONS)]
    cut = names.index("keep_top_k") if "keep_top_k" in names else len(names)
    on_survivors = all(name == "apply_temperature" or name.startswith("keep_") for name in names[cut:])
    if cut == len(names) or not on_survivors or steps[cut][1].get("ties") == "all":
        x = pipeline.process(logits, steps, history, prompt_length, uniform)
        return head.softmax(x), torch.arange(x.shape[-1], device=x.device).expand(x.shape)
    divides = cut > 0 and names[cut - 1] == "apply_temperature"
    first, temperature = (cut - 1, steps[cut - 1][1]["temperature"]) if divides else (cut, 1.0)
    if first:
        logits = pipeline.process(logits, steps[:first], history, prompt_length, uniform)
    x, token_ids = _cut(logits, temperature, steps[cut][1]["k"])
    if cut + 1 < len(names):
        x = pipeline.process(x, steps[cut + 1 :], uniform=uniform)
    return torch.softmax(x, dim=-1), token_ids


@cache
def _logarithms_of_uniforms() -> bool:
    """Whether `exponential_` on this CPU is `-log1p(-U)` of the generator's numbers; Intel's library has others."""
    exponential, uniform = torch.empty(4096), torch.empty(4096, dtype=torch.float64)
    exponential.exponential_(generator=torch.Generator().manual_seed(0))
    return exponential.equal(_exponentials(uniform.uniform_(generator=torch.Generator().manual_seed(0))).float())


def _exponentials(uniform: Tensor) -> Tensor:
    """`-log1p(-U)` by the C library, as PyTorch computes it; `torch.log1p` has another last bit here and there."""
    return torch.tensor([-math.log1p(-u) for u in uniform.reshape(-1).tolist()], dtype=torch.float64).view_as(uniform)


def noise(rng: torch.Generator, token_ids: Tensor, vocab_size: int, dtype: torch.dtype) -> Tensor:
    """The survivors' numbers of the noise that `torch.multinomial` takes for `(rows, V)`: one for each of `token_ids`.

    The generator ends where it would then.
    """
    rows = token_ids.reshape(-1, token_ids.shape[-1])
    if rows.device.type == "cpu" and 8 * rows.shape[1] < vocab_size and _logarithms_of_uniforms():
        uniforms, of_row = torch.empty(rows.shape, dtype=torch.float64), torch.empty(vocab_size, dtype=torch.float64)
        for row, ids in zip(uniforms, rows, strict=True):
            torch.index_select(of_row.uniform_(generator=rng), 0, ids, out=row)
        return _exponentials(uniforms).to(dtype).view_as(token_ids)
    of_all = torch.empty((len(rows), vocab_size), dtype=dtype, device=rows.device)
    return of_all.exponential_(generator=rng).gather(-1, rows).view_as(token_ids)


def draw(
    probs: Tensor,
    token_ids: Tensor,
    vocab_size: int,
    num_samples: int = 1,
    *,
    rng: torch.Generator,
    same_tokens: bool = True,
) -> Tensor:
    """`head.multinomial` among survivors: `probs`, `token_ids` `(..., k) -> (..., num_samples)`  [DRAW-1 to DRAW-6].

    The ids of a row must ascend, and none may stand twice, unless its second probability is 0. `same_tokens` takes V
    numbers of the generator for each row: then the tokens are those of a draw from all V, as `torch.multinomial` makes
    it, and the generator ends in the same place. Without it k numbers do, for the same distribution.
    Raises: as `head.multinomial`; TypeError for ids that are not integers; ValueError for ids of another shape, not in
    ascending order, repeated, or outside [0, V).

    >>> rng = torch.Generator().manual_seed(0)
    >>> draw(torch.tensor([0.25, 0.75]), torch.tensor([1, 2]), 3, 2, rng=rng)  # the tokens of [0, 0.25, 0.75]
    tensor([2, 1])
    """
    num_samples = validation.check_count("num_samples", num_samples)
    probs = validation.check_probabilities(probs, num_samples)
    token_ids = validation.check_token_ids(token_ids, probs.shape, vocab_size, "probability")
    validation.check_ascending(token_ids, probs)
    return _race(probs, token_ids, vocab_size, num_samples, validation.check_generator(rng), same_tokens)


def _race(
    probs: Tensor, token_ids: Tensor, vocab_size: int, num_samples: int, rng: torch.Generator, same_tokens: bool
) -> Tensor:
    """`draw`, from probabilities and ids that have been checked."""
    few = torch.empty_like(probs)
    numbers = noise(rng, token_ids, vocab_size, probs.dtype) if same_tokens else few.exponential_(generator=rng)
    race = head.race(probs, numbers)
    first = num_samples == 1
    places = race.argmax(dim=-1, keepdim=True) if first else head.largest(race, num_samples)[1]  # the first of equals
    return token_ids.gather(-1, places)


def next_token(
    context: Tensor,
    embedding: Tensor,
    temperature: float = 0.7,
    k: int = 50,
    *,
    rng: torch.Generator,
    finish: Mapping[str, Any] | None = None,
    steps: Sequence[pipeline.Step] | None = None,
    same_tokens: bool = True,
) -> Tensor:
    """One token for each context vector, `(..., d), (V, d) -> (...)`: `multinomial(lm_head(...), rng=rng)[..., 0]`.

    The softmax sums over k numbers instead of V, so a probability may differ in its last bits. The token drawn may
    differ only where two race values are closer than that  [HEAD-1, DRAW-1, RNG-5]. `finish` holds arguments of
    `finish_logits` by name  [OUT-5]; `steps` are those of a pipeline without a history, in place of temperature and
    top-k  [PIPE-1]; `same_tokens` is explained in `draw`.
    Raises: as the stages do.

    >>> table = torch.tensor([[0.0], [2.0], [2.0], [1.0]])
    >>> next_token(torch.tensor([1.0]), table, k=2, rng=torch.Generator().manual_seed(0))
    tensor(2)
    """
    validation.check_generator(rng)
    logits = compute_logits(context, embedding)  # [..., d] -> [..., V]
    if finish:
        logits = output_layer.finish_logits(logits, **finish)
    if steps is None:
        probs, token_ids = survivors(logits, temperature, k)  # [..., V] -> [..., k]
    else:
        probs, token_ids = process(logits, steps)
    return _race(probs, token_ids, logits.shape[-1], 1, rng, same_tokens)[..., 0]
