"""A whole port in this process, bundles included, on any head: what the checks of bundles are tried on."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import reference
from parity_tests.contract import SPECIFIED, Contract
from parity_tests.heads import REFERENCE, Head
from parity_tests.strategies import FixedNoise
from ports.checker.bundle_steps import of_rows, settings_of, whole
from ports.checker.errors import RefusedError
from ports.checker.judge import of_head
from ports.checker.port import Port
from reference.operations import OPERATIONS
from weights_export.bundle import open_bundle
from weights_export.errors import BundleError

Noise = Callable[[int, Sequence[int], int], Iterator[np.ndarray]]


def right_noise(seed: int, batches: Sequence[int], v: int) -> Iterator[np.ndarray]:
    """One stream for all steps."""
    rng = reference.TorchGenerator(seed)
    for batch in batches:
        yield rng.standard_exponential((batch, v), np.float32)


def opened(path: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """The contexts, the embedding and the finish of an intact bundle."""
    bundle = open_bundle(Path(path))
    bundle.verify()
    embedding = np.array(bundle.embedding)
    context = np.array(bundle.context) if bundle.manifest["prompts"] else np.zeros((0, embedding.shape[1]), np.float32)
    return context, embedding, bundle.finish


class Whole:
    """A port: `step` and `sequence` are made of the head's operations, on what `opened` reads."""

    def __init__(self, head: Head = REFERENCE, noise: Noise = right_noise, opened: Any = opened) -> None:
        self.head, self.noise, self.opened = head, noise, opened
        self.context = self.embedding = np.zeros((0, 0), np.float32)
        self.finish: dict[str, Any] = {}

    def __call__(self, op: str, given: dict[str, Any]) -> dict[str, Any]:
        """As `judge.Call`."""
        try:
            if op == "open_bundle":
                self.context, self.embedding, self.finish = self.opened(given["path"])
                v, d = self.embedding.shape
                return {"vocab_size": v, "hidden_size": d, "contexts": len(self.context)}
            if op == "step":
                probs = self._probs(self.context[given["context"]], given)
                return {"probs": probs, "token_id": int(self.head.inverse_cdf(probs, np.array(given["uniform"])))}
            if op == "sequence":
                return {"token_ids": list(self._tokens(given))}
        except (BundleError, OSError) as error:
            raise RefusedError("bad_bundle", str(error)) from None
        except ValueError as error:
            raise RefusedError(f"bad_{str(error).split()[0]}", str(error)) from None  # the argument comes first
        return of_head(self.head)(op, given)

    def _probs(self, context: np.ndarray, given: dict[str, Any]) -> np.ndarray:
        if self.finish:
            return whole(self.head, context, self.embedding, self.finish, **settings_of(given))
        settings = {name: given[name] for name in ("temperature", "k") if name in given}
        return np.asarray(self.head.lm_head(context, self.embedding, **settings))

    def _tokens(self, given: dict[str, Any]) -> Iterator[list[int]]:
        batches = [len(rows) for rows in given["contexts"]]
        noise = self.noise(given["seed"], batches, len(self.embedding))
        for rows, numbers in zip(given["contexts"], noise, strict=True):
            probs = of_rows(lambda once: self._probs(self.context[once], given), rows)
            yield np.asarray(self.head.multinomial(probs, rng=FixedNoise(numbers)))[:, 0].tolist()

    def port(self, *operations: str, contract: Contract = SPECIFIED, versions: tuple[int, ...] = (2, 3)) -> Port:
        """It as a port with these operations, or all, that reads these versions of a bundle."""
        return Port("whole", "", "Python", contract, operations or tuple(OPERATIONS), self, versions)
