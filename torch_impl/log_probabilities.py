"""Log-probabilities in PyTorch, the mirror of `reference/log_probabilities.py`: read that first.

In nats. All refuse logits as `softmax` does, ids outside [0, V) and shapes that do not fit (ValueError), and ids that
are not integers (TypeError).
"""

from typing import Literal

import torch
from torch import Tensor

from .filter_validation import Ids, check_targets, check_word
from .head import top_k
from .validation import check_logits, check_token_ids


def log_probs(logits: Tensor) -> Tensor:
    """`torch.log_softmax` over the last axis, -inf stays -inf: `(..., V) -> (..., V)`  [LOGPROB-1].

    >>> log_probs(torch.tensor([0.0, 0.0, -torch.inf, -1000.0]))
    tensor([-6.9315e-01, -6.9315e-01,        -inf, -1.0007e+03])
    """
    return torch.log_softmax(check_logits(logits), dim=-1)


def top_log_probs(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest and their ids, in the order of `top_k`: `(..., V) -> (..., min(k, V))` twice  [LOGPROB-2].

    Raises: as `top_k`.

    >>> top_log_probs(torch.tensor([0.25, 0.5, 0.25]).log(), 2)
    (tensor([-0.6931, -1.3863]), tensor([1, 0]))
    """
    token_ids = top_k(logits, k)[1]
    return log_probs(logits).gather(-1, token_ids), token_ids


def rank(logits: Tensor, token_ids: Ids, ties: Literal["lowest_id", "all"] = "lowest_id") -> Tensor:
    """How many tokens come before the given one: `(..., V), (...) -> (...)`  [LOGPROB-3].

    Of equal logits those of a lower id, or with `ties="all"` all others.
    Raises: ValueError for another word.

    >>> tied = torch.tensor([1.0, 3.0, 3.0])
    >>> rank(tied, torch.tensor(1)), rank(tied, torch.tensor(1), ties="all")
    (tensor(0), tensor(1))
    """
    logits = check_logits(logits)
    token_ids = check_token_ids(token_ids, logits.shape[:-1], logits.shape[-1], "row of logits").to(logits.device)
    given = logits.gather(-1, token_ids[..., None])  # [..., 1]
    tied = logits == given
    if check_word("ties", ties, "lowest_id", "all") == "all":
        so_far = tied.sum(dim=-1)
    else:
        so_far = tied.cumsum(dim=-1).gather(-1, token_ids[..., None])[..., 0]
    return (logits > given).sum(dim=-1) + so_far - 1  # the given one is tied with itself


def cross_entropy(logits: Tensor, token_ids: Ids, ignore_index: int = -100) -> Tensor:
    """The mean of `torch.nn.functional.cross_entropy` over the positions that count: `(..., V), (...) -> ()`.

    That function gives each position's loss; their mean is taken in float64  [LOGPROB-4].
    Raises: ValueError if every position is ignored; TypeError if `ignore_index` is not an integer.

    >>> cross_entropy(torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]).log(), torch.tensor([0, 0, -100]))
    tensor(1.0397)
    """
    logits = check_logits(logits)
    token_ids, counts = check_targets(token_ids, logits, ignore_index)
    losses = torch.nn.functional.cross_entropy(logits[counts], token_ids[counts], reduction="none")
    return losses.mean(dtype=torch.float64).to(logits.dtype)
