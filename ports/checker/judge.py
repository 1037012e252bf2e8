"""One vector held against one implementation: `judge(case, call) -> Outcome`.

`call(op, arguments)` gives the `result` object of the protocol with NumPy arrays for its tensors, or raises:
`RefusedError` with a code, or in Python, where nobody has codes, TypeError for a wrong kind and ValueError for a wrong
value (HEAD-5); `SkippedError` for what the implementation does not have. Anything else it raises is an error.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from ..values import from_json
from ..vectors import Answer, Case, arguments

if TYPE_CHECKING:  # a run-time import would bring PyTorch with it
    from parity_tests.heads import Head

Call = Callable[[str, dict[str, Any]], dict[str, Any]]


class Word(StrEnum):
    """What came of a case. None of the five is ever counted as another."""

    PASSED = "passed"
    ACCEPTED = "accepted"  # an alternative of an acceptable case
    FAILED = "failed"
    ERRORED = "errored"
    SKIPPED = "skipped"


class RefusedError(ValueError):
    """The implementation refused the input, with a code of PROTOCOL.md."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code


class SkippedError(Exception):
    """The implementation does not have this; the text says what."""


@dataclass(frozen=True)
class Outcome:
    """One case judged. `ratio` is the worst error divided by its bound, infinite where nothing may be off."""

    word: Word
    case: Case
    rule: str = ""
    reason: str = ""
    came: Any = None
    expected: Any = None
    ratio: float = 0.0

    @property
    def conforms(self) -> bool:
        """Passed or accepted."""
        return self.word in (Word.PASSED, Word.ACCEPTED)

    def __str__(self) -> str:
        if self.conforms:
            return f"{self.case}: {self.word}" + (f", error {self.ratio:.2g} x bound" if self.ratio else "")
        lines = [f"{self.case}: {self.word}" + f", breaks {self.rule}" * bool(self.rule) + f": {self.reason}"]
        if self.word == Word.FAILED:
            lines += [f"  came      {_brief(self.came)}", f"  expected  {_brief(self.expected)}"]
        return "\n".join(lines)


def _brief(value: Any, width: int = 200) -> str:
    return " ".join(str(value).split())[:width]


def judge(case: Case, call: Call) -> Outcome:
    """Call the implementation once, in this process or through `call` in another, and say what came of it."""
    given = arguments(case.inputs)
    before = deepcopy(given)
    try:
        came: Any = call(case.op, given)
    except SkippedError as reason:
        return Outcome(Word.SKIPPED, case, reason=str(reason))
    except (ValueError, TypeError) as error:
        came = error
    except Exception as error:
        return Outcome(Word.ERRORED, case, reason=f"{type(error).__name__}: {error}")
    changed = [name for name, value in before.items() if not _same(value, given.get(name))]
    if changed:
        return Outcome(
            Word.FAILED, case, "HEAD-3", f"{changed[0]} was modified", given.get(changed[0]), before[changed[0]]
        )
    outcomes = [_against(case, answer, came) for answer in case.answers]
    for place, outcome in enumerate(outcomes):
        if outcome.conforms:
            return outcome if place == 0 else Outcome(Word.ACCEPTED, case, ratio=outcome.ratio)
    return outcomes[0]


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray):
        return repr(a) == repr(b)  # numbers, words and lists of them, nan among them
    return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def _against(case: Case, answer: Answer, came: Any) -> Outcome:
    """What came against one of the outcomes that conform."""
    code = answer.expected.get("code")
    if isinstance(came, Exception):
        if code is None:
            return Outcome(Word.FAILED, case, case.rule, "refused", f"{type(came).__name__}: {came}", answer.expected)
        return _refusal(case, code, came)
    if code is not None:
        return Outcome(Word.FAILED, case, case.rule, "answered what must be refused", came, answer.expected)
    if not isinstance(came, dict) or came.keys() != answer.expected.keys():
        return Outcome(Word.FAILED, case, case.rule, "other keys in the result", came, answer.expected)
    worst = 0.0
    for name, tensor in answer.expected.items():
        bound = (answer.bound or {}).get(name)
        for place, (theirs, ours) in _pairs(came[name], tensor):
            rule, reason, ratio = _tensor(theirs, ours, bound)
            if reason:
                reason = f"{name}{place} {reason}"
                expected = _expected(ours)
                if isinstance(theirs, np.ndarray) and theirs.dtype.kind == expected.dtype.kind:
                    expected = expected.astype(theirs.dtype)  # to be printed with as many digits
                return Outcome(Word.FAILED, case, rule or case.rule, reason, theirs, expected, ratio)
            worst = max(worst, ratio)
    return Outcome(Word.PASSED, case, ratio=worst)


def _refusal(case: Case, code: str, came: Exception) -> Outcome:
    theirs = getattr(came, "code", None)
    if theirs is None:  # Python: the kind of error is all there is to compare
        theirs = "TypeError" if isinstance(came, TypeError) else "ValueError"
        code = "TypeError" if wrong_kind(case) else "ValueError"
    if theirs == code:
        return Outcome(Word.PASSED, case)
    reason = f"refused as {theirs}, not as {code}"
    return Outcome(Word.FAILED, case, "HEAD-5", reason, f"{type(came).__name__}: {came}", code)


