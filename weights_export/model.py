"""The model and the tokenizer as Transformers loads them, whatever the family, or one sentence.

Nothing is guessed: a tensor that is missing, left over or of another shape is refused.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from .errors import BundleError
from .source import Source, read_config, refuse_pointer
from .tensors import check_finite
from .tokens import TOKENIZER_FILES, VOCABULARIES, vocabulary_size
from .weights import Weights, unwrapped

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The four products of a GPT-2 block. nanoGPT stores them as torch.nn.Linear does, (out, in); GPT-2 as (in, out).
_PRODUCTS = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


def load(source: Source, tied: bool | None = None) -> tuple["PreTrainedModel", Any]:
    """The model and its tokenizer. Raises: as the two functions below; BundleError for ids without a row."""
    with _one_sentence(source, "configuration"):
        from transformers import AutoConfig

        AutoConfig.from_pretrained(source.folder, **_settings(source))
    tokenizer, model = load_tokenizer(source), load_model(source, tied)
    refuse_missing_rows(source, vocabulary_size(tokenizer), len(model.get_output_embeddings().weight))
    return model, tokenizer


def refuse_missing_rows(source: Source, vocab_size: int, rows: int) -> None:
    """Raises: BundleError for a tokenizer with ids that the embedding has no row for."""
    if vocab_size > rows:
        raise BundleError(
            f"{source.name}: its tokenizer has ids up to {vocab_size - 1}, its embedding rows up to {rows - 1} only: "
            "resize the embedding to the tokenizer (resize_token_embeddings), or remove the added tokens"
        )


def load_model(source: Source, tied: bool | None = None) -> "PreTrainedModel":
    """The model in float32 on the CPU, in evaluation mode; `tied` overrules its configuration.

    Raises: BundleError, one sentence, for whatever `AutoModelForCausalLM` does not load whole.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings, state = _settings(source), None
    if not source.gguf:
        _refuse_quantised(source)
        state = _renamed(source)
    with _one_sentence(source, "model"):
        config = AutoConfig.from_pretrained(source.folder, **settings)
        if tied is not None:
            config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = tied
        if not source.gguf:
            settings |= {"use_safetensors": True, "ignore_mismatched_sizes": True}
        settings |= {"config": config, "dtype": torch.float32, "output_loading_info": True}
        if state is not None:
            with torch.device("meta"):
                of_family: Any = type(AutoModelForCausalLM.from_config(config))
            model, info = of_family.from_pretrained(None, state_dict=state, **settings)
        else:
            loaded: Any = AutoModelForCausalLM.from_pretrained(source.folder, **settings)
            model, info = loaded
    _refuse_incomplete(f"{source.folder}, as a {type(model).__name__},", info)
    for name, parameter in model.named_parameters():
        check_finite(parameter.detach().numpy(), f"{source.folder}: {name}")
    if model.get_output_embeddings() is None:
        raise BundleError(f"{source.folder}: a {type(model).__name__} has no output embedding")
    if tied:
        model.get_output_embeddings().weight = model.get_input_embeddings().weight
    return model.eval().requires_grad_(False)


def _settings(source: Source) -> dict[str, Any]:
    of_file = {"gguf_file": source.gguf} if source.gguf else {}
    return {"local_files_only": True, "trust_remote_code": False, **of_file}


def load_tokenizer(source: Source) -> Any:
    """The tokenizer. Raises: BundleError, one sentence, if there is none, or an empty one."""
    import tokenizers  # noqa: F401  without it, Transformers fails in a way that does not name it
    from transformers import AutoTokenizer

    found = [name for name in VOCABULARIES if (source.folder / name).is_file()]
    if not source.gguf and not found:
        raise BundleError(
            f"{source.name} has no tokenizer ({', '.join(VOCABULARIES[:3])} or the like): "
            "add the files of its tokenizer, or export it with --head-only"
        )
    for path in (source.folder / name for name in TOKENIZER_FILES if not source.gguf):
        if path.is_file():
            with path.open("rb") as file:
                refuse_pointer(file.read(64), path)
    with _one_sentence(source, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source.folder, **_settings(source))
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) == 0:
        raise BundleError(
            f"{source.folder}: Transformers makes an empty {type(tokenizer).__name__} of {', '.join(found)}: name the "
            "right tokenizer_class in tokenizer_config.json, or add its tokenizer.json"
        )
    return tokenizer


@contextlib.contextmanager
def _one_sentence(source: Source, what: str) -> Iterator[None]:
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it would warn of is refused here
    logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # the loader of GGUF files has a progress bar of its own
            yield
    except (ModuleNotFoundError, BundleError):
        raise
    except Exception as error:  # Transformers raises nearly everything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        where, out = source.folder, ""
        if source.gguf:
            where, out = source.folder / source.gguf, "; the head alone can be read without it: pass --head-only"
        raise BundleError(f"{where}: Transformers does not load its {what} as a decoder's: {reason}{out}") from error
    finally:
        logging.set_verbosity(verbosity)


def _refuse_quantised(source: Source) -> None:
    config = read_config(source.folder)
    method = config.get("quantization_config")
    if method is not None:
        name = method.get("quant_method") if isinstance(method, dict) else method
        raise BundleError(
            f"{source.folder}: its weights are quantised ({str(name)[:80]}), and every loader dequantises in its own "
            "way: export the model that it was made from"
        )


def _refuse_incomplete(where: str, info: dict[str, Any]) -> None:
    for key, said in (
        ("missing_keys", "lacks {}, which Transformers would fill with random numbers"),
        ("mismatched_keys", "has {}, which config.json says"),
        ("unexpected_keys", "has {}, for which config.json has no place"),
        ("error_msgs", "does not load: {}"),
    ):
        names = sorted(_with_shapes(*name) if isinstance(name, tuple) else str(name) for name in info.get(key, ()))
        names = [name for name in names if not name.endswith(_OLD_BUFFERS)]
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more tensors" if len(names) > 3 else "")
            raise BundleError(f"{where} {said.format(shown)}: complete the checkpoint, or correct config.json")


# What older releases saved and newer ones make anew.
_OLD_BUFFERS = ("attn.masked_bias", "attention.masked_bias", "rotary_emb.inv_freq")


def _with_shapes(name: str, stored: Sequence[int], wanted: Sequence[int]) -> str:
    return f"{name} of shape {tuple(stored)} in place of {tuple(wanted)}"


def _renamed(source: Source) -> dict[str, torch.Tensor] | None:
    """The state of a checkpoint that Transformers cannot read as it is; None for all others.

    That is one whose names still have the wrappers of training tools, or nanoGPT's: GPT-2 with transposed products and
    without biases.
    """
    weights, config = Weights(source.folder), read_config(source.folder)
    name = f"h.0.{_PRODUCTS[0]}"
    transposed = (
        config["model_type"] == "gpt2" and name in weights and weights.shape(name)[0] == 3 * weights.shape(name)[1]
    )
    if not transposed and not weights.wrapped:
        return None
    from safetensors import safe_open

    state: dict[str, torch.Tensor] = {}
    for file in weights.files:
        with safe_open(source.folder / file, framework="pt") as tensors:
            state |= {unwrapped(name): tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    if transposed:
        for name in [name for name in state if name.endswith(_PRODUCTS)]:
            state[name] = state[name].T.contiguous()
        for name in [
            name for name in state if name.endswith((*_PRODUCTS, "ln_1.weight", "ln_2.weight", "ln_f.weight"))
        ]:
            state.setdefault(name.removesuffix("weight") + "bias", torch.zeros(state[name].shape[-1]))
    return state
