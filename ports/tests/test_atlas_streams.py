"""What runtimes drew from a seed, as the atlas recorded it, `draw_as` draws; what is installed draws it again."""

from typing import Any

import numpy as np
import pytest

import reference
import torch_impl
from parity_tests.heads import on_tensors
from parity_tests.local_torch_rng import OTHER_STREAM, local_stream_is_mt19937
from ports.atlas import streams
from reference.streams import STREAMS

from .c_and_js import tool

spec = pytest.mark.spec
RULES = [stream.rule for stream in STREAMS.values()]


@spec(*RULES)
@pytest.mark.parametrize("runtime", STREAMS)
def test_every_recorded_token_is_drawn(runtime: str) -> None:
    record = streams.load()[runtime]
    assert list(record["tokens"]) == [str(seed) for seed in streams.SEEDS]
    drawn = {seed: list(map(int, text.split())) for seed, text in record["tokens"].items()}
    assert sum(map(len, drawn.values())) == len(streams.SEEDS) * streams.DRAWS >= 1_000
    probs = np.tile(streams.PROBS, (streams.DRAWS, 1))
    for seed, tokens in drawn.items():
        for head in (reference.draw_as, on_tensors(torch_impl.draw_as)):
            assert head(probs, runtime, int(seed)).tolist() == tokens
    assert streams.same(runtime, record) == len(streams.SEEDS) * streams.DRAWS


@spec(*RULES)
@pytest.mark.parametrize("runtime", STREAMS)
def test_a_runtime_that_is_installed_draws_them_again(runtime: str) -> None:
    if runtime in ("llama2.c", "llm.c"):
        tool("gcc", "gcc")
    if runtime == "nanochat" and not local_stream_is_mt19937():
        pytest.skip(OTHER_STREAM)
    try:
        found = streams.ask(runtime)
    except ImportError as error:
        if runtime in ("numpy", "nanochat"):
            raise
        pytest.skip(f"{runtime} is not installed here: {error}")
    assert found["tokens"] == streams.load()[runtime]["tokens"]


@spec("STREAM-2")
def test_llama_cpp_takes_a_number_for_a_single_token() -> None:
    ks = [64, 1, 5] * 200
    probs = reference.softmax(np.stack([reference.keep_top_k(streams.LOGITS, k) for k in ks]))
    try:
        _, tokens = streams.llama_cpp_after(42, ks)
    except ImportError as error:
        pytest.skip(f"llama.cpp is not installed here: {error}")
    assert reference.draw_as(probs, "llama.cpp", 42).tolist() == tokens


def test_another_stream_is_noticed() -> None:
    records: dict[str, dict[str, Any]] = streams.load()
    assert streams.same("llama.cpp", records["transformers.js"]) < 400
    assert streams.same("numpy", records["llama2.c"]) < 400


def test_the_page_says_how_many() -> None:
    rows = [line for line in streams.section() if line.startswith("| ") and " of 2,000 |" in line]
    assert len(rows) == len(STREAMS)
    assert all("| 2,000 of 2,000 |" in row for row in rows)
    page = (streams.FOLDER.parent / "ATLAS.md").read_text("utf-8")
    assert "\n".join(streams.section()) in page


def test_what_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for runtime in ("llm.c", "transformers.js"):
        with pytest.raises(ImportError, match=r"No such file or directory: '(gcc|node)'"):
            streams.ask(runtime)
