"""What `manifest.json` may say: the rules that the writer seals and the reader checks; see FORMAT.md.

The manifest holds the sha256 of its own bytes, taken with the 64 digits of that value replaced by zeros. So a flipped
bit is found anywhere in the bundle, in a name as well as in a weight.
"""

import hashlib
import math
from typing import Any, TypeGuard

from .containers import CONTAINERS
from .errors import BundleError
from .output_layer import Norm, OutputLayer
from .strict_json import dump, integer
from .tensors import Tensor

FORMAT = "lm-head-bundle"
VERSIONS = (2, 3, 4)  # 2 holds a GPT-2's head, 3 any, 4 also what tells mistakes of an export apart
HEAD_DTYPES = ("float32", "float16", "bfloat16")
_KEYS = {
    *("format", "version", "model", "revision", "checkpoint", "container", "vocab_size", "embedding_rows"),
    *("hidden_size", "dtype", "tied", "prompts", "tensors", "files", "sha256"),
}
KEYS = {2: _KEYS | {"layer_norm_epsilon"}, **dict.fromkeys((3, 4), _KEYS | {"model_type", "output_layer"})}
_ZEROS = "0" * 64


def seal(manifest: dict[str, Any]) -> bytes:
    """The bytes of `manifest.json`, with its own sha256 as the last key."""
    raw = dump({**manifest, "sha256": _ZEROS})
    return raw.replace(_ZEROS.encode(), hashlib.sha256(raw).hexdigest().encode())


def check_seal(raw: bytes, manifest: Any) -> None:
    """Raises: BundleError if the manifest is not an object of this format and version, or not as it was written."""
    if not isinstance(manifest, dict):
        raise BundleError("manifest.json must be a JSON object")
    found = (manifest.get("format"), manifest.get("version"))
    if not integer(found[1]) or found[0] != FORMAT or found[1] not in VERSIONS:
        raise BundleError(
            f"manifest.json: format {str(found[0])[:80]!r} version {str(found[1])[:80]} is not {FORMAT} 2, 3 or 4; "
            "export it again, or read it with the release that wrote it"
        )
    digest = manifest.get("sha256")
    if not is_sha256(digest):
        raise BundleError(f"manifest.json: sha256 is {str(digest)[:80]!r}: it must be 64 hexadecimal digits")
    start = raw.rfind(digest.encode())
    if start < 0 or hashlib.sha256(raw[:start] + _ZEROS.encode() + raw[start + 64 :]).hexdigest() != digest:
        raise BundleError("manifest.json does not match its own sha256: damaged or edited; export it again")


