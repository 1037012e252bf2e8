"""The output layer of other model families in PyTorch, the mirror of `reference/output_layer.py`: read that first."""

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
    logits, bias, factor, quotient, limit = validation.check_finish(logits, bias, multiplier, divisor, cap)
    scaled = logits if bias is None else logits + bias
    scaled = scaled * factor / quotient
    validation.check_finished(scaled, logits)
    if limit.isinf():
        return scaled
    return torch.where(logits == -torch.inf, logits, limit * torch.tanh(scaled / limit))
