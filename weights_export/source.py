"""A checkpoint as files: which ones Transformers would load, and its configuration."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import BundleError
from .strict_json import integer, parse

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
SIZES = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")  # of a GPT-2


@dataclass(frozen=True)
class Source:
    """A checkpoint that has been found: `name` and `revision` are what the manifest will say of it.

    `complete` is false if only the head has been fetched from a Hub: the files then have holes where the rest would be.
    `digests` holds the sha256 of each weight file, as far as the Hub gives it. `gguf` names the file in the folder that
    is a whole model in the format of llama.cpp.
    """

    name: str
    revision: str | None
    folder: Path
    complete: bool = True
    digests: dict[str, str | None] = field(default_factory=dict)
    gguf: str | None = None


def local(name: str, folder: Path) -> Source:
    """The checkpoint in a folder, or a GGUF file; its name is the folder's or file's, not its path."""
    if folder.suffix == ".gguf" and folder.is_file():
        return Source(folder.name, None, folder.parent, gguf=folder.name)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"model {name!r}: {_not_a_checkpoint(folder)}")
    return Source(name if name == "tiny" else folder.resolve().name, None, folder)


def _not_a_checkpoint(folder: Path) -> str:
    """What is there in place of a checkpoint, and the way out."""
    if not folder.is_dir():
        return f"there is no folder {folder}; pass 'tiny', a checkpoint folder, a .gguf file or a Hub id"
    if (folder / "adapter_config.json").is_file():
        return f"{folder} is an adapter, not a model: {_MERGE}"
    if ggufs := sorted(path.name for path in folder.glob("*.gguf")):
        return f"{folder} has no config.json; pass its GGUF file itself: {folder / ggufs[0]}"
    return f"{folder} has no config.json; pass a folder that save_pretrained wrote, a .gguf file, 'tiny' or 'smollm2'"


_MERGE = "merge it into its base (PEFT's merge_and_unload, then save_pretrained) and pass that folder"


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json`. Raises: BundleError unless it says what model it is of, a decoder, and its sizes are integers."""
    path = folder / "config.json"
    raw = path.read_bytes()
    refuse_pointer(raw, path)
    config = parse(raw, str(path), constants=True)  # as older releases of Transformers write them
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise BundleError(
            f"{path} has no model_type, so nobody can know what these weights are: add it, such as "
            '"model_type": "gpt2", as save_pretrained writes it'
        )
    if config.get("is_encoder_decoder"):
        raise BundleError(
            f"{path}: {config['model_type']} is an encoder-decoder: only decoders have the head meant here"
        )
    for key in SIZES if config["model_type"] == "gpt2" else ():
        if key in config and not (integer(config[key]) and config[key] >= 1):
            raise BundleError(f"{path}: {key} is {str(config[key])[:80]!r}: it must be an integer >= 1")
    return config


def refuse_pointer(raw: bytes, path: Path | str) -> None:
    """Raises: BundleError for what git leaves in place of a large file where git-lfs is not installed."""
    if raw.startswith(b"version https://git-lfs"):
        raise BundleError(f"{path} is a git-lfs pointer, not the file itself: run git lfs pull in its repository")


def weight_files(folder: Path) -> list[str]:
    """The names of the files that Transformers would load: one that config.json names, the only one, or an index's.

    A `model.safetensors` comes before an index: the shards beside it are left over from an older save.
    Raises: BundleError if there is none; for a pickle, with the command that converts it.
    """
    names = [path.name for path in folder.iterdir()]
    chosen = choose(names, read_config(folder), str(folder))
    if chosen.endswith(".index.json"):
        return shard_names((folder / chosen).read_bytes(), str(folder / chosen))
    return [chosen]


def choose(names: Iterable[str], config: dict[str, Any], where: str) -> str:
    """The weight file or index that Transformers would take, of all names of a folder or repository.

    Raises: BundleError if there is none, with what to do about what is there.
    """
    named = config.get("transformers_weights")
    if isinstance(named, str):
        if (
            named != Path(named).name
            or "\\" in named
            or not named.endswith((".safetensors", ".safetensors.index.json"))
        ):
            raise BundleError(
                f"{where}: config.json names the weights {named[:80]!r}: not a safetensors file beside it"
            )
        return named
    for name in (SINGLE, INDEX):
        if name in names:
            return name
    raise _no_safetensors(where, sorted(names))


def shard_names(raw: bytes, where: str) -> list[str]:
    """The shards of an index; a name that leaves the folder is refused."""
    refuse_pointer(raw, where)
    index = parse(raw, where)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise BundleError(f"{where} has no weight_map from tensor names to files")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if not name.endswith(".safetensors") or name != Path(name).name or "\\" in name:
            raise BundleError(f"{where} names {name[:80]!r}: shards must be safetensors files beside the index")
    return names


def _no_safetensors(where: str, names: list[str]) -> BundleError:
    """Why there are no weights to read, and what to do."""
    pickles = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))]
    ggufs = [name for name in names if name.endswith(".gguf")]
    if "adapter_config.json" in names:
        return BundleError(f"{where} is an adapter, not a model: {_MERGE}")
    if ggufs and not pickles:
        return BundleError(f"{where} has no {SINGLE}; pass its GGUF file itself, {ggufs[0]}")
    if not pickles:
        return BundleError(f"{where} has no {SINGLE}")
    # The other files are copied last: the tokenizer's, and a config.json that may name its class.
    folder = Path(where).is_dir()
    copy = f"shutil.copytree('{where}', 'converted', dirs_exist_ok=True)"
    fetch = f"huggingface_hub.snapshot_download('{where}', local_dir='converted')"
    command = (
        f"import {'shutil' if folder else 'huggingface_hub'}; from transformers import AutoModelForCausalLM as M; "
        f"M.from_pretrained('{where}').save_pretrained('converted'); {copy if folder else fetch}"
    )
    return BundleError(
        f"{where} has its weights only as a pickle ({pickles[0]}), which can run code when it is loaded and is not "
        f"read here; if you trust it, convert it, then export the folder 'converted': python -c \"{command}\""
    )
