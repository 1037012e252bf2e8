"""The bundle: the output embedding, real context vectors and the right answers, in files that any language can read.

    manifest.json         the model's name and shape, each file's size and sha256, each tensor's place
    head.safetensors      final_norm.weight, final_norm.bias (d,), embedding (V, d); padding, rows that are no token's
    contexts.safetensors  block_output and context (N, d): before and after the final layer norm, last position
    expected.safetensors  logits_exact (N, V) float64, exact and rounded once; logits (N, V) float32 from PyTorch
    prompts.json          the N prompts and their token ids
    tokens.json           token id -> bytes, in hexadecimal; which ids are special

FORMAT.md defines every byte of it. This file reads bundles with NumPy and the standard library; `export.py` writes.
"""

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import reference
from reference import bounds

from . import containers, manifest, rows
from .progress import Report, silent
from .strict_json import BundleError, integer, parse
from .tensors import Tensor, map_file, read_regular, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .checkpoint import Checkpoint

__all__ = ["INCOMPLETE", "Bundle", "BundleError", "mask_padding", "open_bundle", "write"]
INCOMPLETE = re.compile(r"\..*\.incomplete-.*")  # the temporary folders of an export
MAX_MANIFEST = 1 << 20
BLOCK = 1 << 20


class Bundle:
    """An open bundle: N prompts, V tokens, hidden size d. Arrays are read-only and lie over the files.

    What a bundle does not hold (`--head-only` leaves out contexts and answers) raises BundleError when asked for.
    """

    def __init__(self, folder: Path, checked: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.folder, self.manifest, self._tensors = folder, checked, tensors
        self._mapped: dict[str, Any] = {}
        for name, fingerprint in checked["files"].items():
            mapped = self._mapped[name] = map_file(folder / name)
            if len(mapped) != fingerprint["size"]:
                raise BundleError(
                    f"{folder / name} has {len(mapped):,} bytes, the manifest says {fingerprint['size']:,}: truncated "
                    "or damaged; copy or export it again"
                )
            inside = {key: t for key, t in tensors.items() if checked["tensors"][key]["file"] == name}
            if inside:
                containers.check(mapped, checked["container"], inside, str(folder / name))

    def _stored(self, name: str) -> np.ndarray:
        if name not in self._tensors:
            raise BundleError(f"{self.folder} holds no {name}: it was exported with --head-only, or has no such rows")
        return view(self._mapped[self.manifest["tensors"][name]["file"]], self._tensors[name])

    def _array(self, name: str) -> np.ndarray:
        return rows.as_dtype(self._stored(name), self._tensors[name].dtype if name in self._tensors else "")

    @property
    def embedding(self) -> np.ndarray:
        """The output embedding `(V, d)`, one row for each token and no padding: what `reference.lm_head` takes."""
        return self._array("embedding")

    @property
    def padding(self) -> np.ndarray:
        """The rows of the checkpoint's table that belong to no token, `(embedding_rows - V, d)`."""
        return self._array("padding")

    @property
    def final_norm_weight(self) -> np.ndarray:
        """`(d,)`."""
        return self._array("final_norm.weight")

    @property
    def final_norm_bias(self) -> np.ndarray:
        """`(d,)`."""
        return self._array("final_norm.bias")

    @property
    def block_output(self) -> np.ndarray:
        """What enters the final layer norm at the last position, `(N, d)`."""
        return self._array("block_output")

    @property
    def context(self) -> np.ndarray:
        """The context vectors: what leaves it, `(N, d)`."""
        return self._array("context")

    @property
    def logits(self) -> np.ndarray:
        """PyTorch's, `(N, V)` float32."""
        return self._array("logits")

    @property
    def logits_exact(self) -> np.ndarray:
        """The exact ones, rounded once, `(N, V)` float64."""
        return self._array("logits_exact")

    def _json(self, name: str) -> Any:
        if name not in self._mapped:
            raise BundleError(f"{self.folder} holds no {name}: it was exported with --head-only")
        return parse(self._mapped[name][:], str(self.folder / name))

    @cached_property
    def prompts(self) -> list[dict[str, Any]]:
        """The N prompts: `text` and `token_ids`. Raises: BundleError for anything else."""
        prompts = self._json("prompts.json")
        v, n = self.manifest["vocab_size"], self.manifest["prompts"]
        if not isinstance(prompts, list) or len(prompts) != n:
            raise BundleError(f"{self.folder / 'prompts.json'} must be a list of {n} prompts")
        for i, prompt in enumerate(prompts):
            if not isinstance(prompt, dict) or prompt.keys() != {"text", "token_ids"}:
                raise BundleError(f"{self.folder / 'prompts.json'}[{i}] must have text and token_ids, and nothing else")
            ids = prompt["token_ids"]
            if not isinstance(prompt["text"], str) or not isinstance(ids, list) or not ids:
                raise BundleError(f"{self.folder / 'prompts.json'}[{i}] must be a text and a list of at least one id")
            if not all(integer(token) and 0 <= token < v for token in ids):
                raise BundleError(f"{self.folder / 'prompts.json'}[{i}]: token ids must be integers from 0 to {v - 1}")
        return prompts

    @cached_property
    def _tokens(self) -> tuple[list[bytes], frozenset[int]]:
        tokens, v, where = self._json("tokens.json"), self.manifest["vocab_size"], self.folder / "tokens.json"
        if not isinstance(tokens, dict) or tokens.keys() != {"encoding", "special", "tokens"}:
            raise BundleError(f"{where} must have encoding, special and tokens, and nothing else")
        if tokens["encoding"] != "hex" or not isinstance(tokens["tokens"], list) or len(tokens["tokens"]) != v:
            raise BundleError(f"{where} must hold {v} tokens in the encoding 'hex'")
        special = tokens["special"]
        if not isinstance(special, list) or not all(integer(i) and 0 <= i < v for i in special):
            raise BundleError(f"{where}: special must list token ids from 0 to {v - 1}")
        for i, token in enumerate(tokens["tokens"]):
            if not isinstance(token, str) or not re.fullmatch("([0-9a-f]{2})*", token):
                raise BundleError(f"{where}: token {i} is {str(token)[:80]!r}: it must be bytes in hexadecimal")
        return [bytes.fromhex(token) for token in tokens["tokens"]], frozenset(special)

    @property
    def token_bytes(self) -> list[bytes]:
        """The bytes of each token id, V of them."""
        return self._tokens[0]

    @property
    def special(self) -> frozenset[int]:
        """The ids that stand for no text, such as the end of a document."""
        return self._tokens[1]

    def verify(self, report: Report = silent) -> None:
        """Check every byte: hashes of the very bytes that the arrays show, finite values, prompts and tokens.

        Raises: BundleError that names the file, the tensor and the place. Sizes, shapes and dtypes have been checked
        on opening.
        """
        for name, fingerprint in self.manifest["files"].items():
            digest, mapped = hashlib.sha256(), self._mapped[name]
            for start in range(0, len(mapped), BLOCK):
                digest.update(mapped[start : start + BLOCK])
                rows.release(mapped)
                report(f"sha256 of {name}", start + BLOCK, len(mapped))
            if digest.hexdigest() != fingerprint["sha256"]:
                raise BundleError(
                    f"{self.folder / name} does not match its sha256 in manifest.json: copy or export it again"
                )
        for name, tensor in self._tensors.items():
            start = 0
            for block in self._table(name).blocks():
                rows.check_finite(block, f"{self.folder}: {name}", start)
                start += len(block)
                report(f"values of {name}", start, tensor.shape[0])
        if "tokens.json" in self._mapped:
            self._tokens  # noqa: B018  parsed and checked
        if self.manifest["prompts"]:
            self.prompts  # noqa: B018

    def _table(self, name: str) -> rows.Table:
        return rows.Table(self._mapped[self.manifest["tensors"][name]["file"]], self._tensors[name])

    def reproduce(self, report: Report = silent) -> None:
        """Recompute all logits with the reference, and hold them and both stored answers against the derived bounds.

        Raises: BundleError that names the prompt, the token, the error and the bound.
        """
        start, context = 0, np.array(self.context)
        for block in self._table("embedding").blocks():
            stop = start + len(block)
            exact = self.logits_exact[:, start:stop]
            oracle = context.astype(np.float64) @ block.astype(np.float64).T
            slack = bounds.logits(context, block, "float64") + bounds.unit_roundoff("float64") * np.abs(oracle)
            bound = bounds.logits(context, block, "float32") + slack
            _within("logits_exact", exact, oracle, 2 * slack, start, self.folder)
            _within("logits", self.logits[:, start:stop], exact, bound, start, self.folder)
            ours = reference.compute_logits(context, block)
            _within("the reference's logits", ours, exact, bound, start, self.folder)
            report("logits recomputed by the reference", stop, self.manifest["vocab_size"])
            start = stop


def _within(name: str, found: np.ndarray, exact: np.ndarray, bound: np.ndarray, start: int, folder: Path) -> None:
    wrong = ~(np.abs(found - exact) <= bound)  # written so that nan is wrong
    if wrong.any():
        n, v = (int(i) for i in np.argwhere(wrong)[0])
        raise BundleError(
            f"{folder}: {name}[{n}, {start + v}] is {found[n, v]!r}, {abs(found[n, v] - exact[n, v]):.3g} away from "
            f"{exact[n, v]!r}; the bound is {bound[n, v]:.3g}: contexts, embedding and answers do not belong together"
        )


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle and check all that takes no time: the manifest's own hash, names, sizes, headers, shapes, dtypes.

    `verify()` checks the rest. Raises: BundleError (a ValueError) that says what is wrong; OSError where reading is not
    permitted.
    """
    folder = Path(path)
    if INCOMPLETE.fullmatch(folder.absolute().name):
        raise BundleError(f"{folder} is what an interrupted export left behind, not a bundle: it can be deleted")
    return open_unnamed(folder)


def open_unnamed(folder: Path) -> Bundle:
    """As `open_bundle`, for a folder that an export has yet to rename."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is no folder; python -m weights_export tiny -o DIR writes a bundle")
    raw = read_regular(folder / "manifest.json", MAX_MANIFEST)
    try:
        content = parse(raw, "manifest.json", max_bytes=MAX_MANIFEST)
        manifest.check_seal(raw, content)
        tensors = manifest.check(content)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from None
    return Bundle(folder, content, tensors)


def mask_padding(logits: Any, vocab_size: int) -> np.ndarray:
    """Logits `(..., rows)` of a padded table with -inf at the ids that are no token's: `(..., rows) -> (..., rows)`.

    For a runtime whose product runs over every row; `Bundle.embedding` has no such rows. A masked id has probability 0
    and is never drawn  [SOFTMAX-3, DRAW-2].
    Raises: ValueError unless `1 <= vocab_size <= rows`.

    >>> mask_padding(np.array([-3.0, -2.0, 0.0]), 2)
    array([ -3.,  -2., -inf])
    """
    logits = np.asarray(logits)
    if not 1 <= vocab_size <= logits.shape[-1]:
        raise ValueError(f"vocab_size is {vocab_size}: it must be from 1 to {logits.shape[-1]}, the number of logits")
    return np.where(np.arange(logits.shape[-1]) < vocab_size, logits, -np.inf)


def write(checkpoint: "Checkpoint", prompts: "Sequence[str]", output: Path) -> None:
    """Export a loaded checkpoint with these prompts: `export.export` with its defaults."""
    from .export import Options, export  # imports torch

    export(checkpoint.source, Options(output=output, prompts=tuple(prompts)))
