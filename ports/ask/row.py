"""What is known of the distribution of one prompt's next token: its most probable tokens, and what the rest hold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MOST = 48  # tokens that are told apart; more would not change which rule explains the draws


@dataclass(frozen=True)
class Row:
    """The tokens of a prompt in order of their log-probabilities `(N,)`, natural, at temperature 1 without filters."""

    prompt: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]

    @property
    def probs(self) -> np.ndarray:
        """The probabilities `(N,)`; what they lack of 1 is held by tokens that are not known."""
        return np.exp(np.array(self.logprobs))

    @property
    def rest(self) -> float:
        """The probability of all other tokens together."""
        return max(1.0 - float(self.probs.sum()), 0.0)

    def coincidence(self, draws: int) -> float:
        """How probably so many draws give the same token, at most: an unknown one is no more probable than any known.

        >>> round(Row("", ("a", "b"), (np.log(0.5), np.log(0.3))).coincidence(2), 6)  # 0.25 + 0.09 + 0.2 * 0.3
        0.4
        """
        return float((self.probs**draws).sum() + self.rest * self.probs[-1] ** (draws - 1))

    def place(self, token: str) -> int:
        """Where the token stands; N for one that is not known."""
        return self.tokens.index(token) if token in self.tokens else len(self.tokens)


def row(prompt: str, top: Mapping[str, float], drawn: str = "") -> Row:
    """The known part of a distribution, up to the first token that cannot be recognised in an answer.

    Some servers list the drawn token beside the largest ones. If it is the least of all, tokens that are not listed may
    be more probable, so it counts as unknown.

    Bytes that are no character of their own all read as U+FFFD, and an end of text reads as "" in one place and as
    `</s>` in another. From there on tokens count as unknown.
    """
    ranked = sorted(top.items(), key=lambda item: -item[1])[:MOST]
    if ranked and ranked[-1][0] == drawn:
        ranked.pop()
    end = next((i for i, (token, _) in enumerate(ranked) if not _recognisable(token)), len(ranked))
    return Row(prompt, tuple(token for token, _ in ranked[:end]), tuple(value for _, value in ranked[:end]))


def _recognisable(token: str) -> bool:
    return token != "" and "\ufffd" not in token and not (token.startswith("<") and token.endswith(">"))
