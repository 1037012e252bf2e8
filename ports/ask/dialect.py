"""Which fields of the interface a server takes, found by asking.

Servers have defaults of their own (llama.cpp a top_k of 40 and a min_p of 0.05), so every request says what is off.
How to say so differs: a top_k of 0 or of -1; and some servers refuse fields that they do not have.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .client import CannotAskError, RefusedError
from .reply import Choice, choices
from .row import MOST

Complete = Callable[[Mapping[str, Any]], dict[str, Any]]
# Each field, and the values with which it does nothing, or those to try: the first one that is taken is used.
FIELDS: dict[str, tuple[Any, ...]] = {
    "logprobs": (MOST, 20, 5, 1),  # vLLM gives 20, OpenAI 5
    "top_p": (1.0,),
    "top_k": (0, -1),
    "min_p": (0.0,),
    "seed": (1,),
    "presence_penalty": (0.0,),
    "frequency_penalty": (0.0,),
    "repetition_penalty": (1.0,),  # vLLM, sglang
    "repeat_penalty": (1.0,),  # llama.cpp: llama-cpp-python has 1.1 without it
}
ROWS = 4  # choices of one request


@dataclass
class Dialect:
    """The fields that the server takes, with neutral values, and why it does not take the others."""

    model: str
    fields: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    rows: bool = False

    def body(self, prompt: str, **settings: Any) -> dict[str, Any]:
        """A request for one token with these settings; the rest is off."""
        start = {"model": self.model, "prompt": prompt, "max_tokens": 1, "temperature": 1.0, "stream": False}
        return {**start, **self.fields, **settings}


def find(complete: Complete, model: str, prompt: str) -> Dialect:
    """What the server at the other end takes.

    Raises: CannotAskError if it refuses a request for a token, without anything else.
    """
    dialect = Dialect(model)
    try:
        choices(complete(dialect.body(prompt)))
    except RefusedError as error:
        raise CannotAskError(f"the server refuses a request for one token of model {model!r}: {error}") from None
    every = {name: values[0] for name, values in FIELDS.items()}
    try:
        choices(complete(dialect.body(prompt, **every)))
        dialect.fields = every
    except RefusedError:
        for name, values in FIELDS.items():
            _add(complete, dialect, prompt, name, values)
    try:
        dialect.rows = len(choices(complete(dialect.body(prompt, n=ROWS)))) == ROWS
    except RefusedError:
        dialect.rows = False
    return dialect


def _add(complete: Complete, dialect: Dialect, prompt: str, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        try:
            choices(complete(dialect.body(prompt, **{name: value})))
        except RefusedError as error:
            dialect.refused[name] = str(error)
        else:
            dialect.fields[name] = value
            dialect.refused.pop(name, None)
            return


def one(complete: Complete, body: Mapping[str, Any]) -> Choice:
    """The first choice. Raises: CannotAskError for a request that the server took before, and now refuses."""
    return several(complete, body)[0]


def several(complete: Complete, body: Mapping[str, Any]) -> list[Choice]:
    """All choices. Raises: as `one`."""
    try:
        return choices(complete(body))
    except RefusedError as error:
        named = {name: body[name] for name in ("temperature", "top_k", "top_p", "min_p", "n") if name in body}
        raise CannotAskError(f"the server refuses {named}: {error}") from None
