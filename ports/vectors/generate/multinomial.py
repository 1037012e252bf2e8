"""Vectors of `multinomial`: races on given noise or on PyTorch's stream."""

import math

import numpy as np

from . import exact
from .build import File, Flag, Numbers, array
from .race import answers

FLAGS = {
    "WrongRace": Flag(
        "DRAW-1",
        "p * E, p + Gumbel or exp(p) / E in place of p / E; uniform noise; another draw than the race",
        (
            "https://github.com/chainer/chainerrl/pull/104",
            "https://github.com/cupy/cupy/pull/84",
            "https://github.com/ray-project/ray/pull/24278",
        ),
        (
            "multinomial-wrong_sign",
            "multinomial-added_to_probabilities",
            "multinomial-probabilities_as_logs",
            "multinomial-uniform_noise",
            "multinomial-by_inverse_cdf",
        ),
    ),
    "Greedy": Flag("DRAW-1", "the most likely token, whatever the noise", (), ("multinomial-greedy",)),
    "HalfNoise": Flag(
        "DRAW-1",
        "noise rounded to float16: small numbers become 0",
        ("https://github.com/pytorch/pytorch/issues/192812",),
        ("multinomial-float16_noise",),
    ),
    "FirstOfEqual": Flag(
        "DRAW-1",
        "the last of equal race values wins",
        ("https://github.com/Pushkinist/rMLX/issues/373",),
        ("multinomial-last_maximum",),
    ),
    "ZeroOverZero": Flag(
        "DRAW-2",
        "0 / 0 = nan wins, or an epsilon under the logarithm: a token of probability zero is drawn",
        (
            "https://github.com/pytorch/pytorch/issues/192577",
            "https://github.com/sgl-project/sglang/issues/25106",
            "https://github.com/pytorch/xla/issues/2562",
        ),
        ("multinomial-nan_wins", "multinomial-epsilon_in_the_log"),
    ),
    "RaceUnderflow": Flag(
        "DRAW-2",
        "p / E underflows to 0 and loses to a token of probability zero",
        (),
        ("multinomial-underflow_loses",),
    ),
    "ZeroNoise": Flag(
        "DRAW-2", "noise of 0 or -0 does not win, or wins as -inf", (), ("multinomial-negative_zero_loses",)
    ),
    "Replacement": Flag(
        "DRAW-3",
        "the same token twice, or tokens in another order than that of arrival",
        ("https://github.com/vllm-project/vllm/pull/858",),
        ("multinomial-with_replacement", "multinomial-sorted_ids", "multinomial-reversed_order"),
    ),
    "NotNormalised": Flag(
        "DRAW-4",
        "a row that does not sum to 1 refused",
        ("https://github.com/numpy/numpy/issues/16688",),
        ("multinomial-must_sum_to_one",),
    ),
    "NoiseOrder": Flag(
        "HEAD-4",
        "one row of noise for all rows, or noise handed out in another order than row by row",
        (),
        ("multinomial-same_noise_for_all_rows", "multinomial-noise_in_other_order"),
    ),
    "SixteenBits": Flag("HEAD-2", "16-bit weights raced in 16 bits", (), ("multinomial-races_in_16_bits",)),
    "SeededFill": Flag(
        "RNG-3",
        "the stream handed out in another order than row by row",
        (),
        ("torch_rng-ColumnByColumn",),
    ),
    "EveryRowEveryStep": Flag(
        "RNG-5",
        "finished rows or masked tokens take no numbers, or the generator is seeded anew at every step",
        ("https://github.com/sgl-project/sglang-jax/pull/940",),
    ),
    "BadProbs": Flag(
        "DRAW-5",
        "negative weights taken for zero; nan, infinity or a row of zeros answered with a token",
        (),
        ("multinomial-negative_is_zero",),
    ),
    "BadNoise": Flag("DRAW-5", "noise that is negative, nan, infinite or of another shape goes on"),
    "TooManySamples": Flag(
        "DRAW-6",
        "more samples than possible tokens filled up with impossible ones",
        ("https://github.com/pytorch/pytorch/pull/2896",),
        ("multinomial-fills_up_with_zeros",),
    ),
    "KindError": Flag("HEAD-5", "whole numbers or bools cast, or refused with the code of a wrong value"),
}