def wrong_kind(case: Case) -> bool:
    """Whether the input is of the wrong kind, a TypeError in Python, and not merely of a wrong value."""
    if case.answers[0].expected.get("code") == "bad_dtype":
        return True
    given = arguments({name: value for name, value in case.inputs.items() if not isinstance(value, dict)})
    integers = [given[name] for name in ("k", "num_samples", "seed") if name in given]
    return any(type(value) is not int for value in integers) or isinstance(given.get("temperature"), bool)


def _pairs(came: Any, expected: Any) -> list[tuple[str, tuple[Any, dict[str, Any]]]]:
    """Tensors beside the expected ones; of a list, one after the other."""
    if not isinstance(expected, list):
        return [("", (came, expected))]
    as_many = isinstance(came, (list, tuple)) and len(came) == len(expected)
    theirs = came if as_many else [came] * len(expected)  # which is no tensor
    return [(f"[{i}]", pair) for i, pair in enumerate(zip(theirs, expected, strict=True))]


def _expected(tensor: dict[str, Any]) -> np.ndarray:
    """The expected numbers: floats in float64, whatever the dtype of the answer."""
    return from_json(tensor if tensor["dtype"] == "int64" else {**tensor, "dtype": "float64"})


def _tensor(theirs: Any, tensor: dict[str, Any], bound: dict[str, Any] | None) -> tuple[str, str, float]:
    """Rule ("" for the case's own), reason ("" for none) and error / bound of one tensor."""
    ours = _expected(tensor)
    if not isinstance(theirs, (np.ndarray, np.generic)):
        return "", f"is no tensor but {_brief(theirs, 60)!r}", 0.0
    if theirs.shape != ours.shape:
        return "", f"has shape {list(theirs.shape)}, not {list(ours.shape)}", 0.0
    if ours.dtype == np.int64:
        if theirs.dtype.kind not in "iu":
            return "", f"has dtype {theirs.dtype}, not int64", 0.0
        return "", "" if np.array_equal(theirs, ours) else "differs", 0.0
    if theirs.dtype.name != tensor["dtype"]:
        return "HEAD-2", f"has dtype {theirs.dtype}, not {tensor['dtype']}", 0.0
    theirs = theirs.astype(np.float64)
    if bound is None:  # exact, the sign of zero included
        same = (theirs == ours) & (np.signbit(theirs) == np.signbit(ours))
        return "", "" if same.all() else f"differs at {_first(~same)}", 0.0 if same.all() else np.inf
    allowed = from_json(bound)
    with np.errstate(invalid="ignore", divide="ignore"):
        equal = (theirs == ours) | (np.isnan(theirs) & np.isnan(ours))
        ratio = np.where(equal, 0.0, np.abs(theirs - ours) / allowed)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    worst = float(ratio.max(initial=0.0))
    if worst <= 1:
        return "", "", worst
    return "", f"is off at {_first(ratio == worst)}, error {worst:.3g} x bound", worst


def _first(mask: np.ndarray) -> list[int]:
    return [int(i) for i in np.argwhere(mask)[0]]


class _Handed:
    """An `rng` that hands out the given noise."""

    def __init__(self, noise: np.ndarray) -> None:
        self.noise = noise

    def standard_exponential(self, size: Any, dtype: Any) -> np.ndarray:
        """The noise of the vector, in its own shape, so that a wrong shape is the head's to refuse."""
        return self.noise.astype(dtype)


def of_head(head: "Head", order: Any = "C") -> Call:
    """The functions of a head behind the operations of the protocol.

    `order="F"` hands arrays over in Fortran's memory layout: the same values, so a head must not care (HEAD-4).
    """

    def call(op: str, given: dict[str, Any]) -> dict[str, Any]:
        for name, value in given.items():  # in place of what the judge made, for it to see what the head does to them
            if isinstance(value, np.ndarray):
                given[name] = np.array(value, order=order)
        with np.errstate(all="ignore"):  # vectors hold nan, inf and subnormals on purpose
            results = _FUNCTIONS[op](head, **given) if op in _FUNCTIONS else (getattr(head, op)(**given),)
        return dict(zip(_RESULTS[op], results, strict=True))

    return call


_RESULTS = {
    "compute_logits": ("logits",),
    "apply_temperature": ("logits",),
    "top_k": ("values", "token_ids"),
    "keep_top_k": ("logits",),
    "softmax": ("probs",),
    "multinomial": ("token_ids",),
    "inverse_cdf": ("token_ids",),
    "lm_head": ("probs",),
    "torch_rng": ("numbers",),
}


def _multinomial(head: "Head", probs: Any, num_samples: Any, noise: Any = None, seed: Any = None) -> tuple[Any]:
    if noise is not None and not head.takes_noise:
        raise SkippedError(f"{head.name} draws its own noise")
    rng = head.generator(seed) if noise is None else _Handed(noise)
    return (head.multinomial(probs, num_samples, rng=rng),)


def _torch_rng(head: "Head", seed: Any, calls: list[dict[str, Any]]) -> tuple[Any]:
    if not hasattr(head.generator(0), "standard_exponential"):
        raise SkippedError(f"{head.name} draws from PyTorch's own generator")
    rng = head.generator(seed)
    draw = {"exponential": "standard_exponential", "uniform": "uniform"}
    return ([getattr(rng, draw[call["draw"]])(call["size"], np.dtype(call["dtype"])) for call in calls],)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "top_k": lambda head, **given: head.top_k(**given),
    "multinomial": _multinomial,
    "torch_rng": _torch_rng,
}
