"""Small random models of other families, from Transformers' own classes, with no special value at its default."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from .checkpoints import byte_tokenizer

VOCAB, ROWS = 300, 307  # the table has seven rows of padding
_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_GROUPED = {"num_key_value_heads": 2, "head_dim": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "layer_norm_epsilon": 0.01},
    "llama": {**_GROUPED, "rms_norm_eps": 0.02},
    "qwen3": {**_GROUPED, "rms_norm_eps": 0.03},
    "gemma2": {**_GROUPED, "rms_norm_eps": 0.01, "final_logit_softcapping": 3.3},
    "gemma3_text": {**_GROUPED, "rms_norm_eps": 0.02, "final_logit_softcapping": 5.7},
    "phi": {"layer_norm_eps": 0.03},
    "cohere": {**_GROUPED, "layer_norm_eps": 0.01, "logit_scale": 0.3},
    "granite": {**_GROUPED, "rms_norm_eps": 0.02, "logits_scaling": 7.3},
    "gpt_neox": {"layer_norm_eps": 0.03},
    "mistral": {**_GROUPED, "rms_norm_eps": 0.01},
    "olmo2": {"num_key_value_heads": 2, "rms_norm_eps": 0.02},
}


def make_model(family: str, tied: bool = True, **settings: Any) -> PreTrainedModel:
    """A model of this family with random weights, biases and gains."""
    sizes = {} if family == "gpt2" else _SIZES
    given = {**sizes, **FAMILIES.get(family, {}), "vocab_size": ROWS, "tie_word_embeddings": tied, **settings}
    config = AutoConfig.for_model(family, bos_token_id=1, eos_token_id=VOCAB - 1, pad_token_id=0, **given)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(len(family) + 2 * tied)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model


def make_folder(folder: Path, family: str, tied: bool = True, **settings: Any) -> PreTrainedModel:
    """The same, saved with a byte-level tokenizer of 300 tokens."""
    model = make_model(family, tied, **settings)
    model.save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer(VOCAB), eos_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    return model
