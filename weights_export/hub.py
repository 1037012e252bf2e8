"""A checkpoint from a Hub, by huggingface_hub: whole files through its cache, or only the bytes of the head.

HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE work as in huggingface_hub.
"""

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import get_hf_file_metadata, http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from . import source
from .errors import BundleError, HubError
from .families import family_of
from .manifest import is_sha256
from .safetensors_file import header_length, parse_header
from .source import Source, read_config
from .tensors import Tensor
from .tokens import TOKENIZER_FILES
from .weights import short

SMALL = ("config.json", "generation_config.json", *TOKENIZER_FILES)
FIRST = 1 << 16  # bytes fetched at once with the header's length: they hold all of GPT-2's header, 14 kB


def fetch(repo: str, revision: str | None, offline: bool, head_into: Path | None = None) -> Source:
    """All that an export needs of a Hub's model, from the cache if it is there, and the commit of the revision.

    With `head_into`, an existing folder, only the header and the head's ranges of each weight file are fetched, into
    files with holes in that folder.
    Raises: HubError, one line each, for an unknown model or revision, no network, no permission and a cut transfer.
    """
    try:
        return _fetch(repo, revision, offline or constants.HF_HUB_OFFLINE, head_into)
    except Exception as error:
        message = _explain(error, repo, revision)
        if message is None:
            raise
        raise HubError(message) from error


def _fetch(repo: str, revision: str | None, offline: bool, head_into: Path | None) -> Source:
    if offline:
        folder = Path(hf_hub_download(repo, "config.json", revision=revision, local_files_only=True)).parent
        if not _holds_all(folder):
            raise LocalEntryNotFoundError(f"{folder} does not hold all of the weights")
        return Source(repo, folder.name, folder, digests=_digests(folder))
    info = HfApi().model_info(repo, revision=revision)
    names = {sibling.rfilename for sibling in info.siblings or []}
    if "config.json" not in names:
        raise BundleError(f"{repo} has no config.json: it is not a checkpoint in Transformers' layout")
    # By the revision that was asked for, so that the cache knows it offline; the rest by the commit that this gives.
    folder = Path(hf_hub_download(repo, "config.json", revision=revision)).parent
    commit = folder.name
    chosen = source.choose(names, read_config(folder), repo)
    index = (chosen,) if chosen.endswith(".index.json") else ()
    paths = {name: hf_hub_download(repo, name, revision=commit) for name in (*SMALL, *index) if name in names}
    files = source.shard_names(Path(paths[chosen]).read_bytes(), chosen) if index else [chosen]
    cached = all(isinstance(try_to_load_from_cache(repo, name, revision=commit), str) for name in files)
    if head_into is None or cached:
        for name in files:
            hf_hub_download(repo, name, revision=commit)
        return Source(repo, commit, folder, digests=_digests(folder))
    for name, path in paths.items():
        (head_into / name).write_bytes(Path(path).read_bytes())
    wanted = _names_of_head(head_into)
    digests = {name: _fetch_head(repo, name, commit, head_into / name, wanted) for name in files}
    return Source(repo, commit, head_into, complete=False, digests=digests)


def _holds_all(folder: Path) -> bool:
    try:
        return all((folder / name).exists() for name in source.weight_files(folder))
    except BundleError:
        return False


def _names_of_head(folder: Path) -> set[str]:
    """The tensors that a head consists of, by their short names. Raises: BundleError for an unknown family."""
    names = family_of(read_config(folder), str(folder / "config.json")).names
    return {f"{name}.{leaf}" for part in (names.embedding, names.head, names.norm) for name in part for leaf in _LEAVES}


_LEAVES = ("weight", "bias")


def _digests(folder: Path) -> dict[str, str | None]:
    """The sha256 of the weight files as the Hub gave it: the cache names large files by it."""
    names = {name: (folder / name).resolve().name for name in source.weight_files(folder)}
    return {name: target if is_sha256(target) else None for name, target in names.items()}


def _fetch_head(repo: str, name: str, commit: str, path: Path, head: set[str]) -> str | None:
    """Fetch the header of a remote safetensors file and the head's ranges to their places; its sha256 if known."""
    url, headers = hf_hub_url(repo, name, revision=commit), build_hf_headers()
    metadata = get_hf_file_metadata(url)
    if metadata.size is None:
        raise FileMetadataError(f"{url} came without its size")

    def fetch_range(file: Any, start: int, stop: int) -> None:
        if start < stop:
            file.seek(start)
            wanted = {**headers, "Range": f"bytes={start}-{stop - 1}"}
            http_get(url, file, headers=wanted, expected_size=stop - start, displayed_filename=f"{name} (the head)")

    with path.open("w+b") as file:
        first = min(FIRST, metadata.size)
        fetch_range(file, 0, first)
        file.seek(0)
        length = header_length(file.read(8), metadata.size, f"{repo}: {name}")
        fetch_range(file, first, 8 + length)
        file.seek(8)
        tensors = parse_header(file.read(length), metadata.size, f"{repo}: {name}")
        for start, stop in _runs(tensors, head, max(first, 8 + length)):
            fetch_range(file, start, stop)
        file.truncate(metadata.size)  # a hole up to the end, which takes no space on disk
    return metadata.etag if is_sha256(metadata.etag) else None


def _runs(tensors: dict[str, Tensor], head: set[str], have: int) -> list[tuple[int, int]]:
    """The byte ranges of the head from byte `have` on; neighbours are joined."""
    runs: list[tuple[int, int]] = []
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].offset):
        if short(name) in head:
            start, stop = max(tensor.offset, have), tensor.offset + tensor.size
            if runs and runs[-1][1] == start:
                runs[-1] = (runs[-1][0], stop)
            elif start < stop:
                runs.append((start, stop))
    return runs


def _explain(error: Exception, repo: str, revision: str | None) -> str | None:
    """One line for a person; None for an error that has nothing to do with the Hub."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
    network = _caused_by_network(error)
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated: accept its terms on its page, then set HF_TOKEN to a token of that account"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}: name a branch, a tag or a commit that its history shows"
    if status == 401 and "credentials" in str(error).lower():
        return f"{repo}: the Hub does not accept the token in HF_TOKEN (or the saved one): correct it or remove it"
    if isinstance(error, RepositoryNotFoundError):
        message = "no folder of this name here, and no such model on the Hub, or a private one"
        return f"{repo}: {message}: check the name, or set HF_TOKEN to a token that may read it"
    if isinstance(error, (LocalEntryNotFoundError, OfflineModeIsEnabled)) and not network:
        at = f" at revision {revision!r}" if revision else ""
        return f"{repo}{at} is not (wholly) in the cache: run once without --offline and without HF_HUB_OFFLINE"
    if status is not None:
        return f"{repo}: the Hub answered {status}: {_first_line(error)}; try again later"
    if isinstance(error, HFValidationError):
        return f"{repo!r} is not a Hub id: {_first_line(error)}"
    if not network:
        return None
    return (
        f"{repo}: no folder of this name here, and {constants.ENDPOINT} cannot be reached, or the transfer was cut: "
        f"{_first_line(error)}; run the same command again, files that have arrived are kept; without a network set "
        "HF_HUB_OFFLINE=1 or pass --offline to an export"
    )


def _caused_by_network(error: BaseException | None) -> bool:
    while error is not None:
        module = type(error).__module__.split(".")[0]
        if module in ("httpx", "httpx2", "httpcore", "httpcore2") and not isinstance(error, HfHubHTTPError):
            return True
        if isinstance(error, OSError) and "Consistency check failed" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
