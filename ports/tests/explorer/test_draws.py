"""The explorer draws the reference's tokens, and goes on in their stream."""

import numpy as np
import pytest

import reference
from reference import bounds
from weights_export import Bundle

from .view import SETTLED, View, f32, probabilities

spec = pytest.mark.spec


@spec("DRAW-1", "RNG-1", "RNG-3")
def test_seeded_draws_are_the_reference_s(view: View, bundle: Bundle) -> None:
    probs = reference.lm_head(np.array(bundle.context[0]), np.array(bundle.embedding))
    seeds = [*range(96), 2**32, -1, 2**64 - 1, -(2**63)]
    shown = view.page.evaluate(
        f"""async (seeds) => {{
          const box = document.getElementById("seed");
          const shown = [];
          for (box.value of seeds) {{
            box.dispatchEvent(new Event("input", {{ bubbles: true }}));
            await ({SETTLED})();
            const {{ seed, drawn }} = document.getElementById("stage-draw").dataset;
            shown.push([seed, drawn, document.querySelector("#race tbody tr").dataset.id]);
          }}
          return shown;
        }}""",
        [str(seed) for seed in seeds],
    )
    tokens = [reference.multinomial(probs, rng=reference.TorchGenerator(seed))[0] for seed in seeds]
    assert shown == [[str(seed), str(token), str(token)] for seed, token in zip(seeds, tokens, strict=True)]
    assert len(set(tokens)) > 10


@spec("DRAW-1", "RNG-2", "PIPE-1")
def test_what_falls_is_not_drawn_and_a_change_of_a_filter_starts_again(view: View, bundle: Bundle) -> None:
    settings = (1.5, 40, 0.5, 0.3, "sglang")
    probs, _ = probabilities(bundle, 7, *settings)
    rng = reference.TorchGenerator(2)
    tokens = [int(reference.multinomial(probs, rng=rng)[0]) for _ in range(1001)]
    view.set(prompt=7, seed=2, **dict(zip(("temperature", "k", "top_p", "min_p", "order"), settings, strict=True)))
    assert view.data("stage-draw")["drawn"] == str(tokens[0])
    view.press("draw-1000")
    view.wait_for_draws(1001)
    assert view.data("stage-draw")["drawn"] == str(tokens[-1])
    drawn = {int(row["id"]): int(row["count"]) for row in view.rows("counts")}
    assert drawn == {token: tokens.count(token) for token in drawn}
    assert set(drawn) == set(np.flatnonzero(probs))
    assert len(drawn) > 3
    for box, value in (("top_p", 0.7), ("min_p", 0.06), ("order", "mlx-lm")):
        view.press("draw")
        view.type(box, str(value))
        assert view.data("stage-draw")["draws"] == "1"


@spec("DRAW-1", "RNG-2", "RNG-5")
def test_draws_go_on_in_the_stream_and_are_counted(view: View, bundle: Bundle) -> None:
    probs = reference.lm_head(np.array(bundle.context[3]), np.array(bundle.embedding), temperature=1.2, k=40)
    rng = reference.TorchGenerator(11)
    tokens = [int(reference.multinomial(probs, rng=rng)[0]) for _ in range(1003)]
    view.set(prompt=3, temperature=1.2, k=40, seed=11)
    for n in (1, 2, 3):
        assert view.data("stage-draw")["drawn"] == str(tokens[n - 1])
        assert view.data("stage-draw")["draws"] == str(n)
        view.press("draw")
        view.wait_for_draws(n + 1)
    view.press("restart")
    view.wait_for_draws(1)
    view.press("draw")
    view.press("draw")
    view.press("draw-1000")
    view.wait_for_draws(1003)
    assert view.data("stage-draw")["drawn"] == str(tokens[-1])
    counts = np.bincount(tokens, minlength=len(probs))
    rows = view.rows("counts")
    assert len(rows) == 12
    _, bound = probabilities(bundle, 3, 1.2, 40)
    for row in rows:
        token = int(row["id"])
        assert int(row["count"]) == counts[token]
        assert abs(float(row["expected"]) - 1003 * float(probs[token])) <= 1003 * bound[token]
    noise = reference.TorchGenerator(11).standard_exponential((1003, len(probs)), f32)[-1]
    reach = bounds.race(probs, noise, "float32", bound) + bounds.race(probs, noise, "float64")
    for row in view.rows("race"):
        token = int(row["id"])
        assert f32(row["noise"]) == noise[token]
        assert abs(float(row["race"]) - float(probs[token]) / float(noise[token])) <= reach[token]
