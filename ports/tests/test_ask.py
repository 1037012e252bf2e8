"""`ports ask`: right servers pass, each wrong one is caught and named, in 20 runs of 20."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ports.ask import conduct, plan, statistics
from ports.ask.client import CannotAskError, SpentError
from ports.ask.findings import FOLLOWED, IGNORED, OTHER, REFUSED, UNCHECKED, Report
from ports.ask.interview import interview
from ports.ask.judge import judge
from ports.ask.predict import predict
from ports.ask.rejection import EACH, power
from ports.ask.reply import Choice, choices
from ports.ask.report import conclusion
from ports.ask.row import Row, row
from reference.profiles import PROFILES

from .asked_servers import ALWAYS, NOTHING, Server

RUNS = 20
# Each mistake, and what must be said of which parameter.
WRONG = {
    "temperature ignored": ("temperature", IGNORED, "at temperature"),
    "top_k ignored": ("top_k", IGNORED, "at top_k"),
    "top_p ignored": ("top_p", IGNORED, "at top_p"),
    "min_p ignored": ("min_p", IGNORED, "at min_p"),
    "top_k one more": ("top_k", OTHER, "one more token than it says"),
    "top_k one fewer": ("top_k", OTHER, "one fewer token than it says"),
    "seed ignored": ("seed", IGNORED, "of 10 draws repeat"),
    "seed shared by rows": ("rows", OTHER, "one seed for all"),
    "log-probabilities processed": ("log-probabilities", OTHER, "processed: after the temperature and after the"),
    "greedy that samples": ("temperature 0", OTHER, "are not the most probable token"),
    "a neighbour's parameters": ("neighbours", OTHER, "greedy rows change beside drawn ones"),
    "always greedy": ("frequencies", OTHER, "it does not sample"),
    "a hidden temperature": ("frequencies", OTHER, "as if temperature were 0."),
}
# What else such a mistake shows in, besides the finding that names it.
ALSO = {
    "temperature ignored": {"temperature 0"},
    "top_k ignored": {"top_k 1"},
    "top_k one more": {"top_k 1"},
    "a hidden temperature": {"temperature", "top_k", "top_p", "min_p", "top_k and top_p", "min_p and top_p"},
}


ALIKE = {"transformers", "openvino-genai"}  # but for ties and exact sums


def asked(server: Server, wanted: str | None = None) -> Report:
    return judge(interview(server, "tiny"), requests=server.asked, wanted=wanted)


def words(report: Report) -> dict[str, str]:
    return {finding.parameter: finding.word for finding in report.findings}


@pytest.mark.parametrize(
    ("rule", "refuses"),
    [
        ("vllm", NOTHING),
        ("transformers", NOTHING),
        ("sglang", NOTHING),
        ("openvino-genai", NOTHING),
        ("llama.cpp", NOTHING),
        ("mlx-lm", NOTHING),
        ("onnxruntime-genai", {"min_p": ALWAYS}),
        ("ctranslate2", {"min_p": ALWAYS, "n": 1}),
    ],
)
def test_right_servers_pass(rule: str, refuses: Mapping[str, int]) -> None:
    for salt in range(RUNS // 2):
        report = asked(Server(rule, salt=salt, refuses=refuses))
        assert report.status == 0, report.deviations
        assert rule in report.profiles
        assert report.asked <= 400
        others = {"vllm", *ALIKE} if "min_p" in refuses else ALIKE if rule in ALIKE else set()
        same = {"onnxruntime-genai", "ctranslate2", "sglang"} if "min_p" in refuses else set()
        assert set(report.profiles) <= {rule} | others | same
        expected = {name: (REFUSED if name in refuses else FOLLOWED) for name in ("top_k", "min_p", "seed")}
        assert expected.items() <= words(report).items()


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_servers_are_caught_and_named(wrong: str) -> None:
    parameter, word, detail = WRONG[wrong]
    for salt in range(RUNS):
        report = asked(Server(wrong=wrong, salt=salt))
        assert report.status == 1
        found = {finding.parameter: finding for finding in report.deviations}
        assert found[parameter].word == word
        assert detail in found[parameter].detail
        assert set(found) <= {parameter} | ALSO.get(wrong, set())
        if word == IGNORED and parameter != "seed":
            assert report.but == [parameter]
            assert "vllm" in report.profiles


@pytest.mark.parametrize("wrong", ["top_p first", "filters first"])
def test_a_filter_before_the_temperature_is_named(wrong: str) -> None:
    """All filters before it is what llama.cpp does; only top_p, what no engine does."""
    for salt in range(RUNS):
        report = asked(Server(wrong=wrong, salt=salt), "vllm")
        assert report.status == 1
        assert "top_p and temperature" in report.excluded["vllm"]
        details = {finding.parameter: finding.detail for finding in report.findings}
        assert "top_p before the temperature" in details["top_p and temperature"]
        where = "before" if wrong == "filters first" else "after"
        assert f"min_p {where} the temperature" in details["min_p and temperature"]
        assert not asked(Server(wrong="top_p first", salt=salt)).profiles


def test_every_mistake_of_a_profile_is_another_profile() -> None:
    for wanted, rule in itertools.permutations(["vllm", "transformers", "sglang", "llama.cpp", "mlx-lm"], 2):
        report = asked(Server(rule), wanted)
        assert (report.status, report.profiles) == (1, [])


def test_log_probabilities_may_be_meant_to_be_processed() -> None:
    for wrong, processed in itertools.product(["", "log-probabilities processed"], [False, True]):
        report = judge(interview(Server(wrong=wrong), "tiny"), processed=processed)
        assert report.status == (bool(wrong) != processed)


def test_few_log_probabilities_leave_things_unchecked_and_nothing_wrong() -> None:
    assert asked(Server(most=5)).status == 0
    report = asked(Server(most=3))
    assert report.status == 0
    assert report.tokens == 3
    assert set(words(report).values()) == {FOLLOWED, UNCHECKED}
    assert words(asked(Server(wrong="temperature ignored", most=5)))["temperature"] == IGNORED


def test_powers_are_those_of_simulated_draws() -> None:
    """How often draws by a group's other rules are rejected, beside what is stated."""
    asked_of = interview(Server(), "tiny")
    random = np.random.default_rng(0)
    for group in asked_of.groups[1:]:
        due, *others = (predict(group.row, rule(group.settings)) for rule in group.rules.values())
        for actual in others:
            if not due.exact:
                continue
            counts = random.multinomial(group.size, actual.probs / actual.probs.sum(), size=40)
            rejected = sum(statistics.p_value(row, due.probs) <= EACH for row in counts)
            stated = power(group.size, due, actual)
            assert stats.binom.cdf(rejected, 40, stated) > 1e-6, (group.name, stated, rejected)


