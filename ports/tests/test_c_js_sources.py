"""The sources themselves: what they need, what they must not be compiled with, and the examples of their READMEs."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from .c_and_js import PORTS, tool

PORT = sorted((PORTS / "c").glob("lm_*.c"))  # what a user copies


@pytest.mark.parametrize("source", PORT, ids=lambda path: path.name)
def test_fast_math_does_not_compile(source: Path) -> None:
    """It would lose inf, nan, true division and subnormal numbers."""
    for flag in ("-ffast-math", "-ffinite-math-only", "-Ofast"):
        compiler = [tool("gcc", "gcc"), "-std=c99", flag, "-fsyntax-only", str(source)]
        run = subprocess.run(compiler, capture_output=True, text=True, check=False)
        assert run.returncode != 0
        assert "-ffast-math" in run.stderr


BARE = """
import { readFile } from "node:fs/promises";
import vm from "node:vm";
const context = vm.createContext({ TextDecoder, crypto: globalThis.crypto });
const modules = new Map();
const load = async (file) => {
  if (!/^(\\.\\/)?\\w+\\.mjs$/.test(file)) throw new Error(`imports ${file}`);
  const url = new URL(file, %s).href;
  if (!modules.has(url)) modules.set(url, new vm.SourceTextModule(await readFile(new URL(url), "utf8"), { context }));
  return modules.get(url);
};
const evaluate = async (file) => {
  const module = await load(file);
  await module.link(load);
  await module.evaluate();
  return module.namespace;
};
const { lmHead, TorchGenerator, multinomial } = await evaluate("lm_head.mjs");
const { openBundle } = await evaluate("bundle.mjs");
const { process } = await evaluate("pipeline.mjs");
const { crossEntropy } = await evaluate("scores.mjs");
const floats = (...numbers) => vm.runInContext(`Float32Array.of(${numbers})`, context);
const probs = lmHead(floats(2, 1), floats(1, 0, 0.8, 0.6, 0, 1, -1, 0), { temperature: 0.7, k: 2 });
console.log(multinomial(probs, new TorchGenerator(0).exponentials(4))[0], typeof openBundle);
console.log(process(floats(1, 2), [["keep_top_p", { p: 0.5 }]]).join(" "), crossEntropy(floats(0, 0), [1]).toFixed(3));
"""


def test_the_modules_need_nothing_of_node() -> None:
    """In a context with the language's own objects, TextDecoder and crypto alone, as every browser has them."""
    folder = (PORTS / "javascript").as_uri() + "/"
    node = [tool("node", "nodejs"), "--no-warnings", "--experimental-vm-modules", "--input-type=module", "--eval"]
    run = subprocess.run([*node, BARE % json.dumps(folder)], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("1 function\n-Infinity 2 0.693\n", "")


def code_block(folder: str, language: str) -> tuple[str, str]:
    """The example in a README and the output that it shows."""
    text = (PORTS / folder / "README.md").read_text("utf-8")
    found = re.search(rf"```{language}\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1], found[2]


def test_the_example_in_javascript() -> None:
    """It runs as printed."""
    code, output = code_block("javascript", "js")
    node = [tool("node", "nodejs"), "--input-type=module", "--eval", code]
    run = subprocess.run(node, capture_output=True, text=True, check=False, cwd=PORTS / "javascript")
    assert (run.stdout, run.stderr) == (output, "")


def test_the_example_in_c(tmp_path: Path) -> None:
    """It compiles without cJSON, and runs as printed."""
    code, output = code_block("c", "c")
    (tmp_path / "example.c").write_text(code, "utf-8")
    source, program = PORTS / "c", tmp_path / "example"
    compiler = [tool("gcc", "gcc"), "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{source}"]
    subprocess.run([*compiler, tmp_path / "example.c", source / "lm_head.c", "-lm", "-o", program], check=True)
    assert subprocess.run([program], check=True, capture_output=True, text=True).stdout == output
