"""FORMAT.md, the JSON Schema and the code say the same: its reader reads what we write, and so does its schema."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import weights_export
from weights_export import BundleError, manifest, open_bundle, strict_json
from weights_export.containers import CONTAINERS
from weights_export.manifest import HEAD_DTYPES

from ..meta.test_spec import RULES
from .hostile import read, small_bundle

FOLDER = Path(weights_export.__file__).parent
FORMAT = (FOLDER / "FORMAT.md").read_text("utf-8")
SCHEMA = json.loads((FOLDER / "manifest.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.fixture(scope="module", params=manifest.VERSIONS)
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The manifest of a small bundle."""
    folder = tmp_path_factory.mktemp("format") / "bundle"
    small_bundle(folder, version=request.param)
    return read(folder)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_exported_bundle_fits_the_schema(bundle_folder: Path) -> None:
    VALIDATOR.validate(read(bundle_folder))


def test_keys_are_the_same_in_page_schema_and_code(good: dict[str, Any]) -> None:
    section = FORMAT.split("## manifest.json")[1].split("## The output layer")[0]
    page = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert page == set(SCHEMA["properties"]) == manifest.KEYS[2] | manifest.KEYS[3]
    for version, rest in zip(manifest.VERSIONS, SCHEMA["oneOf"], strict=True):
        assert manifest.KEYS[version] == {*SCHEMA["required"], *rest["required"]}
        assert rest["properties"]["version"]["const"] == version
    said = FORMAT.split("## The output layer")[1].split("## Tensors")[0]
    layer = SCHEMA["properties"]["output_layer"]
    assert set(re.findall(r"^\| `(\w+)` \|", said, re.MULTILINE)) == set(layer["properties"]) == {*layer["required"]}
    tensors = FORMAT.split("## Tensors")[1].split("### Containers")[0]
    names = set(re.findall(r"^\| `([\w.]+)` \|", tensors, re.MULTILINE))
    assert names == set(SCHEMA["properties"]["tensors"]["properties"])
    later = {3: {"bias", "padding_bias"}, 4: {"previous_context", "input_embedding"}}
    missing = {name for version, added in later.items() if version > good["version"] for name in added}
    assert set(good["tensors"]) == names - missing
    assert [*SCHEMA["properties"]["container"]["enum"]] == [*CONTAINERS]
    assert [*SCHEMA["properties"]["dtype"]["enum"]] == [*HEAD_DTYPES]
    assert [*SCHEMA["properties"]["version"]["enum"]] == [*manifest.VERSIONS]
    assert "defines versions {}, {} and {} of it".format(*manifest.VERSIONS) in " ".join(FORMAT.split())


@given(data=st.data())
def test_what_the_code_accepts_fits_the_schema(good: dict[str, Any], data: st.DataObject) -> None:
    """And what the schema refuses, the code refuses: one value changed anywhere in a manifest."""
    content = copy.deepcopy(good)
    place: Any = content
    while True:
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        others: list[Any] = [None, True, 0, 1, -1, 2.5, 2**62, 2**70, [], {}]
        others += ["x", "", "head.bin", "0" * 64, "float16", "bin"]
        place[key] = data.draw(st.sampled_from(others))
        break
    try:
        raw = manifest.seal({k: v for k, v in content.items() if k != "sha256"})
        parsed = strict_json.parse(raw, "manifest.json")
        manifest.check_seal(raw, parsed)
        manifest.check(parsed)
    except BundleError:
        return
    VALIDATOR.validate(parsed)


@pytest.mark.parametrize("version", manifest.VERSIONS)
@pytest.mark.parametrize("dtype", HEAD_DTYPES)
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_reader_of_the_page_reads_what_we_write(tmp_path: Path, container: str, dtype: str, version: int) -> None:
    """Its Python block, run: it knows nothing of our code and of the containers."""
    [code] = re.findall(r"^```python\n(.*?)^```", FORMAT, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "FORMAT.md", "exec"), names)
    small_bundle(tmp_path / "bundle", container, dtype, version)
    content, tensors = names["read_bundle"](tmp_path / "bundle")
    bundle = open_bundle(tmp_path / "bundle")
    assert content == bundle.manifest
    for name in ("embedding", "padding", "block_output", "context", "logits", "logits_exact") + ("bias",) * (
        version > 2
    ):
        ours = getattr(bundle, name).astype(np.float64)
        np.testing.assert_array_equal(np.reshape(tensors[name], content["tensors"][name]["shape"]), ours)
    head = tmp_path / "bundle" / f"head.{container}"
    head.write_bytes(head.read_bytes()[:-1] + b"\7")
    with pytest.raises(AssertionError):
        names["read_bundle"](tmp_path / "bundle")


def test_rules_that_are_cited_exist() -> None:
    pattern = re.compile(r"\b(?:HEAD|LOGITS|TEMP|TOPK|SOFTMAX|DRAW|CDF|RNG|OUT)-\d+\b")
    texts = [FORMAT, *(path.read_text("utf-8") for path in FOLDER.glob("*.py"))]
    cited = {rule for text in texts for rule in pattern.findall(text)}
    assert len(cited) > 3
    assert cited <= set(RULES)


def test_limits_are_those_of_the_page() -> None:
    from weights_export import bundle, containers

    assert "below 32 MiB (the manifest: 1 MiB) and below 2²⁰ values" in " ".join(FORMAT.split())
    assert (strict_json.MAX_BYTES, bundle.MAX_MANIFEST, strict_json.MAX_VALUES) == (32 << 20, 1 << 20, 1 << 20)
    assert containers.MAX_HEADER == 64 << 10
    assert max(map(len, FORMAT.splitlines())) <= 120
