"""Penalties in PyTorch, the mirror of `reference/penalties.py`: read that first.

Each takes logits `(..., V)` and, where it looks at the text so far, `history` `(..., n)`, the ids that count for each
row. Ids may come as a tensor of integers or as lists, from any device. All refuse logits as `softmax` does, ids outside
[0, V) and shapes that do not fit (ValueError), and ids that are not integers (TypeError).
"""

from typing import Any

import torch
from torch import Tensor

from .filter_validation import Ids, check_biases, check_history, check_ids, check_left, check_penalised
from .validation import check_count, check_finite_number, check_logits, check_positive


def _counts(logits: Tensor, ids: Tensor, each: Tensor | None = None) -> Tensor:
    """How often each token stands in `ids` `(..., n)`, or the sum of its `each` `(..., n)`: `(..., V)`, int64."""
    each = torch.ones_like(ids) if each is None else each.long()
    return torch.zeros_like(logits, dtype=torch.int64).scatter_add(-1, ids, each)


def repetition_penalty(logits: Tensor, history: Ids, penalty: float) -> Tensor:
    """Tokens of the history: `x * penalty` where x < 0, else `x / penalty`, however often they occurred  [PENALTY-2].

    `(..., V), (..., n) -> (..., V)`. The penalty becomes a tensor first, as the temperature does, so that CUDA divides.
    Raises: ValueError for a penalty that is not finite and > 0, and where a logit overflows.

    >>> repetition_penalty(torch.tensor([3.0, -3.0, 3.0]), [1, 0, 1], 1.5)
    tensor([ 2.0000, -4.5000,  3.0000])
    """
    logits = check_logits(logits)
    factor = check_positive("penalty", penalty, logits)
    penalised = torch.where(logits < 0, logits * factor, logits / factor)
    return check_penalised(penalised.where(_counts(logits, check_history(history, logits)) > 0, logits), logits)


def _less(logits: Tensor, counts: Tensor, amount: Tensor) -> Tensor:
    """`logits - amount` where the token counts and is not masked; other logits keep their bits, -0 among them."""
    counts = (counts > 0) & (logits > -torch.inf)
    return check_penalised((logits - amount).where(counts, logits), logits)


def frequency_penalty(logits: Tensor, history: Ids, penalty: float) -> Tensor:
    """`x - penalty * c`, where the token occurs c times: `(..., V), (..., n) -> (..., V)`  [PENALTY-3].

    Raises: ValueError for a penalty that is not finite, and where a logit overflows.

    >>> frequency_penalty(torch.tensor([1.0, 1.0, 1.0]), [1, 0, 1], 0.5)
    tensor([0.5000, 0.0000, 1.0000])
    """
    logits = check_logits(logits)
    each = check_finite_number("penalty", penalty, logits)
    counts = _counts(logits, check_history(history, logits))
    return _less(logits, counts, each * counts.to(logits.dtype))


def presence_penalty(logits: Tensor, history: Ids, penalty: float) -> Tensor:
    """`x - penalty` for each token of the history, however often: `(..., V), (..., n) -> (..., V)`  [PENALTY-4].

    Raises: as `frequency_penalty`.

    >>> presence_penalty(torch.tensor([1.0, 1.0, 1.0]), [1, 0, 1], 0.5)
    tensor([0.5000, 0.5000, 1.0000])
    """
    logits = check_logits(logits)
    once = check_finite_number("penalty", penalty, logits)
    return _less(logits, _counts(logits, check_history(history, logits)), once)


def logit_bias(logits: Tensor, biased: Ids, biases: Any) -> Tensor:
    """`x + bias` for the given ids, in every row; -inf masks: `(..., V), (n,), (n,) -> (..., V)`  [PENALTY-5].

    Raises: ValueError for a bias that is nan or +inf, an id that stands twice, another number of biases than ids, where
    a logit overflows, and where no token of a row is left.

    >>> logit_bias(torch.tensor([1.0, 2.0, 3.0]), [0, 2], [0.5, -torch.inf])
    tensor([1.5000, 2.0000,   -inf])
    """
    logits = check_logits(logits)
    ids, numbers = check_biases(biased, biases, logits)
    moved = logits.index_copy(-1, ids, logits.index_select(-1, ids) + numbers)
    return check_left(check_penalised(moved, logits.index_fill(-1, ids[numbers == -torch.inf], -torch.inf)))


def ban(logits: Tensor, banned: Ids) -> Tensor:
    """-inf for these ids, in every row: `(..., V), (n,) -> (..., V)`  [PENALTY-6].

    Raises: ValueError where no token of a row is left.

    >>> ban(torch.tensor([1.0, 2.0, 3.0]), [2])
    tensor([1., 2., -inf])
    """
    logits = check_logits(logits)
    return check_left(logits.index_fill(-1, check_ids("banned", banned, logits), -torch.inf))


def no_repeat_ngram(logits: Tensor, history: Ids, ngram_size: int) -> Tensor:
    """-inf for what would complete a run of `ngram_size` ids that the history holds: `(..., V), (..., n) -> (..., V)`.

    `Tensor.unfold` gives all runs; those that begin as the history ends ban their last id  [PENALTY-6].
    Raises: ValueError for a size below 1, and where no token of a row is left; TypeError if the size is no integer.

    >>> no_repeat_ngram(torch.zeros(4), [1, 2, 3, 1, 2], 3)
    tensor([0., 0., 0., -inf])
    """
    logits, size = check_logits(logits), check_count("ngram_size", ngram_size)
    history = check_history(history, logits)
    n = history.shape[-1]
    if n < size:
        return logits.clone()
    runs = history.unfold(-1, size, 1)  # [..., n] -> [..., runs, size]
    begun = (runs[..., :-1] == history[..., None, n - size + 1 :]).all(dim=-1)
    return check_left(logits.masked_fill(_counts(logits, runs[..., -1], begun) > 0, -torch.inf))


def min_length(logits: Tensor, history: Ids, length: int, end_ids: Ids) -> Tensor:
    """-inf for `end_ids` while the history has fewer than `length` ids: `(..., V), (..., n), (m,) -> (..., V)`.

    Raises: ValueError for a length below 1, and where no token of a row is left; TypeError if it is no integer
    [PENALTY-6].

    >>> min_length(torch.zeros(3), [1, 2], 3, [0])
    tensor([-inf, 0., 0.])
    """
    logits, length = check_logits(logits), check_count("length", length)
    ids = check_ids("end_ids", end_ids, logits)
    return ban(logits, ids) if check_history(history, logits).shape[-1] < length else logits.clone()
