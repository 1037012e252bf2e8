"""What an answer of the completions interface says: the tokens drawn, and the log-probabilities beside them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .client import CannotAskError


@dataclass(frozen=True)
class Choice:
    """The first token of a choice, "" for an end of text, and the log-probabilities given for its place."""

    token: str
    top: Mapping[str, float]


def choices(answer: Mapping[str, Any]) -> list[Choice]:
    """The choices in order of their index.

    Raises: CannotAskError for an answer that is not of this interface.
    """
    found = answer.get("choices")
    if not isinstance(found, list) or not found or not all(isinstance(choice, dict) for choice in found):
        raise CannotAskError("the server's answer has no choices: not the OpenAI completions interface")
    found = sorted(found, key=lambda choice: choice.get("index") or 0)
    try:
        return [_choice(choice) for choice in found]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise CannotAskError("the server's log-probabilities have no form that is known here") from None


def _choice(choice: Mapping[str, Any]) -> Choice:
    text = choice.get("text")
    if not isinstance(text, str):
        raise CannotAskError("the server's answer has no text: not the OpenAI completions interface")
    given = choice.get("logprobs") or {}
    if given.get("content"):  # llama-server: the form of chat completions
        place = given["content"][0]
        listed = place.get("top_logprobs") or []
        return Choice(place["token"], _numbers([(item["token"], item["logprob"]) for item in listed]))
    tokens, tops = given.get("tokens") or [], given.get("top_logprobs") or []
    top = tops[0] if tops and tops[0] else {}
    return Choice(tokens[0] if tokens else text, _numbers(list(top.items())))


def _numbers(pairs: list[tuple[str, Any]]) -> dict[str, float]:
    """By token, without those that are cut: JSON has no -inf, so engines write null or a large negative number."""
    numbers: dict[str, float] = {}
    for token, value in pairs:
        if value is None or float(value) < -1000 or not math.isfinite(float(value)):
            continue
        # Two ids may share a text. Then the text stands for both, and so for the sum.
        numbers[token] = float(value) if token not in numbers else float(_add(numbers[token], float(value)))
    return numbers


def _add(a: float, b: float) -> float:
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))
