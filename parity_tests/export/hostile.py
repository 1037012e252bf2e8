"""Hostile bundles: what may be done to a good one, byte by byte and by an adversary who recomputes every hash.

`DAMAGE` are mutations as they happen to files; whatever they hit, the bundle must be refused. `FORGERIES` make one
illegal change each and seal the bundle again, so that hashes alone do not find it.
"""

import copy
import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from weights_export import containers, manifest
from weights_export.tensors import Content

Draw = Callable[[st.SearchStrategy[Any]], Any]
V, D, N, ROWS = 5, 3, 2, 7


LAYER = {"norm": {"kind": "layer_norm", "epsilon": 1e-5, "weight_offset": 0.0}, "multiplier": 2.0, "divisor": 4.0}


def small_bundle(folder: Path, container: str = "safetensors", dtype: str = "float32", version: int = 2) -> None:
    """A bundle of a few numbers, intact and correct: 5 tokens, 2 padding rows, 2 prompts; a bias from version 3 on."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    table = rng.integers(-8, 9, (ROWS, D)).astype(np.float32)  # small integers: every sum is exact
    context: np.ndarray = rng.permuted(np.tile(np.array([-8, 0, 8], np.float32), (N, 1)), axis=1)
    logits: np.ndarray = context @ table[:V].T
    stored = table.view(np.uint32) >> 16 if dtype == "bfloat16" else table
    files: dict[str, dict[str, Content]] = {
        "head": {
            "final_norm.weight": Content.of(np.full(D, 8 / 1.5**0.5, np.float32)),
            "final_norm.bias": Content.of(np.zeros(D, np.float32)),
            "embedding": Content(dtype, (V, D), [stored[:V]]),
            "padding": Content(dtype, (ROWS - V, D), [stored[V:]]),
        },
        "contexts": {"block_output": Content.of(1000 * context), "context": Content.of(context)},
    }
    said: dict[str, Any] = {"layer_norm_epsilon": 1e-5}
    if version > 2:
        bias = rng.integers(-8, 9, ROWS).astype(np.float32)
        logits = (logits + bias[:V]) / 2
        files["head"] |= {"bias": Content.of(bias[:V]), "padding_bias": Content.of(bias[V:])}
        said = {"model_type": "five", "output_layer": {**LAYER, "cap": None}}
    files["expected" if version == 2 else "exact"] = {"logits_exact": Content.of(logits.astype(np.float64))}
    files["expected"] = {**files.get("expected", {}), "logits": Content.of(logits)}
    if version > 3:
        other = Content(dtype, (V, D), [stored[:V][::-1]])
        files["judging"] = {"previous_context": Content.of(context[::-1]), "input_embedding": other}
    places: dict[str, Any] = {}
    for part, contents in files.items():
        name = f"{part}.{container}"
        written = containers.write(folder / name, container, contents)
        places |= {tensor: where.entry(name) for tensor, where in written.items()}
    (folder / "prompts.json").write_text(json.dumps([{"text": "a", "token_ids": [0]}, {"text": "b", "token_ids": [4]}]))
    tokens = {"encoding": "hex", "special": [4], "tokens": ["61", "62", "", "6364", "3c65"]}
    tokens |= {"leading_space": "dropped"} if version > 2 else {}
    (folder / "tokens.json").write_text(json.dumps(tokens))
    content = {
        "format": manifest.FORMAT,
        "version": version,
        "model": "five",
        "revision": None,
        "checkpoint": {},
        "container": container,
        "vocab_size": V,
        "embedding_rows": ROWS,
        "hidden_size": D,
        "dtype": dtype,
        "tied": True,
        **said,
        "prompts": N,
        "tensors": places,
        "files": {path.name: fingerprint(path) for path in sorted(folder.iterdir())},
    }
    (folder / "manifest.json").write_bytes(manifest.seal(content))


def fingerprint(path: Path) -> dict[str, Any]:
    """What a manifest says of a file."""
    raw = path.read_bytes()
    return {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}


def read(folder: Path) -> dict[str, Any]:
    """The manifest."""
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def seal(folder: Path, content: dict[str, Any], hashes: bool = True) -> None:
    """Write a manifest with right hashes: its own and, unless `hashes` is false, those of every file."""
    content = {key: value for key, value in content.items() if key != "sha256"}
    if hashes:
        for name in content["files"]:
            if (folder / name).is_file():
                content["files"][name] = fingerprint(folder / name)
    (folder / "manifest.json").write_bytes(manifest.seal(content))


def _any_file(folder: Path, draw: Draw) -> Path:
    path: Path = draw(st.sampled_from(sorted(folder.iterdir())))
    return path


# Damage: nobody recomputes a hash.


def flip(folder: Path, draw: Draw) -> None:
    """One bit of one file."""
    path = _any_file(folder, draw)
    raw = bytearray(path.read_bytes())
    raw[draw(st.integers(0, len(raw) - 1))] ^= 1 << draw(st.integers(0, 7))
    path.write_bytes(raw)


def truncate(folder: Path, draw: Draw) -> None:
    """A file cut short, down to nothing."""
    path = _any_file(folder, draw)
    raw = path.read_bytes()
    path.write_bytes(raw[: draw(st.integers(0, len(raw) - 1))])


def insert(folder: Path, draw: Draw) -> None:
    """Bytes put in somewhere; a file that repeats itself."""
    path = _any_file(folder, draw)
    raw = path.read_bytes()
    at = draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:at] + draw(st.binary(min_size=1, max_size=20) | st.just(raw)) + raw[at:])


def rewrite(folder: Path, draw: Draw) -> None:
    """A file of anything at all."""
    path = _any_file(folder, draw)
    old = path.read_bytes()
    new = draw(st.binary(max_size=300))
    path.write_bytes(new if new != old else b"")


def remove(folder: Path, draw: Draw) -> None:
    """A file that is not there."""
    _any_file(folder, draw).unlink()


def replace_by_link(folder: Path, draw: Draw) -> None:
    """A file that is a link to the same bytes outside the folder."""
    path = _any_file(folder, draw)
    outside = folder.parent / f"outside-{path.name}"
    path.replace(outside)
    path.symlink_to(outside)


def replace_by_something_else(folder: Path, draw: Draw) -> None:
    """A folder or a pipe in the place of a file."""
    path = _any_file(folder, draw)
    path.unlink()
    draw(st.sampled_from([path.mkdir, lambda: os.mkfifo(path)]))()


def swap(folder: Path, draw: Draw) -> None:
    """Two files in each other's place."""
    one, two = draw(st.permutations(sorted(folder.iterdir())))[:2]
    old = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(old)


