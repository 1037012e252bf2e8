"""Filters in PyTorch, the mirror of `reference/filters.py`: read that first.

Each takes logits `(..., V)` and returns them with -inf where a token falls. What is summed and compared is in float64:
it comes from `torch.softmax` and `torch.log_softmax` in that dtype. Survivors keep their bits: falling tokens are
filled in, nothing is computed anew. All refuse logits as `softmax` does.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from .filter_validation import check_share, check_word
from .head import top_k
from .validation import check_logits, check_positive, check_uniform


def _probs(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=-1, dtype=torch.float64)


def _entropy(probs: Tensor) -> Tensor:
    """`-sum q ln q`, in nats: `(..., V) -> (..., 1)`."""
    return torch.special.entr(probs).sum(dim=-1, keepdim=True)  # entr(0) is 0


def _end(ranked: Tensor, share: float, until: str) -> Tensor:
    """The first place at which the running sum has that share of the total: `(..., V) -> (..., 1)`."""
    exceeded = check_word("until", until, "reached", "exceeded") == "exceeded"
    running = ranked.cumsum(dim=-1)
    place = torch.searchsorted(running, share * running[..., -1:], right=exceeded)
    return place.clamp(max=ranked.shape[-1] - 1)  # where rounding, or a share of 1, leaves none


def keep_top_p(
    logits: Tensor,
    p: float,
    until: Literal["reached", "exceeded"] = "reached",
    ties: Literal["lowest_id", "all"] = "lowest_id",
) -> Tensor:
    """The first of a stable `torch.sort`, up to where the running sum reaches p: `(..., V) -> (..., V)`  [FILTER-2].

    `until="exceeded"`: up to where it is above p. `ties="all"`: and what is as probable as the last one  [FILTER-3].
    Raises: ValueError for a p outside (0, 1], for another word, and for logits as above.

    >>> keep_top_p(torch.tensor([0.0, 0.0, -torch.inf]), 0.5)
    tensor([0., -inf, -inf])
    """
    logits, p = check_logits(logits), check_share("p", p)
    values, ids = logits.sort(dim=-1, descending=True, stable=True)  # stable: of equal logits the lower id is first
    end = _end(_probs(logits).gather(-1, ids), p, until)
    if check_word("ties", ties, "lowest_id", "all") == "all":
        falls = logits < values.gather(-1, end)
    else:
        places = torch.arange(ids.shape[-1], device=ids.device)
        falls = torch.zeros_like(ids, dtype=torch.bool).scatter(-1, ids, places > end)
    return logits.masked_fill(falls & (p < 1), -torch.inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """What is at least p times as probable as the most probable: `(..., V) -> (..., V)`  [FILTER-4].

    As `z - max >= ln p`; the reference compares the exponentials.
    Raises: ValueError for a p outside [0, 1] and for logits as above.

    >>> keep_min_p(torch.tensor([0.0, -2.0, -3.0]), 0.1)
    tensor([ 0., -2., -inf])
    """
    logits, p = check_logits(logits), check_share("p", p, "[0, 1]")
    wide = logits.double()
    gaps = wide - wide.amax(dim=-1, keepdim=True)
    return logits.masked_fill(gaps < wide.new_tensor(p).log(), -torch.inf)  # ln 0 is -inf: nothing is below


def keep_typical(logits: Tensor, mass: float) -> Tensor:
    """Those whose surprise is closest to the entropy, until their sum reaches the mass  [FILTER-5].

    `(..., V) -> (..., V)`; what is as close as the last one stays too.
    Raises: ValueError for a mass outside (0, 1) and for logits as above.

    >>> keep_typical(torch.tensor([0.5, 0.25, 0.125, 0.125]).log(), 0.2)
    tensor([   -inf, -1.3863,    -inf,    -inf])
    """
    logits, mass = check_logits(logits), check_share("mass", mass, "(0, 1)")
    probs = _probs(logits)
    distances = (torch.log_softmax(logits, dim=-1, dtype=torch.float64) + _entropy(probs)).abs()
    ranked, ids = distances.sort(dim=-1, stable=True)
    last = ranked.gather(-1, _end(probs.gather(-1, ids), mass, "reached"))
    return logits.masked_fill(distances > last, -torch.inf)


def _at_least(logits: Tensor, probs: Tensor, threshold: float | Tensor) -> Tensor:
    """The tokens of at least that probability, and the largest in any case."""
    return logits.masked_fill((probs < threshold) & (logits < logits.amax(dim=-1, keepdim=True)), -torch.inf)


def keep_epsilon(logits: Tensor, cutoff: float) -> Tensor:
    """The tokens of a probability of at least `cutoff`, and the largest: `(..., V) -> (..., V)`  [FILTER-6].

    Raises: ValueError for a cutoff outside (0, 1) and for logits as above.

    >>> keep_epsilon(torch.tensor([0.5, 0.3, 0.2]).log(), 0.25)
    tensor([-0.6931, -1.2040,    -inf])
    """
    logits, cutoff = check_logits(logits), check_share("cutoff", cutoff, "(0, 1)")
    return _at_least(logits, _probs(logits), cutoff)


def keep_eta(logits: Tensor, cutoff: float) -> Tensor:
    """As `keep_epsilon`, with `min(cutoff, sqrt(cutoff) exp(-entropy))` in place of the cutoff  [FILTER-6].

    Raises: as `keep_epsilon`.

    >>> keep_eta(torch.tensor([0.5, 0.3, 0.2]).log(), 0.25)
    tensor([-0.6931, -1.2040, -1.6094])
    """
    logits, cutoff = check_logits(logits), check_share("cutoff", cutoff, "(0, 1)")
    probs = _probs(logits)
    return _at_least(logits, probs, (cutoff**0.5 * (-_entropy(probs)).exp()).clamp(max=cutoff))


def keep_top_h(logits: Tensor, h: float) -> Tensor:
    """Of `top_k(logits, 100)` those whose running sum of `-q ln q` is at most h times the whole  [FILTER-7].

    `(..., V) -> (..., V)`; q is the softmax of these 100, and the first stays in any case. In bits, not nats: so the
    parts of 2**m equal logits, and their sums, are exact.
    Raises: ValueError for an h outside (0, 1] and for logits as above.

    >>> keep_top_h(torch.tensor([0.5, 0.25, 0.125, 0.125]).log(), 0.5)
    tensor([-0.6931,    -inf,    -inf,    -inf])
    """
    logits, h = check_logits(logits), check_share("h", h)
    values, ids = top_k(logits, 100)
    probs = _probs(values)
    running = (-probs * probs.log2()).nan_to_num(nan=0.0).cumsum(dim=-1)  # nan: 0 times -inf, of what adds nothing
    count = torch.searchsorted(running, h * running[..., -1:], right=True).clamp(min=1)  # [..., 1]
    falls = torch.arange(ids.shape[-1], device=ids.device) >= count
    return torch.full_like(logits, -torch.inf).scatter(-1, ids, values.masked_fill(falls, -torch.inf))


def keep_top_n_sigma(logits: Tensor, n: float) -> Tensor:
    """The logits of at least `max - n s`, s the standard deviation of the unmasked: `(..., V) -> (..., V)`  [FILTER-8].

    Masked tokens become nan for `torch.nanmean`, which leaves them out.
    Raises: ValueError for an n that is not finite and > 0, and for logits as above.

    >>> keep_top_n_sigma(torch.tensor([4.0, 3.0, 0.0, 1.0, -torch.inf]), 1.0)
    tensor([4., 3., -inf, -inf, -inf])
    """
    logits = check_logits(logits)
    wide = logits.double()
    sigmas = check_positive("n", n, wide)
    unmasked = wide.masked_fill(wide == -torch.inf, torch.nan)
    size = unmasked.abs().nan_to_num(nan=0.0).amax(dim=-1, keepdim=True).clamp(min=1e-300)
    parts = unmasked / size  # no square of these overflows
    deviation = size * (parts - parts.nanmean(dim=-1, keepdim=True)).square().nanmean(dim=-1, keepdim=True).sqrt()
    return logits.masked_fill(wide < wide.amax(dim=-1, keepdim=True) - sigmas * deviation, -torch.inf)


def keep_xtc(logits: Tensor, threshold: float, probability: float, uniform: Any) -> Tensor:
    """Where `uniform < probability`, of the tokens that reach the threshold only the least stays  [FILTER-9].

    `(..., V), (...) -> (..., V)`; what is as probable as the least one stays too.
    Raises: ValueError for a threshold outside (0, 1], a probability outside [0, 1], a uniform outside [0, 1), and for
    logits as above.

    >>> keep_xtc(torch.tensor([0.5, 0.3, 0.2]).log(), 0.25, 0.5, torch.tensor(0.4))
    tensor([   -inf, -1.2040, -1.6094])
    """
    logits, threshold = check_logits(logits), check_share("threshold", threshold)
    probability, uniform = check_share("probability", probability, "[0, 1]"), check_uniform(uniform, logits)
    least = logits.masked_fill(_probs(logits) < threshold, torch.inf).amin(dim=-1, keepdim=True)
    return logits.masked_fill((logits > least) & (uniform < probability)[..., None], -torch.inf)


def greedy(logits: Tensor) -> Tensor:
    """`torch.argmax`, which takes the first of several: `(..., V) -> (...)`  [FILTER-10].

    Raises: ValueError for logits as above.

    >>> greedy(torch.tensor([1.0, 3.0, 3.0]))
    tensor(1)
    """
    return check_logits(logits).argmax(dim=-1)
