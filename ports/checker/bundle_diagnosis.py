"""The likely mistake in `open_bundle`, `step` and `sequence`: the known one that gives the very same answers.

As in `diagnosis.py`, a mistake is named only if it gives the same wrong answer to every request that fails, and gets no
request wrong that the port gets right.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import reference
from parity_tests.heads import REFERENCE, Head
from parity_tests.judges.words import BAD, Word
from parity_tests.mutants import MUTANTS, Mutant
from parity_tests.strategies import FixedNoise
from reference.operations import OPERATIONS
from weights_export.output_layer import finished

from .bundle_steps import Opened, Told, of_rows, settings_of, whole
from .damaged_bundles import MISTAKES
from .diagnosis import close_to, head_for, made_of
from .made_bundles import GOOD

BEFORE_THE_DRAW = (*made_of("lm_head"), "finish_logits")  # the stages that a step and a sequence share
Noise = Callable[[int, Sequence[int], int], Iterator[np.ndarray]]  # seed, batch of each step, V -> noise of each step


def likely_mistakes(told: list[Told]) -> dict[str, str]:
    """For each operation on bundles with failures, what its mistake looks like, in a line."""
    found = {}
    for op in dict.fromkeys(one.verdict.operation for one in told if one.verdict.word in BAD):
        asked = [one for one in told if one.verdict.operation == op and one.verdict.word != Word.NOT_CHECKED]
        text = _of_opening(asked) if op == "open_bundle" else _rounding(asked) or _known(op, asked) or _misread(asked)
        found[op] = f"looks like: {text}" if text else "not recognised"
    return found


def _of_opening(asked: list[Told]) -> str:
    """What each bundle was made to show, that was opened or refused wrongly."""
    named = []
    for one in asked:
        if one.verdict.word in BAD and "damage" in one.given:
            named.append(MISTAKES[one.given["damage"]])
        elif one.verdict.word in BAD and one.verdict.reason == "refused":
            named.append(f"a good bundle is refused ({one.given['kind']})")
        elif one.verdict.word in BAD and "kind" in one.given:
            named.append(GOOD[one.given["kind"]].about)
    return "; ".join(dict.fromkeys(named))


def _misread(asked: list[Told]) -> str:
    """The kinds of bundle on which most is wrong, if all is right on the bundles that are not made; or ""."""
    kinds: dict[str, list[bool]] = {}
    for one in asked:
        kinds.setdefault(one.opened.about if one.opened else "", []).append(one.verdict.word in BAD)
    wrong = {kind: sum(bad) / len(bad) for kind, bad in kinds.items() if any(bad)}
    if len(wrong) == len(kinds) or not wrong.keys() <= GOOD.keys():
        return ""
    return "; ".join(GOOD[kind].about for kind, part in wrong.items() if part > 0.5)


def _rounding(asked: list[Told]) -> str:
    """The rounding that the verdicts on all failures have found in the numbers themselves."""
    found = {
        one.verdict.reason.partition("(looks like ")[2].partition(", which fits")[0]
        for one in asked
        if one.verdict.word in BAD
    }
    return found.pop() if len(found) == 1 else ""


def _known(op: str, asked: list[Told]) -> str:
    """The known mistakes that give all of these answers, if a right head does not give them too."""
    if not any(one.verdict.word == Word.DIVERGED for one in asked):
        return ""
    plain = any(one.verdict.word in BAD and not _finishes(one) for one in asked)
    mutants = [mutant for mutant in MUTANTS if plain or mutant.stage != "lm_head"]
    right, candidates = (_RIGHT_STEP, _steps) if op == "step" else (_RIGHT_SEQUENCE, _sequences)
    if _explains(right, asked):
        return ""
    return " or ".join(dict.fromkeys(name for name, mistake in candidates(mutants) if _explains(mistake, asked)))


Mistake = Callable[[Told], bool]  # whether the port's answer is the one that this mistake gives


def _explains(mistake: Mistake, asked: list[Told]) -> bool:
    """Whether the mistake gives all these answers, right and wrong. Requests without an answer say nothing."""
    answered = [one for one in asked if one.actual is not None and one.verdict.word != Word.ERRORED]
    answered.sort(key=lambda one: one.verdict.word not in BAD)  # most mistakes do not explain the first failure
    with np.errstate(all="ignore"):
        return all(mistake(one) for one in answered)


def _steps(mutants: Sequence[Mutant]) -> Iterator[tuple[str, Mistake]]:
    draw = OPERATIONS["step"].parts[1]
    for mutant in mutants:
        if mutant.stage == draw:
            yield mutant.looks_like, partial(_step_of, REFERENCE, mutant.head)
        elif mutant.stage in BEFORE_THE_DRAW:
            yield mutant.looks_like, _of(mutant, partial(_step_of, head_for(mutant, "lm_head"), REFERENCE))
    ahead = REFERENCE.but("", inverse_cdf=lambda probs, uniform: reference.inverse_cdf(probs, _float32(uniform)))
    yield "the uniform rounded to float32", partial(_step_of, REFERENCE, ahead)


def _of(mutant: Mutant, mistake: Mistake) -> Mistake:
    """The mistake. A wrong whole head has no place for the finish of the logits: it is asked of the other bundles."""
    return (lambda one: _finishes(one) or mistake(one)) if mutant.stage == "lm_head" else mistake


def _finishes(one: Told) -> bool:
    return one.opened is not None and bool(one.opened.finish)


def _float32(uniform: np.ndarray) -> np.ndarray:
    return np.minimum(uniform.astype(np.float32).astype(np.float64), 1 - 2.0**-53)


def _step_of(head: Head, draw: Head, one: Told) -> bool:
    """Whether a step is what the head computes, and the walk of `draw` on the port's own probabilities."""
    given, actual = one.given, one.actual
    assert one.opened is not None
    arguments = one.opened.head(given["context"], **settings_of(given))
    try:
        probs = whole(head, **arguments)
        token = int(draw.inverse_cdf(actual["probs"], np.array(given["uniform"])))
    except Exception:
        return False
    return token == actual["token_id"] and _close(probs, actual["probs"], arguments)


