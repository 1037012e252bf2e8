"""The sources themselves: what they need, what they must not be compiled with, and the examples of their READMEs."""

import json
import re
import subprocess
from pathlib import Path

from .c_and_js import PORTS, tool


def test_fast_math_does_not_compile() -> None:
    """It would lose inf, nan, true division and subnormal numbers."""
    for flag in ("-ffast-math", "-ffinite-math-only", "-Ofast"):
        compiler = [tool("gcc", "gcc"), "-std=c99", flag, "-fsyntax-only", str(PORTS / "c" / "lm_head.c")]
        run = subprocess.run(compiler, capture_output=True, text=True, check=False)
        assert run.returncode != 0
        assert "-ffast-math" in run.stderr


BARE = """
import { readFile } from "node:fs/promises";
import vm from "node:vm";
const context = vm.createContext({ TextDecoder, crypto: globalThis.crypto });
const evaluate = async (file) => {
  const module = new vm.SourceTextModule(await readFile(new URL(file, %s), "utf8"), { context });
  await module.link((name) => { throw new Error(`imports ${name}`); });
  await module.evaluate();
  return module.namespace;
};
const { lmHead, TorchGenerator, multinomial } = await evaluate("lm_head.mjs");
const { openBundle } = await evaluate("bundle.mjs");
const floats = (...numbers) => vm.runInContext(`Float32Array.of(${numbers})`, context);
const probs = lmHead(floats(2, 1), floats(1, 0, 0.8, 0.6, 0, 1, -1, 0), { temperature: 0.7, k: 2 });
console.log(multinomial(probs, new TorchGenerator(0).exponentials(4))[0], typeof openBundle);
"""


def test_the_modules_need_nothing_of_node() -> None:
    """In a context with the language's own objects, TextDecoder and crypto alone, as every browser has them."""
    folder = (PORTS / "javascript").as_uri() + "/"
    node = [tool("node", "nodejs"), "--no-warnings", "--experimental-vm-modules", "--input-type=module", "--eval"]
    run = subprocess.run([*node, BARE % json.dumps(folder)], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("1 function\n", "")


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
