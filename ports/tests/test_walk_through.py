"""`python -m reference` on a bundle of version 3."""

import re
from pathlib import Path

import pytest

import reference
from ports.checker.made_bundles import Made
from reference import __main__ as walk_through
from weights_export.output_layer import Norm, OutputLayer


def test_walk_through_of_another_family(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bias, scale and cap have a line of their own, and are in the logits; where there are no tokens, ids are shown."""
    layer = OutputLayer(Norm("rms_norm", 1e-6), multiplier=0.75, divisor=3.0, cap=12.0)
    made = Made("", biased=True, tokens=False, output_layer=layer)
    made.write(tmp_path / "made")
    assert walk_through.main([str(tmp_path / "made")]) == 0
    printed = capsys.readouterr().out
    logits = reference.finish_logits(reference.compute_logits(made.context[0], made.embedding), **made.finish)
    said = "plus a bias, times 0.75, divided by 3, capped at ±12"
    assert f"\nfinish_logits    {said}: from {logits.min():.2f} to {logits.max():.2f}\n" in printed
    best = int(logits.argmax())
    assert re.search(rf"^#{best} +{best} +{logits[best]:.4f} ", printed, re.MULTILINE)
    Made("", output_layer=OutputLayer(None)).write(tmp_path / "plain")
    assert walk_through.main([str(tmp_path / "plain")]) == 0
    assert "finish_logits" not in capsys.readouterr().out
    text = (tmp_path / "made" / "manifest.json").read_text("utf-8")
    for was, becomes in (('"cap": 12', '"cap": 13'), ('"version": 3', '"version": 4')):
        assert was in text
        (tmp_path / "made" / "manifest.json").write_text(text.replace(was, becomes), "utf-8")
        assert walk_through.main([str(tmp_path / "made")]) == 1
        assert "is not the manifest of a bundle" in capsys.readouterr().err