def build() -> File:
    """The file."""
    file = File("multinomial", "multinomial", FLAGS, answers)
    rng = Numbers(6)
    inf, nan = math.inf, math.nan

    stream = exact.Stream(6)

    def exponential(n: int) -> np.ndarray:
        return array(stream.exponential(n, "float32"))

    file.group("whole quotients", "DRAW-1", "The largest p / E wins; nothing is rounded. Make these pass first.")
    file.valid("2 / 1 beats 6 / 4", "Greedy WrongRace", probs=array([2, 6]), num_samples=1, noise=array([1, 4]))
    file.valid("1 / 4 beats 0 / 1", probs=array([0, 1]), num_samples=1, noise=array([1, 4]))
    file.valid(
        "equal race values: the lowest id",
        "FirstOfEqual",
        probs=array([1, 2, 4]),
        num_samples=1,
        noise=array([2, 2, 4]),
    )
    file.valid("three equal, in order", "FirstOfEqual", probs=array([1, 2, 1]), num_samples=3, noise=array([1, 2, 1]))

    file.group("given noise", "DRAW-1", "Rounded quotients, far enough apart.")
    probs = array([0.5, 0.3, 0.15, 0.05])
    for _ in range(4):
        file.valid("four tokens", "WrongRace Greedy", probs=probs, num_samples=1, noise=exponential(4))
    long = np.array(exact.softmax(exact.fractions(rng.normal(24) * 2)), np.float32)
    file.valid("24 tokens, 5 drawn", "WrongRace Greedy Replacement", probs=long, num_samples=5, noise=exponential(24))
    file.valid("noise below float16", "HalfNoise", probs=array([0.5, 0.5]), num_samples=1, noise=array([2e-8, 1e-8]))
    file.acceptable(
        "0.1 / 0.3 and 0.2 / 0.6 differ by less than one rounding: either may come first",
        probs=array([0.1, 0.2, 0.1]),
        num_samples=1,
        noise=array([0.3, 0.6, 7]),
    )
    file.valid("one possible token", probs=array([0, 0, 0.25, 0]), num_samples=1, noise=array([0.1, 3, 9, 0.2]))

    file.group("zeros", "DRAW-2", "A token of probability zero is never drawn, whatever the noise.")
    file.valid("0 / 0", "ZeroOverZero", probs=array([0, 1]), num_samples=1, noise=array([0, 1]))
    file.valid("0 / -0", "ZeroOverZero", probs=array([1, 0]), num_samples=1, noise=array([1, -0.0]))
    file.valid("0 / 1e-30", "ZeroOverZero", probs=array([0, 1]), num_samples=1, noise=array([1e-30, 1]))
    file.valid("-0 is 0", "ZeroOverZero", probs=array([-0.0, 1]), num_samples=1, noise=array([0, 1]))
    file.valid(
        "noise 0 of a possible token wins", "ZeroNoise", probs=array([0.9, 0.1]), num_samples=1, noise=array([1e-30, 0])
    )
    file.valid("noise -0 as well", "ZeroNoise", probs=array([0.9, 0.1]), num_samples=1, noise=array([1e-30, -0.0]))
    file.valid(
        "two zeros: the lowest id",
        "ZeroNoise FirstOfEqual",
        probs=array([0, 0.1, 0.9]),
        num_samples=2,
        noise=array([0, 0, 0]),
    )
    file.valid("1e-45 / 3 underflows", "RaceUnderflow", probs=array([0, 1e-45]), num_samples=1, noise=array([1, 3]))
    file.acceptable(
        "1e-45 / 1 and 1e-45 / 3: both below the smallest normal number, either may come first",
        "RaceUnderflow",
        probs=array([1e-45, 0, 1e-45]),
        num_samples=2,
        noise=array([1, 1, 3]),
    )
    file.acceptable(
        "1 / 1e-40 and 3 / 1e-40 overflow in float32 and are equal there, not in float64",
        probs=array([0, 1, 3]),
        num_samples=1,
        noise=array([1, 1e-40, 1e-40]),
    )

    file.group("several samples", "DRAW-3", "Different tokens, in order of arrival.")
    file.valid("2 of 3", "Replacement", probs=array([0.2, 0.7, 0.1]), num_samples=2, noise=array([2, 1, 0.25]))
    file.valid("all 4", "Replacement", probs=probs, num_samples=4, noise=exponential(4))
    file.valid(
        "3 of 5, two impossible",
        "Replacement",
        probs=array([1, 0, 4, 0, 2]),
        num_samples=3,
        noise=array([2, 1, 16, 1, 1]),
    )

    file.group("any sum", "DRAW-4", "Weights need not sum to 1.")
    file.valid("a sum of 9", "NotNormalised", probs=array([1, 3, 5]), num_samples=1, noise=array([1, 2, 8]))
    file.valid("a sum of 1e-30", "NotNormalised", probs=array([2e-31, 8e-31]), num_samples=1, noise=array([1, 8]))
    file.valid(
        "a sum that overflows", "NotNormalised", probs=array([3e38, 3e38, 1e38]), num_samples=1, noise=array([3, 2, 4])
    )
    file.valid(
        "three float32 thirds",
        "NotNormalised",
        probs=array([1 / 3, 1 / 3, 1 / 3, 0]),
        num_samples=1,
        noise=array([1, 3, 2, 1]),
    )

    file.group("batches", "HEAD-4", "Given its own noise a row gives the same token wherever it stands.")
    rows, noise = array([[1, 2, 3], [3, 2, 1]]), array([[4, 1, 8], [1, 8, 0.25]])
    file.valid("a row alone", probs=rows[1], num_samples=1, noise=noise[1])
    file.valid("the same row in a batch", "NoiseOrder", probs=rows, num_samples=1, noise=noise)
    file.valid("two leading axes", "NoiseOrder", probs=rows[:, None], num_samples=2, noise=noise[:, None])
    file.valid(
        "a batch of no rows", probs=np.zeros((0, 3), np.float32), num_samples=1, noise=np.zeros((0, 3), np.float32)
    )

    file.group("dtypes", "HEAD-2", "The race is run in the dtype of the weights, 16 bits in float32.")
    file.valid("float64", probs=np.array([0.5, 0.5]), num_samples=1, noise=np.array([1 + 2**-40, 1.0]))
    half = array([0.25, 0.25, 0.5], np.float16)
    file.valid(
        "float16 weights, float32 noise", "SixteenBits", probs=half, num_samples=3, noise=array([2e-8, 1e-8, 3e-8])
    )

    file.group(
        "PyTorch's stream", "RNG-3", "Noise drawn from the seed, in C order of (rows, V): torch.multinomial's tokens."
    )
    for seed in ("0", "7", "-3", "4294967301"):
        file.valid("24 tokens", "SeededFill", probs=long, num_samples=1, seed=seed)
    file.valid("5 samples", "Replacement", probs=long, num_samples=5, seed="5")
    file.valid("a batch of three rows", "SeededFill NoiseOrder", probs=np.stack([long] * 3), num_samples=2, seed="9")
    file.valid("1e-45 alone: its race may underflow", "RaceUnderflow", probs=array([0, 1e-45]), num_samples=1, seed="1")
    file.valid("float64", "SeededFill", probs=long.astype(np.float64).reshape(2, 12), num_samples=3, seed="12")

    file.group("steps", "RNG-5", "Axes (steps, batch, V): V numbers for every row at every step, from one stream.")
    steps = np.array([[probs, [0, 0, 1, 0], probs[::-1]]] * 3, np.float32)
    for seed in ("3", "2024"):
        file.valid("the second row has finished", "EveryRowEveryStep SeededFill", probs=steps, num_samples=1, seed=seed)
    masked = np.where(np.arange(24) % 2, long, 0).astype(np.float32)
    file.valid(
        "half of the tokens masked", "EveryRowEveryStep", probs=np.stack([masked] * 4)[:, None], num_samples=1, seed="8"
    )

    file.group("bad weights and noise", "DRAW-5", "Refused.")
    ones = array([1, 1])
    for word, bad in (("negative", -0.1), ("nan", nan), ("infinite", inf)):
        file.invalid("bad_probs", f"{word} weights", "BadProbs", probs=array([0.5, bad]), num_samples=1, noise=ones)
        file.invalid(
            "bad_probs", f"{word} weights, seeded", "BadProbs", probs=array([0.5, bad]), num_samples=1, seed="0"
        )
        file.invalid("bad_noise", f"{word} noise", "BadNoise", probs=ones, num_samples=1, noise=array([0.5, bad]))
    zeros = array([[1, 0], [0, 0]])
    file.invalid("bad_probs", "a row of zeros", "BadProbs", probs=zeros, num_samples=1, noise=array([[1, 1], [1, 1]]))
    file.invalid("bad_probs", "a row of zeros, seeded", "BadProbs", probs=zeros, num_samples=1, seed="0")
    file.invalid("bad_shape", "noise of another length", "BadNoise", probs=ones, num_samples=1, noise=array([1, 1, 1]))
    file.invalid("bad_shape", "no tokens", "BadProbs", probs=np.zeros((1, 0), np.float32), num_samples=1, seed="0")
    file.invalid("bad_shape", "no axis", "BadProbs", probs=array(1), num_samples=1, seed="0")
    file.invalid("bad_dtype", "int64", "KindError", probs=array([1, 2], np.int64), num_samples=1, seed="0")

    file.group("samples", "DRAW-6", "From 1 to the number of tokens of non-zero probability.")
    few = array([0, 0, 0.5, 0.5, 0])
    file.invalid("bad_num_samples", "5 of 2 possible", "TooManySamples", probs=few, num_samples=5, seed="0")
    file.invalid("bad_num_samples", "3 of 2 possible", "TooManySamples", probs=few, num_samples=3, noise=array([1] * 5))
    file.invalid(
        "bad_num_samples", "2 of 1 in one row", "TooManySamples", probs=array([[1, 1], [0, 1]]), num_samples=2, seed="0"
    )
    file.invalid("bad_num_samples", "3 of V = 2", "TooManySamples", probs=ones, num_samples=3, seed="0")
    for n in (0, -1):
        file.invalid("bad_num_samples", f"{n}", "TooManySamples", probs=ones, num_samples=n, seed="0")
    for kind in (1.5, True):
        file.invalid("bad_num_samples", f"{kind}".lower(), "KindError", probs=ones, num_samples=kind, seed="0")
    file.invalid("bad_seed", "seed 2^64", "KindError", probs=ones, num_samples=1, seed=str(2**64))
    return file