def is_sha256(value: Any) -> TypeGuard[str]:
    """Whether a value is a sha256 as this format writes it."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def output_layer(manifest: dict[str, Any]) -> OutputLayer:
    """The output layer that a checked manifest describes; version 2 knows a layer norm alone."""
    if manifest["version"] == 2:
        return OutputLayer(Norm("layer_norm", manifest["layer_norm_epsilon"]))
    return OutputLayer.read(manifest["output_layer"])


def expected_tensors(manifest: dict[str, Any]) -> dict[str, tuple[str, str, tuple[int, ...]]]:
    """Which tensors a bundle with these numbers has: name -> file, dtype, shape. A bias there is if it is named."""
    v, rows, d, n = (manifest[key] for key in ("vocab_size", "embedding_rows", "hidden_size", "prompts"))
    norm, exact = output_layer(manifest).norm, "expected" if manifest["version"] == 2 else "exact"
    biased = manifest["version"] > 2 and "bias" in manifest["tensors"]
    judging, untied = manifest["version"] > 3, "input_embedding" in manifest["tensors"]
    tensors: list[tuple[str, str, str, tuple[int, ...]]] = [
        ("final_norm.weight", "head", "float32", (d if norm else 0,)),
        ("final_norm.bias", "head", "float32", (d if norm and norm.kind == "layer_norm" else 0,)),
        ("embedding", "head", manifest["dtype"], (v, d)),
        ("padding", "head", manifest["dtype"], (rows - v, d)),
        ("bias", "head", "float32", (v if biased else 0,)),
        ("padding_bias", "head", "float32", (rows - v if biased else 0,)),
        ("block_output", "contexts", "float32", (n, d)),
        ("context", "contexts", "float32", (n, d)),
        ("logits_exact", exact, "float64", (n, v)),
        ("logits", "expected", "float32", (n, v)),
        ("previous_context", "judging", "float32", (n if judging else 0, d)),
        ("input_embedding", "judging", manifest["dtype"], (v if judging and untied else 0, d)),
    ]
    # Tensors without rows are left out: there may be no padding, no bias, and no prompts.
    return {name: (f"{part}.{manifest['container']}", dtype, shape) for name, part, dtype, shape in tensors if shape[0]}


def check(manifest: dict[str, Any]) -> dict[str, Tensor]:
    """Check every key, its type and range, and that the keys fit each other; where the tensors lie.

    Raises: BundleError that names the key.
    """
    keys = KEYS[manifest["version"]]
    if manifest.keys() != keys:
        missing, unknown = sorted(keys - manifest.keys()), sorted(manifest.keys() - keys)
        raise BundleError(f"manifest.json: missing keys {missing}, unknown keys {str(unknown)[:200]}")
    _check_values(manifest)
    expected, tensors = expected_tensors(manifest), {}
    for name, (file, dtype, shape) in expected.items():
        entry = _entry(manifest["tensors"], "tensors", name, {"file", "dtype", "shape", "offset"})
        given = (entry["file"], entry["dtype"], entry["shape"])
        if given != (file, dtype, list(shape)) or not all(map(integer, entry["shape"])):
            raise BundleError(f"manifest.json: tensors[{name!r}] is {str(given)[:200]}, expected {file, dtype, shape}")
        size = math.prod(shape)  # of Python's integers, which do not overflow
        if not integer(entry["offset"]) or not 0 <= entry["offset"] < 2**63 or size >= 2**60:
            raise BundleError(f"manifest.json: tensors[{name!r}] is too large for any file")
        tensors[name] = Tensor(dtype, shape, entry["offset"])
    if manifest["tensors"].keys() != expected.keys():
        raise BundleError(f"manifest.json: tensors has unknown names {str(sorted(manifest['tensors']))[:200]}")
    required = {file for file, _, _ in expected.values()}
    if manifest["prompts"]:
        required |= {"prompts.json"} | ({"tokens.json"} if manifest["version"] == 2 else set())
    if not required <= manifest["files"].keys() <= required | {"tokens.json"}:
        files = str(sorted(manifest["files"]))[:200]
        raise BundleError(f"manifest.json: files are {files}, expected {sorted(required)} and no others")
    for name in manifest["files"]:
        _check_fingerprint(manifest["files"], "files", name)
    return tensors


def _check_values(manifest: dict[str, Any]) -> None:
    for key, least in {"vocab_size": 1, "embedding_rows": 1, "hidden_size": 1, "prompts": 0}.items():
        if not integer(manifest[key]) or not least <= manifest[key] < 2**40:
            raise BundleError(f"manifest.json: {key} is {str(manifest[key])[:80]}: it must be an integer >= {least}")
    revision, model = manifest["revision"], manifest["model"]
    rules = {
        "embedding_rows": manifest["embedding_rows"] >= manifest["vocab_size"],
        "model": isinstance(model, str) and model != "",
        "revision": revision is None or isinstance(revision, str),
        "container": manifest["container"] in CONTAINERS,
        "dtype": manifest["dtype"] in HEAD_DTYPES,
        "tied": isinstance(manifest["tied"], bool),
        **{key: isinstance(manifest[key], dict) for key in ("tensors", "files", "checkpoint")},
    }
    if manifest["version"] == 2:
        epsilon = manifest["layer_norm_epsilon"]
        number = isinstance(epsilon, float | int) and not isinstance(epsilon, bool)
        rules["layer_norm_epsilon"] = number and 0 < epsilon < 1
    else:
        rules["model_type"] = isinstance(manifest["model_type"], str) and manifest["model_type"] != ""
    for key, holds in rules.items():
        if not holds:
            raise BundleError(f"manifest.json: {key} is {str(manifest[key])[:80]!r}: not allowed; see FORMAT.md")
    for name in manifest["checkpoint"]:
        _check_fingerprint(manifest["checkpoint"], "checkpoint", name, null=True)
    try:
        output_layer(manifest)
    except BundleError as error:
        raise BundleError(f"manifest.json: {error}") from None


def _entry(table: dict[str, Any], key: str, name: str, keys: set[str]) -> dict[str, Any]:
    entry = table.get(name)
    if not isinstance(entry, dict) or entry.keys() != keys:
        raise BundleError(f"manifest.json: {key}[{name[:80]!r}] must have {', '.join(sorted(keys))}, and nothing else")
    return entry


def _check_fingerprint(table: dict[str, Any], key: str, name: str, null: bool = False) -> None:
    entry = _entry(table, key, name, {"size", "sha256"})
    known = is_sha256(entry["sha256"]) or (null and entry["sha256"] is None)
    if not integer(entry["size"]) or not 0 <= entry["size"] < 2**63 or not known:
        raise BundleError(f"manifest.json: {key}[{name[:80]!r}] must be a size >= 0 and a sha256 of 64 hex digits")