def _close(ours: np.ndarray, theirs: np.ndarray, given: dict[str, Any]) -> bool:
    """Whether two rows of probabilities are as close as those of two heads that share a mistake may be."""
    if ours.shape != theirs.shape or not np.array_equal(ours > 0, theirs > 0):
        return False
    factors = given["context"], given["embedding"], given["finish"]
    error = (finished(*factors)[1] + finished(*factors, "float64")[1]) / given["temperature"]
    return bool((np.abs(ours.astype(np.float64) - theirs) <= 2 * close_to(ours, error)).all())


def _sequences(mutants: Sequence[Mutant]) -> Iterator[tuple[str, Mistake]]:
    draw = OPERATIONS["sequence"].parts[1]
    right = partial(_stream, reference.TorchGenerator)
    for mutant in mutants:
        if mutant.stage == draw:
            yield mutant.looks_like, partial(_drawn, REFERENCE, mutant.head, right)
        elif mutant.stage in OPERATIONS[draw].parts:
            yield mutant.looks_like, partial(_drawn, REFERENCE, REFERENCE, partial(_stream, mutant.function))
        elif mutant.stage in BEFORE_THE_DRAW:
            yield mutant.looks_like, _of(mutant, partial(_drawn, head_for(mutant, "lm_head"), REFERENCE, right))
    for name, noise in STREAMS.items():
        yield name, partial(_drawn, REFERENCE, REFERENCE, noise)


def _stream(generator: Any, seed: int, batches: Sequence[int], v: int) -> Iterator[np.ndarray]:
    rng = generator(seed)
    for batch in batches:
        yield rng.standard_exponential((batch, v), np.float32)


def _reseeded_with_the_step(seed: int, batches: Sequence[int], v: int) -> Iterator[np.ndarray]:
    for step, batch in enumerate(batches):
        yield reference.TorchGenerator(seed + step).standard_exponential((batch, v), np.float32)


def _one_row_for_all(seed: int, batches: Sequence[int], v: int) -> Iterator[np.ndarray]:
    rng = reference.TorchGenerator(seed)
    for batch in batches:
        yield np.repeat(rng.standard_exponential((1, v), np.float32), batch, axis=0)


def _a_stream_for_each_row(seed: int, batches: Sequence[int], v: int) -> Iterator[np.ndarray]:
    streams = [reference.TorchGenerator(seed + row) for row in range(max(batches, default=0))]
    for batch in batches:
        yield np.stack([stream.standard_exponential(v, np.float32) for stream in streams[:batch]])


def _rows_of_the_first_step(seed: int, batches: Sequence[int], v: int) -> Iterator[np.ndarray]:
    rng, most = reference.TorchGenerator(seed), max(batches, default=0)
    for batch in batches:
        yield rng.standard_exponential((most, v), np.float32)[:batch]


STREAMS: dict[str, Noise] = {
    "seeded with seed + step at every step": _reseeded_with_the_step,
    "the same noise for every row of a batch": _one_row_for_all,
    "a stream of its own for every row": _a_stream_for_each_row,
    "noise for the largest batch at every step": _rows_of_the_first_step,
}


def _drawn(head: Head, draw: Head, noise: Noise, one: Told) -> bool:
    """Whether these are the tokens that the head draws from this noise."""
    opened: Opened | None = one.opened
    assert opened is not None
    given = one.given
    settings = settings_of(given)
    batches = [len(rows) for rows in given["contexts"]]

    def probs_of(rows: list[int]) -> np.ndarray:
        return whole(head, opened.contexts[rows], opened.embedding, opened.finish, **settings)

    try:
        steps = noise(given["seed"], batches, len(opened.embedding))
        for rows, numbers, tokens in zip(given["contexts"], steps, one.actual, strict=True):
            if np.asarray(draw.multinomial(of_rows(probs_of, rows), rng=FixedNoise(numbers)))[:, 0].tolist() != list(
                tokens
            ):
                return False
    except Exception:
        return False
    return True


_RIGHT_STEP: Mistake = partial(_step_of, REFERENCE, REFERENCE)
_RIGHT_SEQUENCE: Mistake = partial(_drawn, REFERENCE, REFERENCE, partial(_stream, reference.TorchGenerator))