def test_rows_that_are_alike_by_chance_are_not_called_wrong() -> None:
    """Of the ways in which eight requests of four rows can be alike, those put down to chance are those counted."""
    for parts in _partitions(8, 8):
        requests = [[str(i)] * 4 for i, part in enumerate(parts) for _ in range(part)]
        by_chance = conduct._alike_by_chance(requests) > EACH
        assert by_chance == (len(parts) <= 2 or max(parts) >= 6), parts


def _partitions(n: int, largest: int) -> list[list[int]]:
    if n == 0:
        return [[]]
    return [[first, *rest] for first in range(min(n, largest), 0, -1) for rest in _partitions(n - first, first)]


def test_the_g_test_is_exact() -> None:
    """Never below the probability that enumeration gives, and hardly above it."""
    due, n = np.array([0.5, 0.3, 0.2]), 12
    outcomes = [c for c in itertools.product(range(n + 1), repeat=3) if sum(c) == n]
    chances = np.array([stats.multinomial.pmf(c, n, due) for c in outcomes])
    distances = np.array([sum(o * math.log(o / (n * p)) for o, p in zip(c, due, strict=True) if o) for c in outcomes])
    for counts, distance in zip(outcomes, distances, strict=True):
        exact = chances[distances >= distance - 1e-9].sum()
        near = chances[distances >= distance - 3 * statistics.LARGEST / statistics.BINS - 1e-9].sum()
        assert exact - 1e-14 <= statistics.p_value(np.array(counts), due) <= near + 1e-14  # 1 less a sum
    level, actual = 1e-3, np.array([0.1, 0.2, 0.7])
    rejected = [statistics.p_value(np.array(c), due) <= level for c in outcomes]
    true = float(sum(stats.multinomial.pmf(c, n, actual) for c, r in zip(outcomes, rejected, strict=True) if r))
    assert 0.9 * true <= statistics.power(n, due, actual, level) <= true * (1 + 1e-9)


def test_what_cannot_be_drawn_is_rejected_at_once() -> None:
    due = np.array([0.5, 0.5, 0.0])
    assert statistics.p_value(np.array([50, 50, 1]), due) == 0
    assert statistics.p_value(np.zeros(3), due) == 1
    assert statistics.power(0, due, np.array([1.0, 0.0, 0.0]), 0.01) == 0


