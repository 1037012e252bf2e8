"""Wrong temperatures."""

from typing import Any

import numpy as np

from reference import apply_temperature, validation

from .registry import mutant


@mutant("apply_temperature", "TEMP-1", "multiplied by the reciprocal")
def reciprocal(logits: Any, temperature: float) -> np.ndarray:
    logits = validation.check_logits(logits)
    with np.errstate(over="ignore", invalid="ignore"):
        return validation.check_scaled(
            logits * (1 / validation.check_temperature(temperature, logits.dtype)), temperature
        )


@mutant("apply_temperature", "TEMP-1", "multiplied instead of divided")
def multiplies(logits: Any, temperature: float) -> np.ndarray:
    logits = validation.check_logits(logits)
    with np.errstate(over="ignore"):
        return validation.check_scaled(logits * validation.check_temperature(temperature, logits.dtype), temperature)


@mutant("apply_temperature", "TEMP-1", "the temperature has no effect", "https://github.com/dphnAI/sonar/pull/814")
def divides_a_copy(logits: Any, temperature: float) -> np.ndarray:
    """A cast made a copy, and the in-place division changed only the copy."""
    copy = validation.check_logits(logits) + 0
    with np.errstate(over="ignore"):
        copy /= validation.check_temperature(temperature, copy.dtype)
    return validation.check_logits(logits)


@mutant("apply_temperature", "TEMP-1", "temperatures above 2 cut to 2")
def clamps_high(logits: Any, temperature: float) -> np.ndarray:
    return apply_temperature(logits, temperature if not temperature > 2 else 2.0)


@mutant(
    "apply_temperature",
    "TEMP-1",
    "temperatures below 0.01 raised to 0.01",
    "https://github.com/state-spaces/mamba/pull/1041",
)
def clamps_low(logits: Any, temperature: float) -> np.ndarray:
    return apply_temperature(logits, temperature if not 0 < temperature < 0.01 else 0.01)


@mutant("apply_temperature", "TEMP-1", "divided by the float64 temperature, not by its float32")
def float64_divisor(logits: Any, temperature: float) -> np.ndarray:
    logits = validation.check_logits(logits)
    validation.check_temperature(temperature, logits.dtype)
    with np.errstate(over="ignore"):
        quotient = (logits.astype(np.float64) / float(temperature)).astype(logits.dtype)
    return validation.check_scaled(quotient, temperature)


@mutant("apply_temperature", "HEAD-2", "16-bit logits divided in 16 bits")
def divides_in_16_bits(logits: Any, temperature: float) -> np.ndarray:
    array = np.asarray(logits)
    scaled = apply_temperature(array, temperature)
    return scaled.astype(array.dtype).astype(scaled.dtype)


@mutant(
    "apply_temperature",
    "TEMP-2",
    "temperature 0 divides: inf and nan",
    "https://github.com/ggml-org/ggml/issues/37",
)
def divides_by_zero(logits: Any, temperature: float) -> np.ndarray:
    if temperature != 0 or isinstance(temperature, bool):
        return apply_temperature(logits, temperature)
    with np.errstate(divide="ignore", invalid="ignore"):
        return validation.check_logits(logits) / np.float32(0)


@mutant(
    "apply_temperature",
    "TEMP-2",
    "temperature 0 silently means 1",
    "https://github.com/inclusionAI/LLaDA2.X/issues/6",
)
def zero_means_one(logits: Any, temperature: float) -> np.ndarray:
    """`if temperature > 0 and temperature != 1: divide`, and no branch for greedy decoding."""
    return apply_temperature(logits, temperature if temperature else 1.0)


@mutant(
    "apply_temperature",
    "TEMP-2",
    "temperature 0 raised to a small number",
    "https://github.com/google-deepmind/gemma/issues/562",
)
def zero_means_small(logits: Any, temperature: float) -> np.ndarray:
    return apply_temperature(logits, 1e-5 if temperature == 0 else temperature)


@mutant("apply_temperature", "TEMP-2", "negative temperatures accepted")
def accepts_negative(logits: Any, temperature: float) -> np.ndarray:
    return apply_temperature(logits, abs(temperature) if isinstance(temperature, float) else temperature)


@mutant(
    "apply_temperature",
    "TEMP-3",
    "a quotient that overflows goes on as inf",
    "https://github.com/vllm-project/vllm/issues/22180",
)
def overflow_goes_on(logits: Any, temperature: float) -> np.ndarray:
    logits = validation.check_logits(logits)
    with np.errstate(over="ignore"):
        return logits / validation.check_temperature(temperature, logits.dtype)


@mutant("apply_temperature", "HEAD-3", "the caller's logits divided in place")
def in_place(logits: Any, temperature: float) -> np.ndarray:
    scaled = apply_temperature(logits, temperature)
    if isinstance(logits, np.ndarray) and logits.flags.writeable and logits.dtype == scaled.dtype:
        logits[...] = scaled
    return scaled
