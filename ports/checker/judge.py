"""Judges one implementation on one vector: `judge(case, call) -> Verdict`.

`call(op, arguments)` returns the `result` object of the protocol, with NumPy arrays for its tensors. Or it raises:

- `RefusedError` with a code for bad input. A Python head has no codes: it raises TypeError for a wrong kind and
  ValueError for a wrong value (HEAD-5).
- `SkippedError` for what the implementation does not support.
- Anything else means that there is no answer.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from parity_tests.judges.words import Verdict, Word, brief
from reference.operations import DEFAULTS, OPERATIONS

from ..vectors import Answer, Case, arguments
from .errors import BrokenError, ErroredError, SkippedError

if TYPE_CHECKING:  # at run time this would import PyTorch
    from parity_tests.heads import Head

Call = Callable[[str, dict[str, Any]], dict[str, Any]]


def judge(case: Case, call: Call, phase: str = "") -> Verdict:
    """Call the implementation once, in this process or another, and judge its answer."""
    before = case.arguments
    given = deepcopy(before)
    blank = Verdict(operation=case.op, word=Word.DIVERGED, phase=phase, case=case.about, inputs=before)
    try:
        actual: Any = call(case.op, given)
    except SkippedError as skipped:
        return replace(blank, word=Word.NOT_CHECKED, reason=str(skipped))
    except (ValueError, TypeError) as error:
        actual = error
    except Exception as error:
        return replace(blank, word=Word.ERRORED, reason=why_no_answer(error), actual=error)
    changed = [name for name, value in before.items() if not _same(value, given.get(name))]
    if changed:
        name = changed[0]
        reason = f"{name} was modified"
        return replace(blank, rule="HEAD-3", reason=reason, actual=given.get(name), expected=before[name])
    blank = replace(blank, rule=case.rule)
    verdicts = [_against(case, answer, actual, blank) for answer in case.answers]
    for place, verdict in enumerate(verdicts):
        if verdict.conforms:
            return verdict if place == 0 else replace(verdict, word=Word.TIE_BREAK)
    return verdicts[0]


def why_no_answer(error: Exception) -> str:
    """Why there is no answer: the message of the error, after its type unless the port or the protocol wrote it."""
    return str(error) if isinstance(error, (BrokenError, ErroredError)) else f"{type(error).__name__}: {error}"


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray):
        return repr(a) == repr(b)  # numbers, words and lists of them; nan, which is not equal to itself, has one repr
    return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def _against(case: Case, answer: Answer, actual: Any, blank: Verdict) -> Verdict:
    """The verdict on `actual` against one right answer, made from `blank`. A vector may have several right answers."""
    blank = replace(blank, actual=actual, expected=answer.expected)
    code = answer.expected.get("code")
    if isinstance(actual, Exception):
        return replace(blank, reason="refused") if code is None else _refusal(case, code, actual, blank)
    if code is not None:
        return replace(blank, word=Word.UNREFUSED, reason="answered what must be refused")
    fault = form_fault(actual, answer.expected)
    if fault:
        return replace(blank, word=Word.ERRORED, rule="", reason=fault)
    worst = 0.0
    for name, tensor in answer.expected.items():
        several = isinstance(tensor, list)
        if several != isinstance(actual[name], list) or (several and len(actual[name]) != len(tensor)):
            reason = f"{name} is not {f'a list of {len(tensor)} tensors' if several else 'one tensor'}"
            return replace(blank, word=Word.ERRORED, rule="", reason=reason)
        for index, found, due, dtype in _parts(actual[name], answer.tensors[name], tensor):
            verdict = _tensor(f"{name}{index}", found, due, dtype, answer.bounds.get(name), blank)
            if not verdict.conforms:
                return verdict
            worst = max(worst, verdict.ratio)
    # A good verdict is only counted, so it carries no inputs: thousands of them are kept.
    return Verdict(
        operation=case.op, word=Word.WITHIN_BOUND if worst else Word.IDENTICAL, ratio=worst, phase=blank.phase
    )


def _refusal(case: Case, code: str, actual: Exception, blank: Verdict) -> Verdict:
    found = getattr(actual, "code", None)
    if found is None:  # a Python head: only the type of the error can be compared
        found = "TypeError" if isinstance(actual, TypeError) else "ValueError"
        code = "TypeError" if wrong_kind(case) else "ValueError"
    if found == code:
        word = Word.REFUSED if case.result == "invalid" else Word.IDENTICAL
        return Verdict(operation=case.op, word=word, phase=blank.phase)
    reason = f"refused as {found}, not as {code}"
    return replace(blank, word=Word.UNREFUSED, rule="HEAD-5", reason=reason, expected=code)


def form_fault(actual: Any, expected: Iterable[str]) -> str:
    """What is wrong with the form of a result that must have these keys; "" for nothing. It breaks no rule."""
    names = list(expected)
    if not isinstance(actual, dict):
        return f"the result is {brief(actual, 60)!r}: it must be an object with {' and '.join(names)}"
    missing = [name for name in names if name not in actual]
    more = [str(name) for name in actual if name not in names]
    if missing or more:
        said = f"lacks {' and '.join(missing)}" if missing else ""
        said += " and " * bool(missing and more) + (f"has {brief(', '.join(more), 60)} too" if more else "")
        return f"the result {said}: PROTOCOL.md lists its keys"
    for name in names:
        parts = actual[name] if isinstance(actual[name], list) else [actual[name]]
        for part in parts:
            if not isinstance(part, (np.ndarray, np.generic)):
                return f"{name} is not a tensor but {brief('null' if part is None else part, 60)!r}"
    return ""


def wrong_kind(case: Case) -> bool:
    """Whether the input is of the wrong kind (TypeError in Python) rather than a wrong value (ValueError)."""
    if case.answers[0].expected.get("code") == "bad_dtype":
        return True
    given = arguments({name: value for name, value in case.inputs.items() if not isinstance(value, dict)})
    pairs = (isinstance(step, list) and len(step) == 2 and isinstance(step[1], dict) for step in given.get("steps", []))
    if not all(pairs):
        return True
    integers = [value for name, value in given.items() if name == "seed" or isinstance(DEFAULTS.get(name), int)]
    numbers = [value for name, value in given.items() if isinstance(DEFAULTS.get(name), float)]
    return any(type(value) is not int for value in integers) or any(isinstance(value, bool) for value in numbers)


def _parts(actual: Any, expected: Any, tensor: Any) -> list[tuple[str, Any, np.ndarray, str]]:
    """Each tensor, the expected one and its dtype, with an index in front if the result is a list of tensors."""
    if not isinstance(tensor, list):
        return [("", actual, expected, tensor["dtype"])]
    several = enumerate(zip(actual, expected, tensor, strict=True))
    return [(f"[{i}]", found, due, part["dtype"]) for i, (found, due, part) in several]


def _tensor(
    name: str, actual: Any, expected: np.ndarray, dtype: str, bound: np.ndarray | None, blank: Verdict
) -> Verdict:
    """The verdict on one tensor, made from `blank`. What is expected is exact, and of `dtype` only the nearest."""
    bad = replace(blank, result=name, actual=actual, expected=expected.astype(dtype))
    if actual.shape != expected.shape:
        return replace(bad, reason=f"{name} has shape {list(actual.shape)}, not {list(expected.shape)}")
    if expected.dtype == np.int64:
        if actual.dtype.kind not in "iu":
            return replace(bad, reason=f"{name} has dtype {actual.dtype}, not int64")
        return _exactly(name, actual == expected, bad)
    if actual.dtype.name != dtype:
        return replace(bad, rule="HEAD-2", reason=f"{name} has dtype {actual.dtype}, not {dtype}")
    numbers = actual.astype(np.float64)
    if bound is None:  # must be exact, including the sign of zero
        return _exactly(name, (numbers == expected) & (np.signbit(numbers) == np.signbit(expected)), bad)
    with np.errstate(invalid="ignore", divide="ignore"):
        equal = (numbers == expected) | (np.isnan(numbers) & np.isnan(expected))
        ratio = np.where(equal, 0.0, np.abs(numbers - expected) / bound)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    worst = float(ratio.max(initial=0.0))
    if worst <= 1:
        return replace(bad, word=Word.WITHIN_BOUND, ratio=worst)
    off = replace(bad, reason=f"{name} is off", ratio=worst, place=_first(ratio == worst))
    return cut_short(actual, expected, off)


def _exactly(name: str, same: np.ndarray, bad: Verdict) -> Verdict:
    if same.all():
        return replace(bad, word=Word.IDENTICAL)
    found = replace(bad, reason=f"{name} differs", ratio=np.inf, place=_first(~same))
    return cut_short(bad.actual, bad.expected, found) if bad.expected.dtype.kind == "f" else found


def cut_short(actual: np.ndarray, expected: np.ndarray, verdict: Verdict) -> Verdict:
    """`verdict`, unless the numbers are right and only written with too few digits: a fault of the harness."""
    digits = _digits(actual, expected)
    if not digits:
        return verdict
    reason = f"its numbers have {digits} digits: float32 needs 9, float64 17, or write the shortest text"
    return replace(verdict, word=Word.ERRORED, rule="", reason=reason, ratio=0.0)


def _digits(actual: np.ndarray, expected: np.ndarray) -> int:
    """To how many decimal digits `actual` was cut, if it is `expected` but for that; else 0."""
    found, due = actual.reshape(-1), expected.reshape(-1).astype(np.float64)
    if found.dtype.kind != "f" or not (np.isfinite(found) & np.isfinite(due)).all():
        return 0
    with np.errstate(over="ignore", divide="ignore"):
        if (np.signbit(found) != np.signbit(due)).any() or (found == due.astype(found.dtype)).all():
            return 0
        for digits in range(4, 9):
            short, wanted = (np.array([f"{x:.{digits}g}" for x in y.tolist()], np.float64) for y in (found, due))
            if (short.astype(found.dtype) == found).all():
                unit = np.where(due == 0, 0, 10.0 ** (np.floor(np.log10(np.abs(due))) - digits + 1))
                # Halfway between two short numbers, an error of the last bit decides which of them it is.
                halfway = np.abs(np.abs(short - due) - unit / 2) <= 0.01 * unit
                return digits if ((short == wanted) | halfway).all() else 0
    return 0


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


class _Handed:
    """An `rng` that returns the given noise."""

    def __init__(self, noise: np.ndarray) -> None:
        self.noise = noise

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        """The noise of the vector in its own shape, even if that is wrong: the head must refuse it."""
        return self.noise.astype(dtype)


def _strided(array: np.ndarray) -> np.ndarray:
    """The same values, every second one of an array twice as long; backwards in memory."""
    if not array.ndim:
        return array.copy()
    wide = np.ones((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
    wide[..., ::2] = array[..., ::-1]
    return wide[..., ::2][..., ::-1]


# Memory layouts that a Python head is tried in besides the plain one, by what a report calls them.
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "in Fortran's memory order": partial(np.array, order="F"),
    "with strides": _strided,
}


def of_head(head: "Head", layout: Callable[[np.ndarray], np.ndarray] = np.array) -> Call:
    """Calls the functions of a head by the operations of the protocol.

    `layout` copies an array into another memory layout. The values are the same, so the result must be too (HEAD-4).
    """

    def call(op: str, given: dict[str, Any]) -> dict[str, Any]:
        for name, value in given.items():  # put back into `given`, where the judge looks for modified inputs (HEAD-3)
            if isinstance(value, np.ndarray):
                given[name] = layout(value)
        with np.errstate(all="ignore"):  # vectors hold nan, inf and subnormals on purpose
            result = _SPECIAL[op](head, **given) if op in _SPECIAL else getattr(head, op)(**given)
        names = tuple(OPERATIONS[op].results)
        return dict(zip(names, result if len(names) > 1 else (result,), strict=True))

    return call


def _multinomial(head: "Head", probs: Any, num_samples: Any, noise: Any = None, seed: Any = None) -> Any:
    if noise is not None and not head.takes_noise:
        raise SkippedError(f"{head.name} draws its own noise")
    rng = head.torch_rng(seed) if noise is None else _Handed(noise)
    return head.multinomial(probs, num_samples, rng=rng)


def _torch_rng(head: "Head", seed: Any, calls: list[dict[str, Any]]) -> list[Any]:
    if not hasattr(head.torch_rng(0), "standard_exponential"):
        raise SkippedError(f"{head.name} draws from PyTorch's own generator")
    rng = head.torch_rng(seed)
    draw = {"exponential": "standard_exponential", "uniform": "uniform"}
    return [getattr(rng, draw[call["draw"]])(call["size"], np.dtype(call["dtype"])) for call in calls]


# Operations whose arguments in the protocol differ from those of the Python function.
_SPECIAL: dict[str, Callable[..., Any]] = {"multinomial": _multinomial, "torch_rng": _torch_rng}
