"""The Hugging Face path: the two functions of the lesson, Transformers' own processors, and the context vector.

For a PyTorch user with a `transformers` model and tokenizer at hand:

    context = context_of(model, **tokenizer("What must be shall", return_tensors="pt"))  # (1, d)
    probabilities = lm_head(model, context[0], temperature=0.7, k=50)                    # (V,)
    token = get_top_token(probabilities, tokenizer)
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, TemperatureLogitsWarper, TopKLogitsWarper

from . import head, output_layer, validation


def lm_head(model: PreTrainedModel, last_token_context_vector: Tensor, temperature: float = 0.7, k: int = 50) -> Tensor:
    """Probabilities `(..., d) -> (..., V)` as the lesson composes them, with a plain `torch.topk`.

    Works for any model with output embeddings, tied or not, with or without a bias, a scale or a soft cap. Which of
    several tokens tied for the k-th place survives is `torch.topk`'s choice; `torch_impl.head.lm_head` settles it.
    Raises: as the stages of `torch_impl.head`; ValueError for a model without output embeddings, and for one whose
    configuration names something else between product and logits.
    """
    logits = _output_logits(model, last_token_context_vector)
    scaled_logits = head.apply_temperature(logits, temperature)
    k = min(validation.check_count("k", k), logits.shape[-1])
    top_k_logits, top_k_indices = torch.topk(scaled_logits, k, dim=-1)
    filtered_logits = torch.full_like(scaled_logits, -torch.inf).scatter(-1, top_k_indices, top_k_logits)
    return torch.softmax(filtered_logits, dim=-1)


def get_top_token(probabilities: Tensor, tokenizer: Any, top_n: int = 1) -> str:
    """Draw `top_n` different tokens from `probabilities` `(V,)` on PyTorch's global stream; print and return the text.

    Raises: ValueError for more tokens than have a probability above zero (`top_n > k`), which a bare
    `torch.multinomial` answers with tokens of probability zero.
    """
    if probabilities.dim() != 1:
        raise ValueError(
            f"probabilities has shape {tuple(probabilities.shape)}: pass one vector (V,), one row at a time"
        )
    device = probabilities.device
    generators = (
        [torch.default_generator] if device.type == "cpu" else torch.get_device_module(device).default_generators
    )
    final_token_id = head.multinomial(probabilities, num_samples=top_n, rng=generators[device.index or 0])
    final_token: str = tokenizer.decode(final_token_id.tolist())
    print(f"\n✅ Final Selected {top_n} Tokens: '{final_token}'")
    return final_token


def processed_lm_head(
    model: PreTrainedModel, last_token_context_vector: Tensor, temperature: float = 0.7, k: int = 50
) -> Tensor:
    """The same distribution, `(..., d) -> (..., V)`, through the logits processors that `model.generate()` uses.

    `TopKLogitsWarper` keeps every token tied with the k-th: it equals `keep_top_k(..., ties="all")`, and `lm_head`
    unless there is a tie for the k-th place.
    """
    return processed(_output_logits(model, last_token_context_vector), temperature, k)


def processed(logits: Tensor, temperature: float = 0.7, k: int = 50) -> Tensor:
    """The distribution that `model.generate()` makes of these logits, `(..., V) -> (..., V)`."""
    no_input_ids = torch.empty(0, dtype=torch.long)  # both processors ignore them
    scores = TemperatureLogitsWarper(float(temperature))(no_input_ids, logits)
    scores = TopKLogitsWarper(top_k=validation.check_count("k", k))(no_input_ids, scores)
    return torch.softmax(scores, dim=-1)


def _output_logits(model: PreTrainedModel, context: Tensor) -> Tensor:
    """The model's own output layer in its own dtype; what follows is in float32 or float64, as in generate()."""
    output_embeddings = model.get_output_embeddings()
    if output_embeddings is None:
        raise ValueError(f"model is a {type(model).__name__} without output embeddings: pass a ...LMHeadModel")
    finish = _finish(model)
    with torch.no_grad(), torch.autocast(context.device.type, enabled=False):
        logits = validation.check_logits(output_embeddings(context))
        return output_layer.finish_logits(logits, **finish) if finish else logits


# Which models do what their configuration names to the product with the output embedding, by their model_type.
_FINISHES: dict[str, dict[str, tuple[str, ...]]] = {
    "logit_scale": {"multiplier": ("cohere", "cohere2", "cohere2_moe", "cohere_compass_text")},
    "lm_head_multiplier": {"multiplier": ("falcon_h1",)},
    "logits_scaling": {
        "divisor": ("granite", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoehybrid", "granitemoeshared"),
        "multiplier": ("hyperclovax",),
    },
    "final_logit_softcapping": {
        "cap": ("gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "gemma4_unified_text", "vaultgemma", "nanochat")
    },
    "logits_soft_cap": {"cap": ("recurrent_gemma",)},
    "output_logit_soft_cap": {"cap": ("xlstm",)},
}


def _finish(model: PreTrainedModel) -> dict[str, Any]:
    """What the configuration says that happens to the product: arguments of `finish_logits`  [OUT-5, OUT-6].

    Raises: ValueError for a family that does it in a way that is not known here.
    """
    config = model.config.get_text_config()
    finish: dict[str, Any] = {}
    for key, known in _FINISHES.items():
        value = getattr(config, key, None)
        argument = next((name for name, families in known.items() if config.model_type in families), None)
        if value is None or (value == 1 and "cap" not in known):  # a scale of 1 changes nothing
            continue
        if argument is None or not isinstance(value, int | float):
            raise ValueError(
                f"model is a {type(model).__name__} whose configuration has {key} = {value!r}: what it does to the "
                "logits is not known here, so they would be wrong; take model(...).logits instead"
            )
        finish[argument] = float(value)
    return finish


@torch.no_grad()
def context_of(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Tensor:
    """The context vector of the last real token of each row: `(batch, length) -> (batch, d)`.

    That is the last block's output after the final layer norm at the last position whose `attention_mask` is 1,
    whichever side the padding is on. Positions count real tokens only, as `generate()` counts them. The mask defaults
    to all ones; other keys of a tokenizer's output are ignored.
    Raises: ValueError for an empty prompt, a mask of another shape, and a row without a real token.
    """
    if input_ids.dim() != 2 or input_ids.shape[1] == 0:
        raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}: it must be (batch, length), length >= 1")
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    if mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask has shape {tuple(mask.shape)} but input_ids has {tuple(input_ids.shape)}: both must agree"
        )
    if not mask.any(dim=1).all():
        row = int((~mask.any(dim=1)).nonzero()[0])
        raise ValueError(f"attention_mask[{row}] is all zeros: each row needs at least one real token")
    positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
    hidden = model.base_model(input_ids=input_ids, attention_mask=mask, position_ids=positions).last_hidden_state
    last = mask.shape[1] - 1 - mask.bool().flip(1).int().argmax(dim=1)  # [batch]
    context: Tensor = hidden[torch.arange(len(hidden), device=hidden.device), last]  # [batch, length, d] -> [batch, d]
    return context
