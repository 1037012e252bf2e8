"""Wrong races."""

from typing import Any

import numpy as np

from reference import inverse_cdf, multinomial, validation

from .registry import mutant

WRONG_SIGN = "https://github.com/chainer/chainerrl/pull/104"


def _inputs(probs: Any, num_samples: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities and their noise, as the reference takes them."""
    probs = validation.check_probabilities(probs, validation.check_count("num_samples", num_samples))
    noise = validation.check_generator(rng).standard_exponential(size=probs.shape, dtype=probs.dtype)
    return probs, np.abs(validation.check_noise(noise, probs))


def _best(race: np.ndarray, n: int) -> np.ndarray:
    return np.argsort(-race, axis=-1, kind="stable")[..., :n]


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return a / b


@mutant("multinomial", "DRAW-1", "Gumbel noise with the wrong sign", WRONG_SIGN)
def wrong_sign(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """`log p - gumbel`, which is the race `p * E`: large noise wins, where it should lose."""
    probs, noise = _inputs(probs, num_samples, rng)
    return _best(np.where(probs > 0, probs * noise, -1), num_samples)


@mutant("multinomial", "DRAW-1", "Gumbel noise added to p, not to log p", "https://github.com/cupy/cupy/pull/84")
def added_to_probabilities(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    with np.errstate(divide="ignore"):
        return _best(np.where(probs > 0, probs - np.log(noise), -np.inf), num_samples)


@mutant(
    "multinomial",
    "DRAW-1",
    "probabilities taken for log-probabilities",
    "https://github.com/ray-project/ray/pull/24278",
)
def probabilities_as_logs(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    with np.errstate(over="ignore", divide="ignore"):
        return _best(np.where(probs > 0, np.exp(probs) / noise, -1), num_samples)


@mutant("multinomial", "DRAW-1", "uniform noise in place of exponential")
def uniform_noise(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    return _best(np.where(probs > 0, _divide(probs, -np.expm1(-noise)), -1), num_samples)


@mutant("multinomial", "DRAW-1", "noise rounded to float16", "https://github.com/pytorch/pytorch/issues/192812")
def float16_noise(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """Drawn in double and rounded to float16: small noise becomes 0."""
    probs, noise = _inputs(probs, num_samples, rng)
    with np.errstate(over="ignore"):
        noise = noise.astype(np.float16).astype(probs.dtype)
    return _best(np.where(probs > 0, _divide(probs, noise), -1), num_samples)


@mutant("multinomial", "DRAW-1", "the most likely token, whatever the noise")
def greedy(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, _ = _inputs(probs, num_samples, rng)
    return _best(probs, num_samples)


@mutant("multinomial", "DRAW-1", "drawn by the inverse CDF: seeds mean other tokens")
def by_inverse_cdf(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    drawn = multinomial(probs, num_samples, rng=rng)
    if num_samples > 1:
        return drawn
    probs = validation.check_probabilities(probs)
    uniform = -np.expm1(-np.asarray(rng.standard_exponential(size=probs.shape[:-1], dtype=np.float64)))
    return inverse_cdf(probs, np.minimum(uniform, 1 - 2.0**-53))[..., None]


@mutant("multinomial", "DRAW-1", "the last of equal maxima wins", "https://github.com/Pushkinist/rMLX/issues/373")
def last_maximum(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    race = np.where(probs > 0, _divide(probs, noise), -1)
    return probs.shape[-1] - 1 - _best(race[..., ::-1], num_samples)


@mutant("multinomial", "DRAW-2", "0 / 0 = nan wins the argmax", "https://github.com/pytorch/pytorch/issues/192577")
def nan_wins(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """Happens where the noise of a token of probability zero is exactly 0."""
    probs, noise = _inputs(probs, num_samples, rng)
    race = _divide(probs, noise)
    return np.argsort(np.where(np.isnan(race), -np.inf, -race), axis=-1, kind="stable")[..., :num_samples]


@mutant("multinomial", "DRAW-2", "an epsilon under the logarithm: every token can be drawn")
def epsilon_in_the_log(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    with np.errstate(divide="ignore"):
        return _best(np.log(probs.astype(np.float64) + 1e-2) - np.log(noise), num_samples)


@mutant("multinomial", "DRAW-2", "p / E that underflows loses to tokens of probability zero")
def underflow_loses(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    return _best(np.nan_to_num(_divide(probs, noise), nan=0.0), num_samples)


@mutant("multinomial", "DRAW-3", "with replacement")
def with_replacement(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    first = multinomial(probs, num_samples, rng=rng)[..., :1]
    rest = [multinomial(probs, 1, rng=rng) for _ in range(num_samples - 1)]
    return np.concatenate([first, *rest], axis=-1)


@mutant("multinomial", "DRAW-3", "tokens sorted by id, not in the order drawn")
def sorted_ids(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    return np.sort(multinomial(probs, num_samples, rng=rng), axis=-1)


@mutant("multinomial", "DRAW-3", "the last drawn comes first")
def reversed_order(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    return multinomial(probs, num_samples, rng=rng)[..., ::-1]


@mutant("multinomial", "DRAW-4", "weights that do not sum to 1 refused", "https://github.com/numpy/numpy/issues/16688")
def must_sum_to_one(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    drawn = multinomial(probs, num_samples, rng=rng)
    if (np.abs(np.asarray(probs, dtype=np.float64).sum(axis=-1) - 1) > 1e-12).any():
        raise ValueError("sum(pvals) != 1")
    return drawn


@mutant("multinomial", "HEAD-4", "the same noise for every row of a batch")
def same_noise_for_all_rows(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    if noise.size:
        noise = np.broadcast_to(noise.reshape(-1, probs.shape[-1])[0], probs.shape)
    return _best(np.where(probs > 0, _divide(probs, noise), -1), num_samples)


@mutant("multinomial", "DRAW-1", "noise handed out token by token, not row by row")
def noise_in_other_order(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs, noise = _inputs(probs, num_samples, rng)
    noise = noise.reshape(-1).reshape(probs.shape, order="F")
    return _best(np.where(probs > 0, _divide(probs, noise), -1), num_samples)


@mutant("multinomial", "DRAW-5", "-0.0 in the noise makes a certain winner lose")
def negative_zero_loses(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    probs = validation.check_probabilities(probs, validation.check_count("num_samples", num_samples))
    noise = validation.check_generator(rng).standard_exponential(size=probs.shape, dtype=probs.dtype)
    race = np.where(probs > 0, _divide(probs, validation.check_noise(noise, probs)), -1)
    return _best(race, num_samples)


@mutant("multinomial", "DRAW-5", "negative weights taken for zero")
def negative_is_zero(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    array = np.asarray(probs)
    return multinomial(np.maximum(array, 0) if array.dtype.kind == "f" else array, num_samples, rng=rng)


@mutant(
    "multinomial",
    "DRAW-6",
    "more samples than possible tokens: filled up with impossible ones",
    "https://github.com/pytorch/pytorch/pull/2896",
)
def fills_up_with_zeros(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """`torch.multinomial` still does this."""
    array = np.asarray(probs)
    if array.ndim == 1 and array.dtype.kind == "f" and np.count_nonzero(array) < num_samples <= len(array):
        return _best(array, num_samples)
    return multinomial(probs, num_samples, rng=rng)


@mutant("multinomial", "HEAD-2", "16-bit weights raced in 16 bits")
def races_in_16_bits(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    if np.asarray(probs).dtype != np.float16:
        return multinomial(probs, num_samples, rng=rng)
    probs, noise = _inputs(probs, num_samples, rng)
    race = _divide(probs.astype(np.float16), noise.astype(np.float16))
    return np.argsort(np.where(np.isnan(race), -np.inf, -race), axis=-1, kind="stable")[..., :num_samples]


@mutant("multinomial", "RNG-3", "noise kept in float64, not rounded to float32")
def noise_in_float64(probs: Any, num_samples: int = 1, *, rng: Any) -> np.ndarray:
    """Two numbers that are equal in float32 are then told apart."""
    count = validation.check_count("num_samples", num_samples)
    probs = validation.check_probabilities(probs, count)
    noise = validation.check_generator(rng).standard_exponential(size=probs.shape, dtype=np.dtype(np.float64))
    noise = validation.check_noise(noise, probs.astype(np.float64))
    return _best(np.where(probs > 0, _divide(probs.astype(np.float64), noise), -1), num_samples)
