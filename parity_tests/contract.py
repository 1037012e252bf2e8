"""What an implementation declares to do where runtimes differ on purpose. It is judged by that; see SPEC.md.

A port declares its contract in `hello`, a Python head in a mapping called `contract`, by the same keys. What it does
not declare is as SPEC.md says.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from reference.operations import OPERATIONS, TIES, UNTIL
from reference.profiles import PROFILES

FLOATS = ("float16", "bfloat16", "float32", "float64")
# Key -> the values that it may have, the default first; and how a report calls the others.
CHOICES: dict[str, dict[Any, str]] = {
    "zero_temperature": {"refused": "", "greedy": "T = 0 greedy"},
    "zero_k": {"refused": "", "off": "k = 0 off"},
    "refusals": {"all": "", "none": "bad input undefined"},
    "stream": {"pytorch": "", "own": "a random stream of its own"},
    "batch_invariant": {False: "", True: "the same bits in every batch"},
}
OPTIONS = ("ties", "until")  # the arguments that a head may lack
_LISTS = {"dtypes": FLOATS, "ties": (*TIES, "any"), "until": UNTIL}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A contract, by default that of SPEC.md with everything optional offered."""

    dtypes: tuple[str, ...] = FLOATS
    ties: tuple[str, ...] = TIES
    until: tuple[str, ...] = UNTIL
    zero_temperature: str = "refused"
    zero_k: str = "refused"
    refusals: str = "all"
    stream: str = "pytorch"
    batch_invariant: bool = False

    @classmethod
    def read(cls, said: Mapping[str, Any], default: "Contract | None" = None) -> "Contract":
        """The contract that these keys declare; other keys are ignored, and what is left out is as in `default`.

        Raises: ValueError that names the key, its value and what it may be.
        """
        found = {field.name: getattr(default or cls(), field.name) for field in fields(cls)}
        for key, words in _LISTS.items():
            if key in said:
                value = said[key]
                if not isinstance(value, (list, tuple)) or not set(map(str, value)) <= set(words):
                    raise ValueError(f"{key} is {value!r}: it must be a list of words from {', '.join(words)}")
                found[key] = tuple(dict.fromkeys(value))
        if "any" in found["ties"] and len(found["ties"]) > 1:
            raise ValueError(f"ties is {said['ties']!r}: any stands alone, as it leaves nothing to choose")
        for key, choices in CHOICES.items():
            if key in said:
                if not any(type(said[key]) is type(choice) and said[key] == choice for choice in choices):
                    allowed = " or ".join(repr(choice) for choice in choices)
                    raise ValueError(f"{key} is {said[key]!r}: it must be {allowed}")
                found[key] = said[key]
        return cls(**found)

    @property
    def words(self) -> list[str]:
        """What differs from SPEC.md, such as `T = 0 greedy`. Fewer dtypes or tie rules are no difference."""
        ties = ["ties any"] if "any" in self.ties else []
        return ties + [choices[getattr(self, key)] for key, choices in CHOICES.items() if choices[getattr(self, key)]]

    def rule_for_ties(self, given: Any = None) -> str:
        """The tie rule by which a result is judged; `given` is the argument `ties`, if there is one."""
        if given == "all" or "any" not in self.ties:
            return str(given or ("lowest_id" if "lowest_id" in self.ties or not self.ties else self.ties[0]))
        return "any"

    def offers(self, option: str, value: Any) -> bool:
        """Whether it has this value of `ties` or `until`; bad values are everybody's to refuse."""
        return self.told(option, value) or (value == "lowest_id" and "any" in self.ties)

    def told(self, option: str, value: Any) -> bool:
        """Whether a request says this value; one that has no choice is not told."""
        return not is_option(option, value) or value in getattr(self, option)

    def tie_arguments(self, operation: str) -> list[dict[str, str]]:
        """What to call `operation` with so that each of the tie rules that it can be told is tried once."""
        told = [rule for rule in self.ties if rule != "any"] if "ties" in OPERATIONS[operation].arguments else []
        return [{"ties": rule} for rule in told] or [{}]

    def stands_for(self, operation: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The call of the reference with the same result: T = 0 and k = 0 may mean something else than a refusal.

        An engine's settings stand for its steps.
        """
        given = dict(arguments)
        if operation == "apply_settings":
            given["steps"] = PROFILES[given.pop("profile")].steps(**given.pop("settings"))
            return "process", given | {"uniform": np.zeros(given["logits"].shape[:-1])}  # XTC is on or off: PROTOCOL.md
        if self.zero_k == "off" and type(given.get("k")) is int and given["k"] == 0:
            given["k"] = 2**31  # above any V: every token
        if self.zero_temperature == "greedy" and type(given.get("temperature")) in (int, float):
            if given["temperature"] == 0 and operation == "apply_temperature":
                return "keep_top_k", {"logits": given["logits"], "k": 1}
            if given["temperature"] == 0 and "k" in OPERATIONS[operation].arguments:
                given |= {"temperature": 1.0, "k": 1}
        return operation, given

    def differs(self, operation: str, arguments: Mapping[str, Any]) -> bool:
        """Whether the contract gives these arguments a meaning that SPEC.md does not."""
        same, given = self.stands_for(operation, arguments)
        return same != operation or any(given.get(name) is not arguments.get(name) for name in ("temperature", "k"))

    def leaves_open(self, arguments: Mapping[str, Any]) -> bool:
        """Whether it does not say what these mean: where T = 0 is greedy, -0 and a T that becomes 0 in float32."""
        temperature = arguments.get("temperature")
        if self.zero_temperature != "greedy" or type(temperature) not in (int, float):
            return False
        assert isinstance(temperature, (int, float))
        return math.copysign(1, temperature) < 0 == temperature or 0 < abs(temperature) < 2.0**-149


def is_option(option: str, value: Any) -> bool:
    """Whether this is a value of `ties` or `until`, or a word that stands for none of their values."""
    return option in OPTIONS and value in _LISTS[option]


SPECIFIED = Contract()
