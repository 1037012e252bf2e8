"""The commands as a user runs them: in a process of their own or, where importing takes seconds, by `main` in this."""

import argparse
import doctest
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils import logging

import reference.__main__ as walk_through
import torch_impl
from weights_export import __main__ as export

from .. import __main__ as command
from .. import suite
from ..bench.sampling import samplers
from ..local_torch_rng import local_stream_is_mt19937
from ..terminal import console

ROOT = Path(walk_through.__file__).parents[1]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command changes in this process is put back."""
    monkeypatch.setenv("COLUMNS", "100")
    verbosity, bars, environment = logging.get_verbosity(), logging.is_progress_bar_enabled(), dict(os.environ)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(environment)
    logging.set_verbosity(verbosity)
    if bars:
        logging.enable_progress_bar()


@pytest.mark.usefixtures("in_this_process")
def test_demo_fits_100_columns_and_has_no_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["side-by-side"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert "\x1b" not in said
    assert "I do beseech your" in said
    assert "' highness'" in said
    assert any(word in said for word in ("IDENTICAL", "WITHIN_BOUND"))
    assert "DIVERGED" not in said


def test_tables_have_100_columns_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console().print("x" * 101)
    assert capsys.readouterr().out == "x" * 100 + "\nx\n"
    monkeypatch.setenv("COLUMNS", "60")
    assert console().width == 60


@pytest.mark.usefixtures("in_this_process")
def test_demo_generates_and_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["side-by-side", "My lord,", "--tokens", "12", "--seed", "3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["prompt"] == "My lord,"
    assert len(data["draw"]["numpy"]) == len(data["draw"]["transformers"]) == 12
    assert not data["diverged"]
    if data["same_stream"]:
        assert set(data["generation"]) <= {"IDENTICAL", "TIE_BREAK"}
    assert {"token", "id", "logit", "numpy", "pytorch", "transformers", "ulps"} == set(data["candidates"][0])


REFUSED_AT_ONCE = {
    "the prompt is empty": [""],
    "the prompt is not UTF-8": ["a \udcff"],
    "--tokens is 0: it must be at least 1": ["--tokens", "0"],
    "temperature is 0.0: it must be finite and > 0": ["--temperature", "0"],
    "k is 0: it must be at least 1": ["--top-k", "0"],
    "seed is 18446744073709551616": ["--seed", str(2**64)],
    "there is no folder no/such/folder": ["--model", "no/such/folder"],
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("message", "arguments"), [*REFUSED_AT_ONCE.items(), ("the model's context window", ["--tokens", "300"])]
)
def test_demo_refuses_in_one_line(message: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["side-by-side", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(rf"side-by-side: .*{re.escape(message)}.*\n", printed.err)


def test_demo_refuses_before_it_loads_pytorch() -> None:
    """Which takes seconds. The refusals of a whole process, exit status included, are those of `main`."""
    result = run("-m", "parity_tests", "side-by-side", "--top-k", "0")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"side-by-side: k is 0: it must be at least 1.*\n", result.stderr)
    program = (
        "import sys; sys.modules |= {'torch': None, 'transformers': None}\n"  # importing them fails
        "from parity_tests.__main__ import main\n"
        f"for arguments in {list(REFUSED_AT_ONCE.values())!r}:\n"
        "    assert main(['side-by-side', *arguments]) == 2"
    )
    result = run("-c", program)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("\n") == len(REFUSED_AT_ONCE)


@pytest.mark.usefixtures("in_this_process")
def test_demo_exits_1_when_a_head_diverges(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With PyTorch's softmax off by one part in a thousand, the command says so and fails."""
    softmax = torch_impl.softmax

    def off(*arguments: Any) -> Any:
        return softmax(*arguments) * 1.001

    monkeypatch.setattr(torch_impl, "softmax", off)
    assert command.main(["side-by-side"]) == 1
    assert "lm_head DIVERGED breaks HEAD-1" in capsys.readouterr().out


