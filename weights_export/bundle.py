"""Reading a bundle: the output embedding, real context vectors and the right answers; FORMAT.md defines every byte.

This needs NumPy and the standard library alone. `export.py` writes bundles.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reference import bounds

from . import containers, manifest, prompts, tokens
from .errors import BundleError
from .output_layer import finished
from .plain_files import map_file, read_file, sha256
from .progress import Report, silent
from .strict_json import parse
from .tensors import Tensor, blocks, check_stored, stored_blocks, view

INCOMPLETE = re.compile(r"\..*\.incomplete-.*")  # the temporary folders of an export
MAX_MANIFEST = 1 << 20


class _Stored:
    """An array of a bundle, by the name of its tensor in the manifest."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, bundle: "Bundle", owner: type) -> np.ndarray:
        return bundle._array(self._name)


class Bundle:
    """An open bundle: N prompts, V tokens, hidden size d. Arrays are read-only views of the files.

    What a bundle does not hold (`--head-only` leaves out contexts and answers) raises BundleError when asked for.
    """

    embedding = _Stored("embedding")  # (V, d), one row per token and no padding: what `reference.lm_head` takes
    padding = _Stored("padding")  # (embedding_rows - V, d), the rows of the checkpoint's table that belong to no token
    final_norm_weight = _Stored("final_norm.weight")  # (d,), the gain of the final norm
    final_norm_bias = _Stored("final_norm.bias")  # (d,), its offset
    block_output = _Stored("block_output")  # (N, d), what enters the final norm at each prompt's last position
    context = _Stored("context")  # (N, d), what leaves it: the context vectors
    logits = _Stored("logits")  # (N, V) float32, PyTorch's
    logits_exact = _Stored("logits_exact")  # (N, V) float64, exact and rounded once
    previous_context = _Stored("previous_context")  # (N, d), one position earlier; the same if there is none
    input_embedding = _Stored("input_embedding")  # (V, d), of an untied model: the table that its head does not use

    def __init__(self, folder: Path, checked: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.folder, self.manifest, self._tensors = folder, checked, tensors
        self.output_layer = manifest.output_layer(checked)
        self._mapped: dict[str, Any] = {}
        for name, fingerprint in checked["files"].items():
            mapped = self._mapped[name] = map_file(folder / name)
            found, size = f"{folder / name} has {len(mapped):,} bytes", fingerprint["size"]
            if len(mapped) != size:
                raise BundleError(f"{found}, the manifest says {size:,}: truncated or damaged; copy or export it again")
            inside = {key: tensor for key, tensor in tensors.items() if checked["tensors"][key]["file"] == name}
            if inside:
                containers.check(mapped, checked["container"], inside, str(folder / name))

    def _array(self, name: str) -> np.ndarray:
        if name not in self._tensors:
            raise BundleError(f"{self.folder} holds no {name}: it was exported with --head-only, or has no such rows")
        stored, dtype = view(*self._place(name)), self._tensors[name].dtype
        if dtype != "bfloat16":
            return stored
        try:
            import ml_dtypes  # NumPy has no bfloat16
        except ModuleNotFoundError:
            message = "bfloat16 needs ml_dtypes: pip install ml_dtypes, or export with --dtype float32"
            raise BundleError(message) from None
        return stored.view(ml_dtypes.bfloat16)

    def _place(self, name: str) -> tuple[Any, Tensor]:
        return self._mapped[self.manifest["tensors"][name]["file"]], self._tensors[name]

    def _json(self, name: str) -> Any:
        if name not in self._mapped:
            raise BundleError(f"{self.folder} holds no {name}: it was exported with --head-only")
        return parse(self._mapped[name][:], str(self.folder / name))

    @cached_property
    def prompts(self) -> list[dict[str, Any]]:
        """The N prompts: `text` and `token_ids`. Raises: BundleError for anything else."""
        count, v = self.manifest["prompts"], self.manifest["vocab_size"]
        return prompts.check(self._json("prompts.json"), count, v, str(self.folder / "prompts.json"))

    @cached_property
    def _tokens(self) -> tokens.Tokens:
        m = self.manifest
        return tokens.check(self._json("tokens.json"), m["vocab_size"], m["version"], str(self.folder / "tokens.json"))

    @property
    def token_bytes(self) -> list[bytes]:
        """The bytes of each token id, V of them."""
        return self._tokens.tokens

    @property
    def special(self) -> frozenset[int]:
        """The ids that stand for no text, such as the end of a document."""
        return self._tokens.special

    @property
    def bias(self) -> np.ndarray | None:
        """The bias of the output layer, (V,), or None."""
        return self._array("bias") if "bias" in self._tensors else None

    @property
    def finish(self) -> dict[str, Any]:
        """What follows the product: arguments of `reference.finish_logits` by name, none for a GPT-2."""
        return self.output_layer.finish(self.bias)

    def holds(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self._tensors

    def rows(self) -> Iterator[tuple[int, np.ndarray, dict[str, Any]]]:
        """The embedding a few tokens at a time: the first one's id, its rows, and what follows the product for them.

        A block must be used before the next is taken.
        """
        for start, block in blocks(*self._place("embedding")):
            of_block = self.finish
            if self.bias is not None:
                of_block["bias"] = self.bias[start : start + len(block)]
            yield start, block, of_block

    def verify(self, report: Report = silent) -> None:
        """Check every byte: the hashes of the files, that numbers are finite, prompts and tokens.

        Opening has checked sizes, shapes and dtypes. Raises: BundleError that names the file, the tensor and the place.
        """
        for name, fingerprint in self.manifest["files"].items():
            digest, not_finite = self._read_once(name, report)
            if digest != fingerprint["sha256"]:
                path = self.folder / name
                raise BundleError(f"{path} does not match its sha256 in manifest.json: copy or export it again")
            if not_finite:
                raise not_finite
        if "tokens.json" in self._mapped:
            self._tokens  # noqa: B018  parsed and checked
        if self.manifest["prompts"]:
            self.prompts  # noqa: B018

    def _read_once(self, name: str, report: Report) -> tuple[str, BundleError | None]:
        """The sha256 of a file, and the first number of its tensors that is not finite, in one reading."""
        mapped, digest, position, error = self._mapped[name], hashlib.sha256(), 0, None
        inside = [key for key in self._tensors if self.manifest["tensors"][key]["file"] == name]
        if not inside:
            return sha256(mapped, name, report), None
        for key in sorted(inside, key=lambda key: self._tensors[key].offset):
            tensor = self._tensors[key]
            digest.update(mapped[position : tensor.offset])
            for start, block in stored_blocks(mapped, tensor):
                digest.update(block.data)  # contiguous, as it is stored
                try:
                    check_stored(block, tensor.dtype, f"{self.folder}: {key}", start)
                except BundleError as found:
                    error = error or found
                report(f"sha256 and values of {key}", start + len(block), tensor.shape[0])
            position = tensor.offset + tensor.size
        digest.update(mapped[position:])
        return digest.hexdigest(), error

    def reproduce(self, report: Report = silent) -> None:
        """Recompute contexts and logits with the reference, and check what is stored against the derived bounds.

        Raises: BundleError that names the prompt, the element or token, the error and the bound.
        """
        context = np.array(self.context)
        if self.output_layer.norm is not None:
            bias = np.array(self.final_norm_bias) if "final_norm.bias" in self._tensors else None
            arguments = (np.array(self.block_output), np.array(self.final_norm_weight), bias)
            bound = 2 * self.output_layer.norm_bound(*arguments)  # the model rounds, and so does the reference
            _within("context", context, self.output_layer.normed(*arguments), bound, 0, self.folder)
        for start, block, finish in self.rows():
            stop = start + len(block)
            exact = self.logits_exact[:, start:stop]
            oracle, slack = finished(context, block, finish, "float64")
            slack = slack + bounds.unit_roundoff("float64") * np.abs(oracle)
            ours, bound = finished(context, block, finish)
            _within("logits_exact", exact, oracle, 2 * slack, start, self.folder)
            _within("logits", self.logits[:, start:stop], exact, bound + slack, start, self.folder)
            _within("the reference's logits", ours, exact, bound + slack, start, self.folder)
            report("logits recomputed by the reference", stop, self.manifest["vocab_size"])


def _within(name: str, found: np.ndarray, exact: np.ndarray, bound: np.ndarray, start: int, folder: Path) -> None:
    wrong = ~(np.abs(found - exact) <= bound)  # written so that nan is wrong
    if wrong.any():
        n, v = (int(i) for i in np.argwhere(wrong)[0])
        raise BundleError(
            f"{folder}: {name}[{n}, {start + v}] is {found[n, v]!r}, {abs(found[n, v] - exact[n, v]):.3g} away from "
            f"{exact[n, v]!r}; the bound is {bound[n, v]:.3g}: contexts, embedding and answers do not belong together"
        )


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle and check what takes no time: the manifest's own hash, names, sizes, headers, shapes, dtypes.

    `verify()` checks the rest. Raises: BundleError (a ValueError) that says what is wrong; OSError without permission.
    """
    folder = Path(path)
    if INCOMPLETE.fullmatch(folder.absolute().name):
        raise BundleError(f"{folder} was left by an interrupted export and is not a bundle: it can be deleted")
    return open_unnamed(folder)


def open_unnamed(folder: Path) -> Bundle:
    """As `open_bundle`, also for a folder that an export has not renamed yet."""
    if not folder.is_dir():
        raise BundleError(f"there is no folder {folder}; python -m weights_export tiny -o DIR writes a bundle")
    raw = read_file(folder / "manifest.json", MAX_MANIFEST)
    try:
        content = parse(raw, "manifest.json", max_bytes=MAX_MANIFEST)
        manifest.check_seal(raw, content)
        tensors = manifest.check(content)
    except BundleError as error:
        raise BundleError(f"{folder}: {error}") from None
    return Bundle(folder, content, tensors)


def mask_padding(logits: Any, vocab_size: int) -> np.ndarray:
    """Set the logits of padding rows to -inf: `(..., rows) -> (..., rows)`.

    For a runtime that multiplies by the whole padded table; `Bundle.embedding` has no padding. A masked id has
    probability 0 and is never drawn  [SOFTMAX-3, DRAW-2]. Raises: ValueError unless `1 <= vocab_size <= rows`.

    >>> mask_padding(np.array([-3.0, -2.0, 0.0]), 2)
    array([ -3.,  -2., -inf])
    """
    logits = np.asarray(logits)
    if not 1 <= vocab_size <= logits.shape[-1]:
        raise ValueError(f"vocab_size is {vocab_size}: it must be from 1 to {logits.shape[-1]}, the number of logits")
    return np.where(np.arange(logits.shape[-1]) < vocab_size, logits, -np.inf)
