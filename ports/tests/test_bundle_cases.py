"""Bundles in the check: every kind is read, damaged ones are refused, and what goes wrong there gets its name."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import reference
from parity_tests.heads import REFERENCE, Head
from parity_tests.mutants import MUTANTS
from parity_tests.verdict import Word
from ports.checker import damaged_bundles, made_bundles
from ports.checker.bundle_diagnosis import STREAMS
from ports.checker.check import Plan, check
from ports.checker.diagnosis import head_for
from ports.checker.port import NoPortError, from_command
from ports.checker.process import Process
from ports.tests.whole import Whole
from ports.tests.whole import opened as read
from weights_export.bundle import Bundle, open_bundle
from weights_export.errors import BundleError

NORM = ("final_norm.weight", "final_norm.bias")
BUNDLES = Plan(examples=0, sizes=False)
ON_BUNDLES = ("open_bundle", "step", "sequence", "softmax")


def mistake(whole: Whole, op: str) -> str:
    """What the check takes for the mistake of a port that fails at this operation."""
    report = check(whole.port(*ON_BUNDLES), BUNDLES)
    assert op in {failure.operation for failure in report.failures}, "not caught"
    return report.mistakes[op]


def test_a_whole_port_conforms() -> None:
    report = check(Whole().port(), BUNDLES)
    assert report.status == 0, report.failures
    counts = {op: counts for op, counts, _ in report.rows()}
    assert counts["open_bundle"][Word.IDENTICAL] == 1 + len(made_bundles.GOOD)
    assert counts["open_bundle"][Word.REFUSED] == len(damaged_bundles.DAMAGED) + len(damaged_bundles.UNDEFINED)
    assert counts["sequence"][Word.IDENTICAL] >= 10
    assert report.seen.sizes["V"] >= 2_048


@pytest.mark.parametrize("versions", [(2,), (3,)])
def test_a_port_that_reads_one_version(versions: tuple[int, ...], tmp_path: Path) -> None:
    """It is asked about bundles of that version, and must refuse those of the other."""

    def of_these_versions(path: str) -> Any:
        if open_bundle(Path(path)).manifest["version"] not in versions:
            raise BundleError("a version that this port does not read")
        return read(path)

    report = check(Whole(opened=of_these_versions).port(versions=versions), BUNDLES)
    assert report.status == 0, report.failures
    opened = report.rows()[[op for op, *_ in report.rows()].index("open_bundle")][1]
    kinds = [kind for kind in made_bundles.GOOD.values() if kind.version in versions]
    assert opened[Word.IDENTICAL] == len(kinds) + (2 in versions)  # the embedded bundle is of version 2
    assert opened[Word.NOT_CHECKED] == (2 not in versions)
    too_many = check(Whole().port(versions=versions), BUNDLES)
    assert [failure.case for failure in too_many.failures] == [f"a bundle with version {5 - versions[0]}"]
    assert too_many.mistakes["open_bundle"].endswith("a version that hello does not list is read all the same")


@pytest.mark.parametrize("versions", [3, [], [1], [2.0], [True], ["2"]])
def test_versions_that_are_none(versions: Any) -> None:
    hello = {"protocol": 1, **dict.fromkeys(("name", "version", "language"), ""), "dtypes": ["float32"], "ties": []}
    reply = {"seq": 1, "result": {**hello, "operations": ["softmax"], "bundle_versions": versions}}
    with pytest.raises(NoPortError, match=r"bundle_versions is .*: it must be a list of versions from 2, 3"):
        from_command(Process([sys.executable, "-c", f"input(); print({json.dumps(reply)!r})"]))


@pytest.mark.parametrize("kind", made_bundles.GOOD)
def test_made_bundles_are_bundles(kind: str, tmp_path: Path) -> None:
    """The reader of this project takes them, and their logits are those of their numbers."""
    made = made_bundles.GOOD[kind]
    made.write(tmp_path / "made")
    bundle = open_bundle(tmp_path / "made")
    bundle.verify()
    np.testing.assert_array_equal(bundle.embedding, made.embedding)
    if not made.contexts:
        return
    bundle.reproduce()
    np.testing.assert_array_equal(bundle.context, made.context)
    weights = [bundle._array(name) if name in bundle._tensors else None for name in NORM]
    np.testing.assert_array_equal(bundle.output_layer.normed(bundle.block_output, *weights), bundle.context)


@pytest.mark.parametrize("versions", [(2,), (3,), (2, 3)])
def test_damaged_bundles_are_refused_by_our_reader(versions: tuple[int, ...], tmp_path: Path) -> None:
    for number, (what, write) in enumerate(damaged_bundles.refusals(versions)):
        write(tmp_path / str(number))
        if what.startswith("version"):  # intact, and of a version that the port does not list
            open_bundle(tmp_path / str(number)).verify()
            continue
        with pytest.raises(ValueError, match=r"manifest|sha256|bytes|missing"):
            open_bundle(tmp_path / str(number)).verify()


def unverified(path: str) -> Any:
    with mock.patch.object(Bundle, "verify"):
        return read(path)


def with_padding(path: str) -> Any:
    context, embedding, finish = read(path)
    padding = open_bundle(Path(path)).manifest["embedding_rows"] - len(embedding)
    return context, np.concatenate([embedding, np.full((padding, embedding.shape[1]), 99, np.float32)]), finish


def padding_in_place_of_tokens(path: str) -> Any:
    context, embedding, finish = read(path)
    padding = open_bundle(Path(path)).manifest["embedding_rows"] - len(embedding)
    if padding:
        embedding[len(embedding) - padding :] = 99 * context[0]
    return context, embedding, finish


def float16_as_bfloat16(path: str) -> Any:
    context, embedding, finish = read(path)
    if open_bundle(Path(path)).manifest["dtype"] == "float16":
        embedding = (embedding.astype(np.float16).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return context, embedding, finish


@pytest.mark.parametrize(
    ("opened", "op", "name"),
    [
        (unverified, "open_bundle", "looks like: the files' sha256 is not checked"),
        (with_padding, "open_bundle", "looks like: padding rows are scored as tokens"),
        (padding_in_place_of_tokens, "step", "looks like: padding rows are scored as tokens"),
        (float16_as_bfloat16, "step", "looks like: float16 numbers are misread"),
    ],
)
def test_a_misread_bundle(opened: Callable[[str], Any], op: str, name: str) -> None:
    assert mistake(Whole(opened=opened), op).startswith(name)


def near_one_is_one(context: Any, embedding: Any, temperature: float = 0.7, k: int = 50) -> Any:
    return reference.lm_head(context, embedding, 1.0 if abs(temperature - 1) < 0.05 else temperature, k)


def in_float32(probs: Any, uniform: Any) -> Any:
    rounded = np.asarray(uniform).astype(np.float32).astype(np.float64)
    return reference.inverse_cdf(probs, np.minimum(rounded, 1 - 2.0**-53))


def wrong(name: str) -> Head:
    """The head with this mutant."""
    mutant = next(mutant for mutant in MUTANTS if str(mutant) == name)
    return mutant.head if mutant.stage in ("inverse_cdf", "finish_logits") else head_for(mutant, "lm_head")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (REFERENCE.but("near one", lm_head=near_one_is_one), "not recognised"),
        (REFERENCE.but("float32 uniform", inverse_cdf=in_float32), "looks like: the uniform rounded to float32"),
        (wrong("inverse_cdf-float32_sum"), "looks like: the running sum kept in float32"),
        (wrong("keep_top_k-threshold"), "looks like: every token tied with the k-th survives"),
        (wrong("softmax-base_two"), "looks like: 2 ** x in place of exp(x)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_step(head: Head, name: str) -> None:
    assert name in mistake(Whole(head), "step").split(" or ")


@pytest.mark.parametrize(
    "name",
    [
        "bias_forgotten",
        "bias_after_the_scale",
        "bias_after_the_cap",
        "scale_forgotten",
        "scale_inverted",
        "one_scale_of_two",
        "cap_forgotten",
        "cap_before_the_scale",
        "cap_by_clipping",
        "cap_of_30",
        "times_tanh",
    ],
)
def test_a_wrong_finish(name: str) -> None:
    """Told apart by the bundles of version 3, in steps and in sequences."""
    mutant = next(mutant for mutant in MUTANTS if str(mutant) == f"finish_logits-{name}")
    report = check(Whole(mutant.head).port(*ON_BUNDLES), BUNDLES)
    assert report.mistakes["step"] == f"looks like: {mutant.looks_like}"
    assert mutant.looks_like in report.mistakes["sequence"]


@pytest.mark.parametrize("name", STREAMS)
def test_a_wrong_stream(name: str) -> None:
    assert mistake(Whole(noise=STREAMS[name]), "sequence") == f"looks like: {name}"