@pytest.mark.usefixtures("in_this_process")
def test_profiles_show_where_engines_part(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--temperature", "2", "--top-p", "0.9", "--top-k", "12", "--min-p", "0.05"]
    assert command.main(["profiles", "The king", *settings]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert re.search(r"llama\.cpp +top-k 12, top-p 0\.9, min-p 0\.05, temperature 2", said)
    assert "(has no min-p)" in said
    assert command.main(["profiles", "The king", *settings, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["profiles"]
    survivors = {name: set(one["survivors"]) for name, one in found.items()}
    assert survivors["llama.cpp"] < survivors["transformers"] < survivors["sglang"] == survivors["mlx-lm"]
    assert all(min(one["probabilities"]) > 0 for one in found.values())


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["", "--top-p", "0.5"], "the prompt is empty"),
        (["I", "--top-p", "-0.5"], "p is -0.5: it must be in (0, 1]"),
        (["I", "--temperature", "nan"], "temperature is nan"),
        (["I", "--model", "no such folder"], "no such folder"),
    ],
)
def test_profiles_refuse_in_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["profiles", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("profiles: ")
    assert message in said
    assert said.count("\n") == 1


def test_walk_through(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert walk_through.main([str(bundle_folder), "--prompt", "0", "--seed", "1", "--top-k", "5"]) == 0
    printed = capsys.readouterr().out
    assert "5 survive, 2,043 become -inf" in printed
    assert re.search(r"' highness' +\d+ +-?\d+\.\d{4} +-?\d+\.\d{4} +0\.\d{6}  █{30}\n", printed)
    assert printed.count("cut\n") == 5
    assert re.search(r"multinomial +seed 1 draws ' \w+' \(id \d+, probability 0\.\d+\)", printed)
    assert max(map(len, printed.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", "99"], "prompt is 99: this bundle has prompts 0 to"),
        (["--temperature", "-1"], "temperature is -1.0"),
        (["--top-k", "0"], "k is 0"),
    ],
)
def test_walk_through_refusals(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert walk_through.main([str(bundle_folder), *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "missing", "arguments"),
    [
        ("reference", "safetensors", "'nowhere'"),
        ("weights_export", "tokenizers", "'tiny', '-o', 'nowhere'"),
        ("parity_tests", "rich", "'side-by-side'"),
        ("ports", "rich", "'check', 'reference'"),
    ],
)
def test_a_package_that_is_not_installed_is_named(module: str, missing: str, arguments: str) -> None:
    program = f"import sys; sys.modules['{missing}'] = None\nfrom {module}.__main__ import main\n"
    result = run("-c", f"{program}sys.exit(main([{arguments}]))")
    assert result.returncode in (1, 2)
    last = result.stderr.splitlines()[-1]  # on a slow machine, after lines of progress
    assert re.fullmatch(rf".*: this needs {missing}: pip install '.*' in a clone", last), result.stderr
    assert "Traceback" not in result.stderr


COMMANDS = ("reference", "weights_export", "parity_tests", "ports", "ports.atlas", "ports.vectors.generate")


@pytest.mark.parametrize("module", [*(f"{name}.__main__" for name in COMMANDS), "ports.onnx.build"])
def test_version(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--version"])
    with pytest.raises(SystemExit, match=r"^0$"):
        importlib.import_module(module).main()
    assert re.fullmatch(r"lm-head-parity \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_version_where_nothing_is_installed() -> None:
    """Python with only the folders on its path: `importlib.metadata` does not know of them."""
    program = (
        "import importlib.metadata as metadata, runpy, sys\n"
        "metadata.Distribution.from_name = lambda name: (_ for _ in ()).throw(metadata.PackageNotFoundError(name))\n"
        "sys.argv = ['command', '--version']\n"
        "runpy.run_module('reference', run_name='__main__')"
    )
    result = run("-c", program)
    assert (result.returncode, result.stdout) == (0, "lm-head-parity (not installed)\n"), result.stderr


def test_mutants_without_the_suites_tests(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Those are not installed."""
    monkeypatch.setattr(suite, "MODULES", {"softmax": "test_not_there"})
    assert command.main(["mutants"]) == 2
    assert re.fullmatch(r"mutants: .*: run it in a clone\n", capsys.readouterr().err)


def test_walk_through_without_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert walk_through.main([str(tmp_path)]) == 1
    assert "manifest.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["manifest.json", "prompts.json", "tokens.json", "head.safetensors"])
def test_walk_through_refuses_a_damaged_bundle(
    name: str, bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut short and, except for the manifest, with one bit flipped: reported in one line that names the file."""
    shutil.copytree(bundle_folder, tmp_path / "bundle")
    whole = (tmp_path / "bundle" / name).read_bytes()
    flipped = bytes([*whole[:-9], whole[-9] ^ 0x40, *whole[-8:]])
    for damaged in (whole[:-7],) if name == "manifest.json" else (whole[:-7], flipped):
        (tmp_path / "bundle" / name).write_bytes(damaged)
        assert walk_through.main([str(tmp_path / "bundle")]) == 1
        assert re.fullmatch(rf"python -m reference: .*{name} is .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--format", "npz"], "its tensors are in npz: leave out --format"),
        (["--dtype", "bfloat16"], "its embedding is bfloat16: leave out --dtype"),
        (["--head-only"], "it has no prompts: leave out --head-only"),
    ],
)
def test_walk_through_says_what_it_does_not_read(
    options: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main(["-o", str(tmp_path / "bundle"), *options]) == 0
    assert walk_through.main([str(tmp_path / "bundle")]) == 1
    assert f"is not read by this command, because {why} and export it again" in capsys.readouterr().err


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["tiny", "-o", str(tmp_path / "bundle")]) == 0
    assert "a bundle of tiny with 16 prompts" in capsys.readouterr().out
    assert export.main(["tiny", "-o", str(tmp_path / "bundle")]) == 1
    assert "exists: name a new folder" in capsys.readouterr().err
    assert export.main(["-o", str(tmp_path / "bundle"), "--head-only", "--force", "--format", "bin", "--stats"]) == 0
    printed = capsys.readouterr().out
    assert "a bundle of tiny with no contexts" in printed
    assert re.search(r"^\d+\.\d s, peak memory \d+ MB$", printed, re.MULTILINE)


def test_verify_and_show(tmp_path: Path, bundle_folder: Path) -> None:
    result = run("-m", "weights_export", "verify", str(bundle_folder))
    assert (result.returncode, result.stdout) == (0, f"{bundle_folder}: intact; logits reproduced\n")
    result = run("-m", "weights_export", "show", str(bundle_folder))
    assert result.returncode == 0, result.stderr
    for words in ("lm-head-bundle 2 of 'tiny'", "V = 2,048 tokens", "2,048 x 192", "'I do beseech your'"):
        assert words in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    shutil.copytree(bundle_folder, tmp_path / "broken")
    (tmp_path / "broken" / "tokens.json").write_text("{}")
    result = run("-m", "weights_export", "verify", str(tmp_path / "broken"))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "tokens.json has 2 bytes, the manifest says" in result.stderr


def test_reference_needs_numpy_alone() -> None:
    """Of all that is installed, `import reference` loads NumPy and the standard library."""
    program = (
        "import sys, numpy; before = set(sys.modules); import reference\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "assert new <= {'reference', 'numpy'}, new"
    )
    result = run("-c", program)
    assert result.returncode == 0, result.stderr


def test_walk_through_needs_numpy_and_safetensors_alone(bundle_folder: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'torch_impl', 'weights_export', 'parity_tests'):\n"
        "    sys.modules[name] = None\n"  # importing it fails
        "import reference.__main__ as walk_through\n"
        f"sys.exit(walk_through.main([{str(bundle_folder)!r}]))"
    )
    result = run("-c", program)
    assert result.returncode == 0, result.stderr
    assert "multinomial" in result.stdout


def test_the_head_in_pytorch_needs_no_transformers() -> None:
    assert run("-c", "import sys, torch_impl.fast; sys.exit('transformers' in sys.modules)").returncode == 0


@pytest.mark.usefixtures("in_this_process")
def test_bench_prints_tables_and_writes_pyperfs_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That it works, and what it prints; speed is not tested."""
    arguments = ["--shape", "500,16", "--batch", "1,2", "--rounds", "3", "--threads", "1"]
    written = [sys.executable, "-m", "ports.onnx.build", str(tmp_path / "head.onnx")]
    subprocess.run(written, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    arguments += ["--onnx", str(tmp_path / "head.onnx")]
    assert command.main(["bench", *arguments, "--json", str(tmp_path / "bench.json")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| reference |") == printed.count("limit: the embedding read once") == 2
    for name in (
        "fast path",
        "mirror",
        "fast mirror",
        "lesson",
        "Transformers",
        "ONNX Runtime",
        "ONNX, the whole head",
    ):
        assert re.search(rf"^\| {name} \| \d+\.\d\d \|", printed, re.MULTILINE), name
    benchmarks = json.loads((tmp_path / "bench.json").read_text())["benchmarks"]  # what pyperf compare_to reads
    named = {benchmark["metadata"]["name"]: benchmark["runs"][0]["values"] for benchmark in benchmarks}
    assert {"step, batch 1: reference", "step, batch 2: fast path", "stage, batch 1: read"} <= named.keys()
    assert all(len(values) == 3 and min(values) > 0 for values in named.values())


def test_every_sampler_draws_survivors() -> None:
    """Nothing is timed that does something else: each candidate draws among the 50 largest logits of its row."""
    best = np.argsort(np.random.default_rng(0).standard_normal((2, 300), dtype=np.float32), axis=1)[:, -50:]
    for name, draw in samplers(300, 2, 1).items():
        drawn = np.asarray(draw()).reshape(2)
        assert all(token in row for token, row in zip(drawn, best, strict=True)), name


def test_bench_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from .. import bench

    about = {"shape": "tiny", "batch": "1", "threads": 1, "rounds": 1, "line": "", "onnx": None}
    for wrong in ({"shape": "huge"}, {"batch": "0"}, {"shape": "5,0"}, {"batch": "one"}, {"rounds": 0}):
        assert bench.main(argparse.Namespace(**{**about, **wrong})) == 2
        assert re.fullmatch(r"bench: .*--shape is gpt2, .*\n", capsys.readouterr().err)
    assert bench.main(argparse.Namespace(**{**about, "onnx": Path("gone.onnx")})) == 2
    assert capsys.readouterr().err == "bench: --onnx gone.onnx: No such file or directory\n"


def test_readme_python_runs() -> None:
    """Every Python block of the README, top to bottom, in one session; `>>>` results compared."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", None, 0)
    if not local_stream_is_mt19937():
        test.examples = [example for example in test.examples if "torch.multinomial" not in example.source]
    assert test.examples
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.failed == 0
