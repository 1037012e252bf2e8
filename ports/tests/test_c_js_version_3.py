"""Bundles of version 3 read by the C and the JavaScript port: every kind of head, and descriptions to refuse."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ports.checker import bundle_cases
from ports.checker.errors import RefusedError
from ports.checker.made_bundles import GOOD, Made, seal
from ports.checker.port import from_command
from ports.checker.process import Process
from weights_export.output_layer import Norm, OutputLayer

from .c_and_js import PORTS, tool
from .wire import Port

spec = pytest.mark.spec
ALL = GOOD["a bias, a multiplier, a divisor and a cap"]
STEP = {"context": 0, "uniform": 0.5, "temperature": 0.7, "k": 50}


@spec("OUT-5", "OUT-6")
@pytest.mark.parametrize("name", ["c-sanitized", "c-fused", "javascript"])
def test_every_made_bundle(name: str, command: Callable[[str], list[str]]) -> None:
    """As in the check, one after the other: what one bundle has, the next does not inherit. C also frees it all."""
    with Process(command(name)) as process:
        port = from_command(process)
        assert port.bundle_versions == (2, 3)
        verdicts = list(bundle_cases.made(port, []))
        assert all(verdict.conforms for verdict in verdicts), [str(v) for v in verdicts if not v.conforms]
        assert port.close() == ""


def described(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """A bundle whose manifest says something else of the output layer."""
    ALL.write(folder)
    content = json.loads((folder / "manifest.json").read_bytes())
    del content["sha256"], content["files"]
    change(content)
    seal(folder, content)


def layer(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content["output_layer"].update(changes)


def norm(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content["output_layer"]["norm"].update(changes)


UNKNOWN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "version 4": lambda content: content.update(version=4),
    "no output_layer": lambda content: content.pop("output_layer"),
    "output_layer is a list": lambda content: content.update(output_layer=[None, 1, 1, None]),
    "no cap": lambda content: content["output_layer"].pop("cap"),
    "no norm": lambda content: content["output_layer"].pop("norm"),
    "another key": layer(shift=1),
    "another key of the norm": norm(bias=True),
    "no epsilon": lambda content: content["output_layer"]["norm"].pop("epsilon"),
    "a norm of another kind": norm(kind="batch_norm"),
    "a norm without a kind": norm(kind=None),
    "a norm that is a word": layer(norm="rms_norm"),
    "epsilon 0": norm(epsilon=0),
    "an offset in words": norm(weight_offset="1"),
    **{
        f"{key} {value!r}": layer(**{key: value})
        for key in ("multiplier", "divisor", "cap")
        for value in (0, -1, "2", True, [1], 1e-60, 1e60)
    },
    "multiplier null": layer(multiplier=None),
    "divisor null": layer(divisor=None),
    "a bias elsewhere": lambda content: content["tensors"]["bias"].update(file="expected.bin", offset=2**40),
    "a bias of two axes": lambda content: content["tensors"]["bias"].update(shape=[67, 1]),
    "a bias that is too long": lambda content: content["tensors"]["bias"].update(shape=[68]),
    "a bias in int8": lambda content: content["tensors"]["bias"].update(dtype="int8"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_an_unknown_description(what: str, port: Port, tmp_path: Path) -> None:
    """Refused; the bundle that was open before stays open, with its own finish."""
    ALL.write(tmp_path / "good")
    port.result("open_bundle", path=str(tmp_path / "good"))
    before = port.ask("step", **STEP)
    described(tmp_path / "bad", UNKNOWN[what])
    with pytest.raises(RefusedError, match="bad_bundle"):
        port.result("open_bundle", path=str(tmp_path / "bad"))
    assert port.ask("step", **STEP) == before


def test_a_description_that_is_sealed_again_opens(port: Port, tmp_path: Path) -> None:
    described(tmp_path / "good", lambda content: None)
    assert port.result("open_bundle", path=str(tmp_path / "good"))["vocab_size"] == 67


def test_a_cap_bends_and_no_cap_does_not(port: Port, tmp_path: Path) -> None:
    """The same head with and without: the probabilities differ, and a cap beyond reach changes next to nothing."""
    found = []
    for number, cap in enumerate((None, 1e30, 4.0)):
        Made("", output_layer=OutputLayer(Norm("rms_norm", 1e-6), cap=cap)).write(tmp_path / str(number))
        port.result("open_bundle", path=str(tmp_path / str(number)))
        found.append(port.result("step", **{**STEP, "k": 67})["probs"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert abs(found[0] - found[2]).max() > 0.1


def test_under_valgrind(command: Callable[[str], list[str]], bundle: Path, tmp_path: Path) -> None:
    """No error and no leak when bundles of both versions replace each other, and when one is refused."""
    ALL.write(tmp_path / "good")
    described(tmp_path / "bad", layer(cap=0))
    described(tmp_path / "short", UNKNOWN["a bias that is too long"])
    settings = ["--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"]
    with Port(tool("valgrind", "valgrind"), *settings, *command("c")) as port:
        for name in ("good", "bad", "short", str(bundle), "good"):
            port.ask("open_bundle", path=str(tmp_path / name))
            port.result("step", **STEP)
            port.result("sequence", contexts=[[0, 1], [2]], temperature=0.7, k=50, seed="3")
        assert port.ask("stop") == {"result": {}}
        assert port.close() == 0, port.errors()
        assert port.errors() == ""


READ = """
import { readFileSync } from "node:fs";
import { openBundle } from "./bundle.mjs";
const seen = [];
const read = async (name) => {
  seen.push(name);
  const { buffer, byteOffset, byteLength } = readFileSync(%s + name);
  return buffer.slice(byteOffset, byteOffset + byteLength);
};
const { bias, finish } = await openBundle(read, { names: ["head.bin", "contexts.bin"] });
console.log(JSON.stringify([seen, bias.length, finish]));
"""


def test_a_page_needs_neither_float64_nor_tokens(tmp_path: Path) -> None:
    """With `names`, JavaScript fetches the head and the contexts alone, and checks those."""
    ALL.write(tmp_path / "good")
    code = READ % json.dumps(str(tmp_path / "good") + "/")
    node = [tool("node", "nodejs"), "--input-type=module", "--eval", code]
    run = subprocess.run(node, capture_output=True, text=True, check=True, cwd=PORTS / "javascript")
    seen, size, finish = json.loads(run.stdout)
    assert seen == ["manifest.json", "head.bin", "contexts.bin"]
    assert (size, finish) == (67, {"multiplier": 0.75, "divisor": 3, "cap": 12})
