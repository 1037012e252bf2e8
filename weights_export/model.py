"""The model and the tokenizer as Transformers loads them, whatever the family, and what leaves each part of the head.

Nothing is guessed: a tensor that is missing, left over or of another shape is refused, and so is a model that does more
between its final norm and its logits than its output layer says.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .errors import BundleError
from .progress import Report, silent
from .source import Source, read_config, refuse_pointer
from .tensors import check_finite
from .tokens import TOKENIZER_FILES, VOCABULARIES, vocabulary_size
from .weights import Weights, unwrapped

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The four products of a GPT-2 block. nanoGPT stores them as torch.nn.Linear does, (out, in); GPT-2 as (in, out).
_PRODUCTS = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the order of its sums, and so every bit, is then the same in every run on a machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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


def window(model: "PreTrainedModel") -> int | None:
    """The length of the context window, whatever its configuration calls it; None if it has no end."""
    config = model.config.get_text_config()
    names = ("max_position_embeddings", "max_target_positions", "max_seq_len", "n_positions", "n_ctx")
    lengths = (getattr(config, name, None) for name in names)
    return next((length for length in lengths if isinstance(length, int) and length > 0), None)


@dataclass(frozen=True)
class Run:
    """What each part of the head gives at the last position of N prompts, in float32."""

    block_output: np.ndarray  # (N, d), what enters the final norm
    context: np.ndarray  # (N, d), what leaves it
    logits: np.ndarray  # (N, rows), the model's own
    norm: torch.nn.Module | None  # the final norm; None if what the last block gives is the context


@torch.no_grad()
def run(model: "PreTrainedModel", prompts: Sequence[list[int]], report: Report = silent) -> Run:
    """Run the model on each prompt by itself, on one thread  [LOGITS-3].

    Raises: BundleError for a model that changes its hidden states once more before the output embedding.
    """
    seen: dict[str, Any] = {}
    handles = [
        model.get_decoder().register_forward_hook(lambda _m, _a, out: _leaves(seen, out)),
        model.get_output_embeddings().register_forward_pre_hook(lambda _m, args: _last_position(seen, args)),
    ]
    for module in model.get_decoder().modules():
        if "norm" in type(module).__name__.lower():
            handles.append(module.register_forward_hook(lambda m, args, out: seen.update(norm=(m, args, out))))
    rows: list[Any] = [None] * len(prompts)
    norm = None
    try:
        with one_thread():
            # The longest first: the others then fit into the memory that it has freed.
            for done, n in enumerate(sorted(range(len(prompts)), key=lambda n: -len(prompts[n])), 1):
                logits = _logits(model, prompts[n])
                context, entered = seen.get("last", seen["entered"][None, None])[0, -1], seen["entered"]
                if context.shape != entered.shape or not torch.equal(context, entered):
                    same = context.shape == entered.shape
                    away = f"by up to {float((context - entered).abs().max()):.3g}" if same else "in their shape"
                    raise BundleError(
                        f"{type(model).__name__} changes its hidden states between the final norm and the output "
                        f"embedding, {away}: a bundle has no place for that"
                    )
                norm, before = _final_norm(seen)
                rows[n] = tuple(part.numpy().copy() for part in (before[0, -1], context, logits[0, -1]))
                report("contexts of the prompts", done, len(prompts))
    finally:
        for handle in handles:
            handle.remove()
    outputs, contexts, own = (np.stack(parts) for parts in zip(*rows, strict=True))
    return Run(outputs, contexts, own, norm)


def _leaves(seen: dict[str, Any], output: Any) -> None:
    """Keep what the decoder returns: hidden states, perhaps the first of several things."""
    hidden = output if isinstance(output, torch.Tensor) else output[0]
    if hidden.dim() == 3:
        seen["last"] = hidden


def _logits(model: "PreTrainedModel", prompt: list[int]) -> torch.Tensor:
    try:
        logits: torch.Tensor = model(input_ids=torch.tensor([prompt]), use_cache=False).logits
        return logits
    except Exception as error:  # of whatever kind a family's forward raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise BundleError(
            f"{type(model).__name__} does not run on a prompt of {len(prompt)} tokens: {reason}; correct config.json"
        ) from error


def _last_position(seen: dict[str, Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keep what enters the output embedding, and let only the last position through: logits of the others are big."""
    last = args[0][:, -1:]
    seen["entered"] = last[0, -1]
    return (last, *args[1:])


def _final_norm(seen: dict[str, Any]) -> tuple[torch.nn.Module | None, torch.Tensor]:
    """The last norm that ran, if its output is that of the whole model, and what entered it."""
    last = seen.get("last", seen["entered"][None, None])
    if "norm" in seen and "last" in seen:
        module, args, out = seen["norm"]
        if isinstance(out, torch.Tensor) and out.shape[-1:] == last.shape[-1:] and out.data_ptr() == last.data_ptr():
            return module, args[0]
    return None, last