# Forgeries: hashes are right.

HUGE = st.sampled_from([2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**30])
NOT_A_COUNT: st.SearchStrategy[Any] = HUGE | st.sampled_from([-1, 0, 1.5, "5", None, True, [], {}])
PATHS = st.sampled_from(
    ["../head.safetensors", "/etc/passwd", "a/b", "..", ".", "", "head.safetensors/", "C:\\x", "\0"]
)
NESTED = st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"[" * 500 + b"]" * 500, b"[[],[]" * 20_000])


def _other_count(old: int, counts: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    """Something else than `old` in the place of a count; `true` is not a count, though Python says it equals 1."""
    return (NOT_A_COUNT | counts).filter(lambda value: value != old or value is True)


def numbers_of_the_manifest(folder: Path, draw: Draw) -> None:
    """A count that is negative, huge, no integer, or another than the files'."""
    content = read(folder)
    key = draw(st.sampled_from(["vocab_size", "embedding_rows", "hidden_size", "prompts"]))
    old = content[key]
    content[key] = draw(_other_count(old, st.integers(-3, 50)))
    seal(folder, content)


def words_of_the_manifest(folder: Path, draw: Draw) -> None:
    """A value of the wrong kind, an unknown version, format or container."""
    content = read(folder)
    legal = {"revision", "model", "model_type", "checkpoint", "tied", "layer_norm_epsilon"}  # some of the words are
    key = draw(st.sampled_from(sorted(set(content) - legal)))
    if key in ("vocab_size", "embedding_rows", "hidden_size", "prompts", "sha256"):
        key = "version"
    words: list[Any] = [
        None,
        [],
        {},
        0,
        1,
        5 - content["version"],  # 3 for 2, and the other way round; nothing for 4
        -1,
        99,
        2.0,
        "2",
        "",
        "zip",
        "float64",
        True,
        "bin ",
    ]
    content[key] = draw(st.sampled_from(words))
    seal(folder, content, hashes=False)


def output_layer(folder: Path, draw: Draw) -> None:
    """An output layer with a number that is none, that is not above 0, or with a key missing or too many."""
    content = read(folder)
    said = content.setdefault("output_layer", copy.deepcopy({**LAYER, "cap": None}))  # a key too many in version 2
    place = said["norm"] if draw(st.booleans()) else said
    key = draw(st.sampled_from(sorted(set(place) - {"norm"})))
    words: list[Any] = [True, "1", [], {}, *([] if key == "cap" else [None])]
    words += [1e999, 1e60, *([] if key == "weight_offset" else [0, -1, 1e-60])]
    if draw(st.booleans()):
        place[key] = draw(st.sampled_from(words))
    elif draw(st.booleans()):
        del place[key]
    else:
        place["extra"] = 1
    raw = manifest.seal({key: value for key, value in content.items() if key != "sha256"})
    (folder / "manifest.json").write_bytes(raw)


def keys_of_the_manifest(folder: Path, draw: Draw) -> None:
    """A key missing or one too many."""
    content = read(folder)
    if draw(st.booleans()):
        content["extra"] = draw(st.sampled_from([None, 1, "x"]))
    else:
        del content[draw(st.sampled_from(sorted(set(content) - {"sha256"})))]
    raw = manifest.seal({key: value for key, value in content.items() if key != "sha256"})
    (folder / "manifest.json").write_bytes(raw)


def file_names(folder: Path, draw: Draw) -> None:
    """A file name that leaves the folder, in the list of files or of tensors."""
    content, name = read(folder), draw(PATHS)
    if draw(st.booleans()):
        old = draw(st.sampled_from(sorted(content["files"])))
        content["files"][name] = content["files"][old] if draw(st.booleans()) else content["files"].pop(old)
    else:
        content["tensors"][draw(st.sampled_from(sorted(content["tensors"])))]["file"] = name
    seal(folder, content, hashes=False)


def places_of_tensors(folder: Path, draw: Draw) -> None:
    """An offset beyond the file, within another tensor, negative or huge; another shape or dtype."""
    content = read(folder)
    entry = content["tensors"][draw(st.sampled_from(sorted(content["tensors"])))]
    key = draw(st.sampled_from(["offset", "shape", "dtype"]))
    if key == "offset":
        old = entry["offset"]
        entry[key] = draw(_other_count(old, st.integers(-20, 2000)))
    elif key == "shape":
        old = entry["shape"]
        shapes = st.lists(NOT_A_COUNT | st.integers(-2, 8), max_size=4) | NOT_A_COUNT
        entry[key] = draw(shapes.filter(lambda value: value != old or not all(type(n) is int for n in value)))
    else:
        old = entry["dtype"]
        entry[key] = draw(
            st.sampled_from(["float64", "float16", "int8", "F32", "", None, 4]).filter(lambda x: x != old)
        )
    seal(folder, content)


def sizes_and_hashes(folder: Path, draw: Draw) -> None:
    """A size or a hash of a file that is not the file's."""
    content = read(folder)
    entry = content["files"][draw(st.sampled_from(sorted(content["files"])))]
    if draw(st.booleans()):
        entry["size"] = draw(NOT_A_COUNT | st.just(entry["size"] + 1))
    else:
        entry["sha256"] = draw(st.sampled_from(["0" * 64, "", None, 5, entry["sha256"].upper() + "0", "g" * 64]))
    seal(folder, content, hashes=False)


def safetensors_header(folder: Path, draw: Draw) -> None:
    """Overlaps, gaps, offsets beyond the file, shapes without sense, a header without end; only in safetensors."""
    content = read(folder)
    names = sorted(name for name in content["files"] if name.endswith(".safetensors"))
    if not names:
        return places_of_tensors(folder, draw)
    path = folder / draw(st.sampled_from(names))
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    kind = draw(st.sampled_from(["length", "offsets", "shape", "dtype", "name", "twice", "nested", "metadata"]))
    name = draw(st.sampled_from(sorted(header)))
    if kind == "length":
        wrong = st.sampled_from([2**63, 2**64 - 1, 2**32, len(raw), 0, 1, length - 1, length + 1])
        raw = struct.pack("<Q", draw(wrong)) + raw[8:]
    else:
        if kind == "offsets":
            place, old = draw(st.integers(0, 1)), list(header[name]["data_offsets"])
            header[name]["data_offsets"][place] = draw(
                (NOT_A_COUNT | st.integers(0, 500)).filter(lambda n: n not in old)
            )
        elif kind == "shape":
            header[name]["shape"] = draw(st.lists(NOT_A_COUNT, min_size=1, max_size=12))
        elif kind == "dtype":
            header[name]["dtype"] = draw(st.sampled_from(["F8", "f32", "", None, 3, "I8", "BOOL"]))
        elif kind == "name":
            header[draw(st.sampled_from(["", "other", "embedding "]))] = header.pop(name)
        elif kind == "metadata":
            header["__metadata__"] = draw(st.sampled_from([[], 1, None, {"a": 1}, {"a": {"b": "c"}}, {"a": None}]))
        text = json.dumps(header).encode()
        if kind == "twice":
            text = text[:-1] + b"," + json.dumps({name: header[name]}).encode()[1:]
        elif kind == "nested":
            text = b'{"a":' + draw(NESTED) + b"}"
        raw = struct.pack("<Q", len(text)) + text + data
    if raw == path.read_bytes():
        raw += b"\0"
    path.write_bytes(raw)
    seal(folder, content)
    return None


def json_files(folder: Path, draw: Draw) -> None:
    """prompts.json and tokens.json that are nested, repeat a key, or do not fit the vocabulary."""
    content = read(folder)
    prompts, tokens = (json.loads((folder / name).read_text()) for name in ("prompts.json", "tokens.json"))
    bad_id = NOT_A_COUNT.filter(lambda value: not (type(value) is int and 0 <= value < V)) | st.integers(V, 99)
    kind = draw(st.integers(0, 9))
    if kind == 0:
        prompts[0]["token_ids"] = draw(st.lists(bad_id, max_size=3) | bad_id)
    elif kind == 1:
        prompts = draw(st.sampled_from([[], {}, None, prompts[:1], prompts * 2, [1, 2], [{}, {}]]))
    elif kind == 2:
        prompts[1]["text"] = draw(st.sampled_from([None, 1, [], "\ud800"]))
    elif kind == 3:
        prompts[1]["more"] = 1
    elif kind == 4:
        tokens["tokens"][draw(st.integers(0, 4))] = draw(
            st.sampled_from(["6", "gg", " 61", "61 ", "6G", None, 61, [], "６１"])
        )
    elif kind == 5:
        tokens["tokens"] = draw(st.sampled_from([[], None, {}, tokens["tokens"][:4], tokens["tokens"] * 2]))
    elif kind == 6:
        tokens["special"] = draw(st.lists(bad_id, min_size=1, max_size=3) | st.sampled_from([None, 4, {}]))
    elif kind == 7:
        tokens["encoding"] = draw(st.sampled_from(["base64", None, 1]))
    texts = {"prompts.json": json.dumps(prompts).encode(), "tokens.json": json.dumps(tokens).encode()}
    if kind >= 8:
        name = draw(st.sampled_from(sorted(texts)))
        twice = texts["tokens.json"][:-1] + b', "special": [4]}'
        other = st.sampled_from([b"", b"\xff", b"NaN", b'{"a": Infinity}', b"1e999", b"9" * 10_000, twice])
        texts[name] = draw(NESTED | other)
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    seal(folder, content)


def manifest_text(folder: Path, draw: Draw) -> None:
    """A manifest that is not a JSON object, is endlessly nested, or has a key twice."""
    raw = (folder / "manifest.json").read_bytes()
    twice = raw.replace(b'"prompts"', b'"vocab_size": 9, "prompts"', 1)
    nested = raw.replace(b"null", draw(NESTED), 1)
    text = draw(
        st.sampled_from([twice, nested, b"[]", b"null", b'"x"', b"", b"\xff\xfe", b"{}", raw[:-3], b" " * (2 << 20)])
    )
    (folder / "manifest.json").write_bytes(text)


def not_finite(folder: Path, draw: Draw) -> None:
    """NaN or infinity among the numbers."""
    content = read(folder)
    entry = content["tensors"][draw(st.sampled_from(sorted(content["tensors"])))]
    word = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    number = np.array(word, dtype="float32" if entry["dtype"] == "bfloat16" else entry["dtype"]).tobytes()
    number = number[2:] if entry["dtype"] == "bfloat16" else number
    path = folder / entry["file"]
    raw = bytearray(path.read_bytes())
    start = entry["offset"] + len(number) * draw(st.integers(0, int(np.prod(entry["shape"])) - 1))
    raw[start : start + len(number)] = number
    path.write_bytes(raw)
    seal(folder, content)


def appended(folder: Path, draw: Draw) -> None:
    """Bytes behind the last tensor or before the first, with right sizes and hashes."""
    content = read(folder)
    places = content["tensors"].values()
    path = folder / draw(st.sampled_from(sorted({entry["file"] for entry in places})))
    extra = draw(st.binary(min_size=1, max_size=100))
    if content["container"] == "npz":  # an archive may end in a comment: only what precedes the tensors is looked at
        path.write_bytes(extra + path.read_bytes())
    else:
        path.write_bytes(path.read_bytes() + extra)
    seal(folder, content)


DAMAGE = (flip, truncate, insert, rewrite, remove, replace_by_link, replace_by_something_else, swap)
FORGERIES = (
    *(numbers_of_the_manifest, words_of_the_manifest, output_layer, keys_of_the_manifest, file_names),
    *(places_of_tensors, sizes_and_hashes, safetensors_header, json_files, manifest_text, not_finite, appended),
)
