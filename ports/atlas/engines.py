"""Engines that are installed here, as ports: `python -m ports check engine:llama.cpp`.

An engine is called through its adapter (`survey.py` says what one has). It is judged by its own profile, unless the
command names another, on float32 logits where it has one, as engines process them. It is not asked about bad
input: an adapter adds no checks of its own.
"""

from dataclasses import replace
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np

from parity_tests.contract import FLOATS
from reference.profiles import PROFILES

from ..checker.errors import SkippedError
from ..checker.port import NoPortError, Port, from_python
from ..checker.profile_cases import OPERATION
from . import Otherwise
from .calls import Call, tie_rules
from .survey import adapter

ENGINES = {
    "transformers": "transformers_processors",
    "llama.cpp": "llama_cpp_samplers",
    "mlx-lm": "mlx_lm_sampler",
    "onnxruntime-genai": "onnxruntime_genai_generator",
    "ctranslate2": "ctranslate2_generator",
    "openvino-genai": "openvino_genai_generator",
    "onnxruntime": "onnxruntime_operators",
    "pytorch": "pytorch",
    "jax": "jax_lax",
    "scipy": "scipy_softmax",
}


def engine(name: str, timeout: float = 10.0) -> Port:
    """The engine as a port, with its profile if it has one. Raises: NoPortError if it is unknown or not installed."""
    if name not in ENGINES:
        raise NoPortError(f"engine:{name}: it must be one of {', '.join(ENGINES)}")
    try:
        module = adapter(ENGINES[name])
        versions = ", ".join(f"{package} {metadata.version(package)}" for package in module.PACKAGES)
    except ImportError as error:
        raise NoPortError(f"engine:{name}: {error}; install it, as with pip install '.[atlas]'") from None
    port = from_python(module.__name__, timeout)
    profile = PROFILES.get(getattr(module, "PROFILE", ""))
    rules = tie_rules(module, port.operations)
    contract = replace(
        port.contract,
        dtypes=("float32",) if profile else tuple(getattr(module, "DTYPES", FLOATS)),  # in which engines process logits
        ties=tuple(dict.fromkeys("lowest_id" if rule == "any" else rule for rule in rules.values())),
        refusals="none",
    )
    asks = (OPERATION,) if hasattr(module, "processed") and profile else ()
    return replace(
        port,
        name=module.TITLE,
        version=versions,
        contract=contract,
        operations=(*port.operations, *asks),
        call=_Engine(module, port, rules),
        layouts={},
        profile=profile,
    )


class _Engine:
    """Calls the functions of an adapter, each by its own rule for ties, and its whole pipeline row by row."""

    def __init__(self, module: ModuleType, port: Port, rules: dict[str, str]) -> None:
        pointers = getattr(module, "POINTERS", False)
        self._module = module
        self._calls = {op: Call(port.call, (rule,), pointers) for op, rule in rules.items()}

    def __call__(self, op: str, given: dict[str, Any]) -> dict[str, Any]:
        """See `judge.Call`."""
        if any(isinstance(value, np.ndarray) and 0 in value.shape[:-1] for value in given.values()):
            raise SkippedError("it is asked about rows, and there are none")
        try:
            return {"logits": self._processed(**given)} if op == OPERATION else self._calls[op](op, given)
        except Otherwise as otherwise:
            raise SkippedError(f"it {otherwise}") from None

    def _processed(
        self, logits: Any, profile: str, settings: Any, history: Any = None, prompt_length: int = 0
    ) -> np.ndarray:
        if profile != self._module.PROFILE:
            raise SkippedError(f"it has no settings of {profile}")
        rows = np.reshape(logits, (-1, np.shape(logits)[-1]))
        ids = np.zeros((len(rows), 0), np.int64) if history is None else np.reshape(history, (len(rows), -1))
        chosen = {name: {int(i): b for i, b in v.items()} if isinstance(v, dict) else v for name, v in settings.items()}
        done = [
            self._module.processed(row, chosen, said[:prompt_length].tolist(), said[prompt_length:].tolist())
            for row, said in zip(rows, ids, strict=True)
        ]
        return np.array(done, np.float32).reshape(np.shape(logits))
