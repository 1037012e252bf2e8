"""Cases that engines publish in their own tests come out as published, under each engine's profile.

`published/*.json` holds values from the tests of llama.cpp, mlx-lm and Transformers, and says which of their cases are
left out and why. Their tests allow 1e-5, 4 decimals or 1e-3. Here the survivors must be the published ones, and a
published number must be ours rounded to as many decimals as are printed: at most half a unit of the last one away,
besides the bound of the softmax.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reference
import torch_impl
from reference import bounds
from reference.pipeline import Step
from reference.profiles import PROFILES

spec = pytest.mark.spec
FOLDER = Path(__file__).with_name("published")
FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
COUNTS = {"llama_cpp": 77, "mlx_lm": 23, "transformers": 48}
CASES = [
    pytest.param(file, case, id=f"{name}-{i}") for name, file in FILES.items() for i, case in enumerate(file["cases"])
]
Process = Callable[..., np.ndarray]


def in_torch(logits: np.ndarray, steps: list[Step], history: Any, prompt_length: int, uniform: Any) -> np.ndarray:
    """`torch_impl.process` on arrays."""
    return torch_impl.process(torch.from_numpy(logits), steps, torch.tensor(history), prompt_length, uniform).numpy()


def logits_of(case: dict[str, Any]) -> np.ndarray:
    """The logits of a case, `(V,)`."""
    with np.errstate(divide="ignore"):
        if "ln_of_ids" in case:
            return np.log(np.arange(case["ln_of_ids"], dtype=np.float32))
        if "probs" in case:
            return np.log(np.array(case["probs"], np.float32))
    return np.array(case["logits"] if "logits" in case else [1 / case["equal"]] * case["equal"], np.float32)


def survivors_of(case: dict[str, Any]) -> list[int] | None:
    """The ids that are left, where they are published."""
    if "from" in case:
        return list(range(case["from"], case["to"] + 1))
    if "falls" in case:
        return [i for i in range(case["equal"]) if i not in case["falls"]]
    return case.get("survivors")


def decimals(numbers: list[float], least: int) -> int:
    """How many decimals are printed: those of the number with the most, and at least as many as its file prints."""
    return max(least, *(-int(Decimal(repr(number)).as_tuple().exponent) for number in numbers))


def test_all_of_them_are_here() -> None:
    assert {name: len(file["cases"]) for name, file in FILES.items()} == COUNTS
    for file in FILES.values():
        assert file["source"].startswith("values from ")
        assert all(file["left_out"].values())


@spec("PIPE-1", "PIPE-2", "PIPE-3")
@pytest.mark.parametrize("process", [reference.process, in_torch], ids=["reference", "torch_impl"])
@pytest.mark.parametrize(("file", "case"), CASES)
def test_as_published(file: dict[str, Any], case: dict[str, Any], process: Process) -> None:
    settings = case["settings"] if isinstance(case["settings"], list) else [case["settings"]]
    steps = [step for each in settings for step in PROFILES[file["profile"]].steps(**each)]
    logits, history = logits_of(case), np.array(case.get("history", []), np.int64)
    given: dict[str, Any] = {
        "history": history,
        "prompt_length": case.get("prompt_length", len(history)),
        "uniform": np.array(0.0),
    }
    found = process(logits, steps, **given)
    kept = np.flatnonzero(found > -np.inf).tolist()
    if (due := survivors_of(case)) is not None:
        # llama.cpp counts a token of logit -inf among those that are left. It cannot be drawn, so here it is none.
        assert kept == [i for i in due if logits[i] > -np.inf]
    off = 2 * bounds.unit_roundoff("float32") * np.abs(np.where(np.isfinite(found), found, 0))
    if "probabilities" in case:
        published, ours = np.array(case["probabilities"]), reference.softmax(found.astype(np.float64))
        printed = 0.5 * 10.0 ** -decimals(case["probabilities"], file["decimals"])
        assert (np.abs(ours - published) <= printed + bounds.softmax(found, "float32", off)).all(), ours
    if "after" in case:
        printed = 0.5 * 10.0 ** -decimals(case["after"], file["decimals"])
        assert (np.abs(found - np.array(case["after"])) <= printed + off).all(), found
    if "largest" in case:
        before, after = reference.softmax(logits), reference.softmax(found)
        assert (after.max() > before.max()) == (case["largest"] == "more")
        assert (after.min() > before.min()) == (case["smallest"] == "more")
