"""The head of a model that Transformers has loaded, proved: what is said of its output layer gives the model's logits.

The final norm must take every block output to its context, and the described logits must be the model's, within the
derived bounds of both.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reference import bounds

from .errors import BundleError
from .families import known_family, output_layer, possible_finishes
from .heads import Head
from .output_layer import Norm, OutputLayer, finished, likely
from .tensors import BLOCK

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .forward import Run


def from_model(model: "PreTrainedModel", run: "Run") -> Head:
    """The head of a loaded model, and the output layer that is proved on what the model gave.

    Raises: BundleError for a model whose output layer is of no known kind, with the size of the difference.
    """
    config, output = model.config.get_text_config().to_dict(), model.get_output_embeddings()
    stored = output.weight.detach().numpy()
    rows, d = stored.shape

    def table(start: int, stop: int) -> Iterator[tuple[int, np.ndarray]]:
        step = max(1, BLOCK // d)
        for first in range(start, stop, step):
            yield first, stored[first : min(first + step, stop)]

    def small(module: Any, leaf: str) -> np.ndarray | None:
        found = getattr(module, leaf, None)
        return None if found is None else found.detach().numpy()

    head = Head(
        f"the output embedding of {type(model).__name__}",
        str(config["model_type"]),
        rows,
        d,
        "float32",
        table,
        output.weight is model.get_input_embeddings().weight,
        OutputLayer(None),
        small(run.norm, "weight"),
        small(run.norm, "bias"),
        small(output, "bias"),
    )
    known = known_family(model.config.to_dict())
    described = [] if known is None else [output_layer(config, known, "its configuration")]
    return proved(head, described, run, config)


def proved(head: Head, described: list[OutputLayer], run: "Run", config: dict[str, Any] | None = None) -> Head:
    """The head with the output layer that the model has: one of those described, or what else its configuration names.

    Raises: BundleError for a model whose output layer is of no known kind, with the size of the difference.
    """
    norm = _proved_norm(head, described, run)
    layers = [replace(layer, norm=norm) for layer in described]
    layers += [OutputLayer(norm, **finish) for finish in possible_finishes(config)] if config is not None else []
    away = []
    for layer in dict.fromkeys(layers):
        complete = replace(head, layer=layer)
        ratio, message = _furthest_logit(complete, run)
        if ratio <= 1:
            return complete
        away.append((ratio, message))
    raise BundleError(min(away)[1])


def _proved_norm(head: Head, described: list[OutputLayer], run: "Run") -> Norm | None:
    """The norm that takes every block output to its context, within the bounds of both. Raises: BundleError if none."""
    if run.norm is None:
        return None
    likely = [layer.norm for layer in described if layer.norm is not None]
    epsilons = [getattr(run.norm, name, None) for name in ("eps", "variance_epsilon", "epsilon")]
    own = [value for value in epsilons if isinstance(value, float)] + [norm.epsilon for norm in likely]
    kinds = [Norm(kind, epsilon, at) for epsilon in own for kind in ("layer_norm", "rms_norm") for at in (0.0, 1.0)]
    away = {}
    for norm in dict.fromkeys([*likely, *kinds]):
        complete = replace(head, layer=OutputLayer(norm))  # with the ones and zeros of what the norm lacks
        arguments = (run.block_output, complete.norm_weight, complete.norm_bias)
        error = np.abs(complete.layer.normed(*arguments) - run.context)
        if (error <= 2 * complete.layer.norm_bound(*arguments)).all():  # the model rounds, and so does the reference
            return norm
        away[norm] = float(error.max())
    name = type(run.norm).__name__
    if not away:
        raise BundleError(f"its final norm, a {name}, has no epsilon: a bundle cannot describe it")
    nearest = min(away, key=lambda norm: away[norm])
    raise BundleError(
        f"its final norm, a {name}, is none that a bundle describes: the nearest is {nearest.kind} with epsilon "
        f"{nearest.epsilon:g} and weight offset {nearest.weight_offset:g}, up to {away[nearest]:.3g} away"
    )


def _furthest_logit(head: Head, run: "Run") -> tuple[float, str]:
    """How far the model's own logits are from those described, in units of what is allowed, and where, in words.

    Each must be within the bound of float32. Where d is large, that has room for a factor of 1.01. So all errors
    together must be as small as roundings make them, but for one case in a million (`bounds.mean_square`).
    """
    worst, message, squares, count = 0.0, "", 0.0, 0
    for start, rows in head.float32(0, head.rows):
        stop = start + len(rows)
        finish = head.layer.finish(None if head.bias is None else head.bias[start:stop])
        exact, slack = finished(run.context, rows, finish, "float64")
        bound = finished(run.context, rows, finish)[1] + slack
        error = np.abs(run.logits[:, start:stop] - exact)
        ratio = np.where(np.isnan(error), np.inf, error / bound)
        if ratio.max() > max(worst, 1.0):
            n, v = (int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
            worst = float(ratio[n, v])
            message = (
                f"for prompt {n}, token {start + v} the model gives {run.logits[n, start + v]:.6g} and the description "
                f"{exact[n, v]:.6g}, {worst:.3g} times the bound"
            )
        always, deviation = likely(run.context, rows, finish, exact)
        random = np.maximum(error - always, 0)[deviation > 0] / deviation[deviation > 0]
        squares, count = squares + float((random**2).sum()), count + random.size
    unusual = np.sqrt(squares / count / bounds.mean_square(count)) if count else 0.0
    if worst <= 1 < unusual:
        worst, message = (
            float(unusual),
            f"as a whole, they are {unusual:.3g} times further off than float32's roundings",
        )
    return worst, (
        f"its logits are not those of {head.layer.entry()}: {message}: it does something else between final norm and "
        "logits, which a bundle cannot say"
    )
