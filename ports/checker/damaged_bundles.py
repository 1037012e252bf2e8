"""Bundles that a port must refuse: damaged ones, those that say what no version defines, and versions it has not."""

import json
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from weights_export import manifest

from .made_bundles import GOOD, seal

Damage = Callable[[Path], None]  # done to a bundle that is intact
BASES = {2: GOOD["a small bundle"], 3: GOOD["a bias"]}  # the bundle that is damaged, by its version


def _edit(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return apply


def _resealed(**changes: Any) -> Damage:
    """Other values in the manifest, under a right hash of its own; a value may be a function of the old one."""

    def apply(folder: Path) -> None:
        content = json.loads((folder / "manifest.json").read_bytes())
        del content["sha256"], content["files"]
        seal(folder, content | {key: new(content[key]) if callable(new) else new for key, new in changes.items()})

    return apply


def _with(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda old: {**old, **changes}


def _flipped(content: bytes) -> bytes:
    return content[:-7] + bytes([content[-7] ^ 64]) + content[-6:]


# What a port must refuse, by the mistake that it makes if it does not.
DAMAGED: dict[str, tuple[str, Damage]] = {
    "a flipped bit in the embedding": ("the files' sha256 is not checked", _edit("head.safetensors", _flipped)),
    "a changed prompt": (
        "the files' sha256 is not checked",
        _edit("prompts.json", lambda b: b.replace(b"made", b"mode", 1)),
    ),
    "another name of the model": (
        "the manifest's own sha256 is not checked",
        _edit("manifest.json", lambda b: b.replace(b'"made"', b'"mode"', 1)),
    ),
    "a flipped bit in the contexts": ("the files' sha256 is not checked", _edit("contexts.safetensors", _flipped)),
    "a file cut short": ("the size of a file is not checked", _edit("contexts.safetensors", lambda b: b[:-4])),
    "a file with a byte more": ("the size of a file is not checked", _edit("head.safetensors", lambda b: b + b"\0")),
    "another hidden size": (
        "neither the manifest's own sha256 nor its sizes are checked",
        _edit("manifest.json", lambda b: re.sub(rb'"hidden_size": \d+', b'"hidden_size": 11', b)),
    ),
    "half a manifest": ("a manifest that is not JSON is read", _edit("manifest.json", lambda b: b[: len(b) // 2])),
    "another version": ("the version is not looked at", _resealed(version=max(manifest.VERSIONS) + 1)),
    "another format": ("the format is not looked at", _resealed(format="another-bundle")),
    "no embedding": ("a missing file is not noticed", lambda folder: (folder / "head.safetensors").unlink()),
    "no manifest": ("a missing file is not noticed", lambda folder: (folder / "manifest.json").unlink()),
}

# As DAMAGED, of version 3 alone.
UNDEFINED: dict[str, tuple[str, Damage]] = {
    "a norm of another kind": (
        "the kind of the norm is not looked at",
        _resealed(output_layer=_with(norm={"kind": "batch_norm", "epsilon": 1e-5, "weight_offset": 0.0})),
    ),
    "another step in the output layer": (
        "keys of output_layer that no version defines are ignored",
        _resealed(output_layer=_with(shift=1.0)),
    ),
    "no output layer": ("output_layer is not asked for", _resealed(output_layer=None)),
    "a cap of 0": ("a cap of 0 is taken for none", _resealed(output_layer=_with(cap=0))),
    "a divisor below 0": ("the numbers of output_layer are not checked", _resealed(output_layer=_with(divisor=-1.0))),
    "a multiplier that is 0 in float32": (
        "the numbers of output_layer are not checked as float32 has them",
        _resealed(output_layer=_with(multiplier=1e-60)),
    ),
    "a bias that is too short": (
        "the length of the bias is not checked",
        _resealed(tensors=lambda old: {**old, "bias": {**old["bias"], "shape": [BASES[3].vocab_size - 1]}}),
    ),
}
_UNLISTED = "a version that hello does not list is read all the same"
MISTAKES = {what: mistake for what, (mistake, _) in (DAMAGED | UNDEFINED).items()}
MISTAKES |= {f"version {version}": _UNLISTED for version in manifest.VERSIONS}


def refusals(versions: Collection[int]) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """What a port that reads these versions must refuse, and how to write it into a new folder."""

    def writer(base: int, damage: Damage) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            BASES[base].write(folder)
            damage(folder)

        return write

    for what, (_, damage) in DAMAGED.items():
        yield what, writer(min(versions), damage)
    if 3 in versions:
        for what, (_, damage) in UNDEFINED.items():
            yield what, writer(3, damage)
    for version in BASES.keys() - set(versions):
        yield f"version {version}", BASES[version].write
