"""The output layer of other model families in PyTorch, the mirror of `reference/output_layer.py`: read that first."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from . import validation


def layer_norm(
    hidden: Tensor, weight: Tensor, bias: Tensor | None = None, epsilon: float = 1e-5, weight_offset: float = 0.0
) -> Tensor:
    """`torch.nn.functional.layer_norm`, which takes mean and variance in one pass as Welford does  [OUT-1].

    `(..., d), (d,), (d,) -> (..., d)`.
    Raises: TypeError for anything but tensors of floats; ValueError for nan or infinity, shapes that do not fit, an
    epsilon that is not finite and > 0, and where the squares or the result overflow.

    >>> layer_norm(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]), epsilon=3.0)
    tensor([-0.5000,  1.5000])
    """
    hidden, factor, bias, floor = validation.check_norm(hidden, weight, bias, epsilon, weight_offset)
    centred = hidden - hidden.mean(dim=-1, keepdim=True)
    validation.check_mean_square(centred.square().mean(dim=-1))
    normed = torch.nn.functional.layer_norm(hidden, factor.shape, factor, bias, floor.item())
    return validation.check_normed(normed)


def rms_norm(hidden: Tensor, weight: Tensor, epsilon: float = 1e-6, weight_offset: float = 0.0) -> Tensor:
    """`h * rsqrt(mean(h**2) + epsilon) * (weight_offset + weight)`, as in Transformers  [OUT-2].

    `(..., d), (d,) -> (..., d)`.
    Raises: as `layer_norm`.

    >>> rms_norm(torch.ones(2), torch.zeros(2), epsilon=3.0, weight_offset=1.0)
    tensor([0.5000, 0.5000])
    """
    hidden, factor, _, floor = validation.check_norm(hidden, weight, None, epsilon, weight_offset)
    mean_square = hidden.square().mean(dim=-1, keepdim=True)  # [..., d] -> [..., 1]
    validation.check_mean_square(mean_square[..., 0])
    return validation.check_normed(hidden * torch.rsqrt(mean_square + floor) * factor)


def finish_logits(
    logits: Tensor,
    bias: Tensor | None = None,
    multiplier: float = 1.0,
    divisor: float = 1.0,
    cap: float = torch.inf,
) -> Tensor:
    """`z = (logits + bias) * multiplier / divisor`, then `cap * tanh(z / cap)`: `(..., V), (V,) -> (..., V)`  [OUT-5].

    The numbers become tensors first, as the temperature does, so that CUDA divides. -inf stays -inf  [OUT-6].
    Raises: TypeError for anything but tensors of floats; ValueError for logits as in `apply_temperature`, a bias that
    is not finite or not `(V,)`, a multiplier or divisor that is not finite and > 0, a cap that is not > 0, and where a
    finite logit overflows.

    >>> finish_logits(torch.tensor([2.0, 6.0, -torch.inf]), torch.tensor([0.0, 2.0, 0.0]), multiplier=3.0, divisor=4.0)
    tensor([1.5000, 6.0000,   -inf])
    """
    return _finished(*validation.check_finish(logits, bias, multiplier, divisor, cap))


def _finished(
    logits: Tensor,
    bias: Tensor | None,
    multiplier: Tensor,
    divisor: Tensor,
    cap: Tensor,
    start: int = 0,
    shape: Sequence[int] | None = None,
) -> Tensor:
    """`finish_logits` of arguments that have been checked; `start` and `shape` are for `check_finished`."""
    scaled = logits if bias is None else logits + bias
    scaled = scaled * multiplier / divisor
    validation.check_finished(scaled, logits, start, shape)
    if cap.isinf():
        return scaled
    return torch.where(logits == -torch.inf, logits, cap * torch.tanh(scaled / cap))


class Finish:
    """`finish_logits` of logits that come in blocks of the vocabulary: the arguments by name, checked once.

    `like` has the dtype and the device of the logits. `dtype` is that of the result: the wider one with the bias.
    """

    def __init__(self, arguments: Mapping[str, Any], vocab_size: int, like: Tensor) -> None:
        given = {"bias": None, "multiplier": 1.0, "divisor": 1.0, "cap": torch.inf, **arguments}
        row, self._bias, *self._numbers = validation.check_finish(like.new_zeros(vocab_size), **given)
        self.dtype: torch.dtype = row.dtype

    def __call__(self, block: Tensor, start: int, shape: Sequence[int]) -> Tensor:
        """The ids from `start` on of logits `(*shape, V)`: `(N, width) -> (N, width)`."""
        bias = None if self._bias is None else self._bias[start : start + block.shape[1]]
        multiplier, divisor, cap = self._numbers
        return _finished(block.to(self.dtype), bias, multiplier, divisor, cap, start, shape)

    def __bytes__(self) -> bytes:
        """All arguments, for a comparison with those of another process."""
        tensors = [*self._numbers, *([] if self._bias is None else [self._bias])]
        return b"".join(bytes(t.detach().cpu().reshape(-1).view(torch.uint8).numpy()) for t in tensors)