def test_predictions_hold_for_every_way_to_spread_the_rest() -> None:
    """What is sure of a row's known tokens is what the whole distribution gives, however long its tail."""
    random = np.random.default_rng(1)
    for tail in (30, 3_000):
        known = np.sort(random.dirichlet(np.ones(12)) * 0.7)[::-1]
        rest = np.minimum(random.dirichlet(np.ones(tail)) * 0.3, known[-1])
        whole = np.concatenate([known, rest])
        full = Row("", tuple(map(str, range(len(whole)))), tuple(np.log(whole / whole.sum())))
        part = Row("", full.tokens[:12], full.logprobs[:12])
        for name in list(plan.SIZES)[1:]:
            for settings in list(plan._candidates(part, name))[::9]:
                for rule in plan.rules_of(name).values():
                    short, long = predict(part, rule(settings)), predict(full, rule(settings))
                    if short.sure:
                        assert np.array_equal(short.probs[:-1] > 0, long.probs[:12] > 0)
                        others = long.probs[12:].sum()
                        assert others <= short.probs[-1] + 1e-9
                        if short.exact:
                            assert others == pytest.approx(short.probs[-1], abs=1e-9)


def test_tokens_that_cannot_be_recognised_end_a_row() -> None:
    top = {"a": -1.0, "b": -2.0, "\ufffd": -2.5, "c": -3.0}
    assert row("", top).tokens == ("a", "b")
    assert row("", {"a": -1.0, "</s>": -2.0, "b": -3.0}).tokens == ("a",)
    assert row("", {"a": -1.0, "b": -2.0, "drawn": -9.0}, "drawn").tokens == ("a", "b")


def test_tokens_of_another_tokenizer_cannot_be_judged() -> None:
    known = Row("", ("x1", "y2", "z3"), tuple(np.log([0.5, 0.3, 0.19])))
    with pytest.raises(CannotAskError, match="are not those of a copy of the model's log-probabilities"):
        judge(interview(Server(), "tiny", lambda prompt: known))


def test_a_budget_that_runs_out_leaves_the_rest_unchecked() -> None:
    class Ending(Server):
        def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
            if self.asked == 150:
                raise SpentError("300 seconds")
            return super().complete(body)

    for wrong, status in (("", 0), ("temperature ignored", 1)):
        report = asked(Ending(wrong=wrong))
        assert (report.status, report.spent) == (status, "300 seconds")
        assert words(report)["temperature"] == (IGNORED if wrong else FOLLOWED)
        assert {finding.detail for finding in report.findings if finding.word == UNCHECKED} == {"300 seconds"}
        assert "300 seconds were used up: what is not checked was not asked" in conclusion(report)


def test_forms_of_log_probabilities() -> None:
    usual = {"tokens": [" a"], "top_logprobs": [{" a": -0.5, " b": -1.5, " c": None, " d": -99999.0}]}
    listed = [{"token": " a", "logprob": -0.5}, {"token": " b", "logprob": -1.5}]
    chat = {"content": [{"token": " a", "logprob": -0.5, "top_logprobs": listed}]}
    for form in (usual, chat):
        assert choices({"choices": [{"text": " a", "logprobs": form}]}) == [Choice(" a", {" a": -0.5, " b": -1.5})]
    assert choices({"choices": [{"text": " a", "logprobs": None}]}) == [Choice(" a", {})]
    twice = [{"token": "?", "logprob": math.log(0.25)}] * 2
    (choice,) = choices({"choices": [{"text": "?", "logprobs": {"content": [{"token": "?", "top_logprobs": twice}]}}]})
    assert choice.top == {"?": pytest.approx(math.log(0.5))}
    ordered = choices({"choices": [{"text": "b", "index": 1}, {"text": "a", "index": 0}]})
    assert [choice.token for choice in ordered] == ["a", "b"]
    wrong: list[dict[str, Any]] = [{}, {"choices": []}, {"choices": [{"logprobs": {}}]}]
    for answer in (*wrong, {"choices": [{"text": "", "logprobs": [1]}]}):
        with pytest.raises(CannotAskError):
            choices(answer)


def test_a_small_budget_is_refused_or_asks_less() -> None:
    server = Server()
    server.budget = 100
    with pytest.raises(CannotAskError, match="100 requests are too few"):
        interview(server, "tiny")
    for budget in (180, 250):
        server = Server()
        server.budget = budget
        assert asked(server).status == 0
        assert server.asked <= budget


def test_all_profiles_are_told_or_named_together() -> None:
    report = asked(Server())
    assert set(report.excluded) | set(report.lacking) | {"vllm"} == set(PROFILES)


def test_the_nearest_engine_has_what_the_server_follows() -> None:
    """CTranslate2 has no min_p, so nothing that it does with min_p speaks against it."""
    report = asked(Server("llama.cpp", wrong="top_k one more"))
    assert report.nearest == "llama.cpp"
    assert report.lacking["ctranslate2"] == "min_p"
    assert "behaves as: no engine known here; the nearest is llama.cpp" in conclusion(report)
