"""Vectors of `multinomial`: who wins the race, on given noise and on PyTorch's stream."""

from math import inf, nan

import numpy as np

from . import exact
from .build import File, Numbers, array, empty, float64
from .race import answers

FLAGS = """
WrongRace (DRAW-1): p * E, p + Gumbel or exp(p) / E in place of p / E; uniform noise; another draw than the race
    [wrong_sign added_to_probabilities probabilities_as_logs uniform_noise by_inverse_cdf]
    https://github.com/chainer/chainerrl/pull/104
    https://github.com/cupy/cupy/pull/84
    https://github.com/ray-project/ray/pull/24278
Greedy (DRAW-1): the most likely token, whatever the noise [greedy]
HalfNoise (DRAW-1): noise rounded to float16: small numbers become 0 [float16_noise]
    https://github.com/pytorch/pytorch/issues/192812
FirstOfEqual (DRAW-1): the last of equal race values wins [last_maximum]
    https://github.com/Pushkinist/rMLX/issues/373
ZeroOverZero (DRAW-2): 0 / 0 = nan wins, or an epsilon under the logarithm: a token of probability zero is drawn
    [nan_wins epsilon_in_the_log]
    https://github.com/pytorch/pytorch/issues/192577
    https://github.com/sgl-project/sglang/issues/25106
    https://github.com/pytorch/xla/issues/2562
RaceUnderflow (DRAW-2): p / E underflows to 0 and loses to a token of probability zero [underflow_loses]
ZeroNoise (DRAW-2): noise of 0 or -0 does not win, or wins as -inf [negative_zero_loses]
Replacement (DRAW-3): the same token twice, or tokens in another order than that of arrival
    [with_replacement sorted_ids reversed_order]
    https://github.com/vllm-project/vllm/pull/858
NotNormalised (DRAW-4): a row that does not sum to 1 refused [must_sum_to_one]
    https://github.com/numpy/numpy/issues/16688
NoiseOrder (HEAD-4): one row of noise for all rows, or noise handed out in another order than row by row
    [same_noise_for_all_rows noise_in_other_order]
SixteenBits (HEAD-2): 16-bit weights raced in 16 bits [races_in_16_bits]
SeededFill (RNG-3): the stream handed out in another order than row by row [torch_rng-ColumnByColumn]
WideNoise (RNG-3): noise kept in float64: numbers that are equal in float32 are told apart [noise_in_float64]
EveryRowEveryStep (RNG-5): finished rows or masked tokens take no numbers, or the generator is seeded anew at every step
    https://github.com/sgl-project/sglang-jax/pull/940
BadProbs (DRAW-5): negative weights taken for zero; nan, infinity or a row of zeros answered with a token
    [negative_is_zero]
BadNoise (DRAW-5): noise that is negative, nan, infinite or of another shape goes on
TooManySamples (DRAW-6): more samples than possible tokens filled up with impossible ones [fills_up_with_zeros]
    https://github.com/pytorch/pytorch/pull/2896
KindError (HEAD-5): whole numbers or bools cast, or refused with the code of a wrong value
"""


def build() -> File:
    """The file of vectors."""
    file = File("multinomial", FLAGS, answers, num_samples=1)
    rng = Numbers(6)
    stream = exact.Stream(6)

    def exponential(n: int) -> np.ndarray:
        return array(stream.exponential(n, "float32"))

    file.group("whole quotients", "DRAW-1", "The largest p / E wins; nothing is rounded. Make these pass first.")
    file.valid("2 / 1 beats 6 / 4", "Greedy WrongRace", probs=[2, 6], noise=[1, 4])
    file.valid("1 / 4 beats 0 / 1", probs=[0, 1], noise=[1, 4])
    file.valid("equal race values: the lowest id", "FirstOfEqual", probs=[1, 2, 4], noise=[2, 2, 4])
    file.valid("three equal, in order", "FirstOfEqual", probs=[1, 2, 1], num_samples=3, noise=[1, 2, 1])

    file.group("given noise", "DRAW-1", "Rounded quotients, far enough apart.")
    probs = array([0.5, 0.3, 0.15, 0.05])
    for _ in range(4):
        file.valid("four tokens", "WrongRace Greedy", probs=probs, noise=exponential(4))
    long = array(exact.softmax(exact.fractions(rng.normal(24) * 2)))
    file.valid("24 tokens, 5 drawn", "WrongRace Greedy Replacement", probs=long, num_samples=5, noise=exponential(24))
    file.valid("noise below float16", "HalfNoise", probs=[0.5, 0.5], noise=[2e-8, 1e-8])
    file.acceptable(
        "0.1 / 0.3 and 0.2 / 0.6 differ by less than one rounding: either may come first",
        probs=[0.1, 0.2, 0.1],
        noise=[0.3, 0.6, 7],
    )
    file.valid("one possible token", probs=[0, 0, 0.25, 0], noise=[0.1, 3, 9, 0.2])

    file.group("zeros", "DRAW-2", "A token of probability zero is never drawn, whatever the noise.")
    file.valid("0 / 0", "ZeroOverZero", probs=[0, 1], noise=[0, 1])
    file.valid("0 / -0", "ZeroOverZero", probs=[1, 0], noise=[1, -0.0])
    file.valid("0 / 1e-30", "ZeroOverZero", probs=[0, 1], noise=[1e-30, 1])
    file.valid("-0 is 0", "ZeroOverZero", probs=[-0.0, 1], noise=[0, 1])
    file.valid("noise 0 of a possible token wins", "ZeroNoise", probs=[0.9, 0.1], noise=[1e-30, 0])
    file.valid("noise -0 as well", "ZeroNoise", probs=[0.9, 0.1], noise=[1e-30, -0.0])
    file.valid(
        "two zeros: the lowest id", "ZeroNoise FirstOfEqual", probs=[0, 0.1, 0.9], num_samples=2, noise=[0, 0, 0]
    )
    file.valid("1e-45 / 3 underflows", "RaceUnderflow", probs=[0, 1e-45], noise=[1, 3])
    file.acceptable(
        "1e-45 / 1 and 1e-45 / 3: both below the smallest normal number, either may come first",
        "RaceUnderflow",
        probs=[1e-45, 0, 1e-45],
        num_samples=2,
        noise=[1, 1, 3],
    )
    file.acceptable(
        "1 / 1e-40 and 3 / 1e-40 overflow in float32 and are equal there, not in float64",
        probs=[0, 1, 3],
        noise=[1, 1e-40, 1e-40],
    )

    file.group("several samples", "DRAW-3", "Different tokens, in order of arrival.")
    file.valid("2 of 3", "Replacement", probs=[0.2, 0.7, 0.1], num_samples=2, noise=[2, 1, 0.25])
    file.valid("all 4", "Replacement", probs=probs, num_samples=4, noise=exponential(4))
    file.valid("3 of 5, two impossible", "Replacement", probs=[1, 0, 4, 0, 2], num_samples=3, noise=[2, 1, 16, 1, 1])

    file.group("any sum", "DRAW-4", "Weights need not sum to 1.")
    file.valid("a sum of 9", "NotNormalised", probs=[1, 3, 5], noise=[1, 2, 8])
    file.valid("a sum of 1e-30", "NotNormalised", probs=[2e-31, 8e-31], noise=[1, 8])
    file.valid("a sum that overflows", "NotNormalised", probs=[3e38, 3e38, 1e38], noise=[3, 2, 4])
    file.valid("three float32 thirds", "NotNormalised", probs=[1 / 3, 1 / 3, 1 / 3, 0], noise=[1, 3, 2, 1])

    file.group("batches", "HEAD-4", "Given its own noise a row gives the same token wherever it stands.")
    rows, noise = array([[1, 2, 3], [3, 2, 1]]), array([[4, 1, 8], [1, 8, 0.25]])
    file.valid("a row alone", probs=rows[1], noise=noise[1])
    file.valid("the same row in a batch", "NoiseOrder", probs=rows, noise=noise)
    file.valid("two leading axes", "NoiseOrder", probs=rows[:, None], num_samples=2, noise=noise[:, None])
    file.valid("a batch of no rows", probs=empty(0, 3), noise=empty(0, 3))

    file.group("dtypes", "HEAD-2", "The race is run in the dtype of the weights, 16 bits in float32.")
    file.valid("float64", probs=float64([0.5, 0.5]), noise=float64([1 + 2**-40, 1]))
    half = array([0.25, 0.25, 0.5], "float16")
    file.valid("float16 weights, float32 noise", "SixteenBits", probs=half, num_samples=3, noise=[2e-8, 1e-8, 3e-8])

    file.group(
        "PyTorch's stream", "RNG-3", "Noise drawn from the seed, in C order of (rows, V): torch.multinomial's tokens."
    )
    for seed in ("0", "7", "-3", "4294967301"):
        file.valid("24 tokens", "SeededFill", probs=long, seed=seed)
    file.valid("5 samples", "Replacement", probs=long, num_samples=5, seed="5")
    file.valid("a batch of three rows", "SeededFill NoiseOrder", probs=np.stack([long] * 3), num_samples=2, seed="9")
    file.valid("1e-45 alone: its race may underflow", "RaceUnderflow", probs=[0, 1e-45], seed="1")
    file.valid("float64", "SeededFill", probs=float64(long).reshape(2, 12), num_samples=3, seed="12")

    file.group("steps", "RNG-5", "Axes (steps, batch, V): V numbers for every row at every step, from one stream.")
    steps = [[probs, [0, 0, 1, 0], probs[::-1]]] * 3
    for seed in ("3", "2024"):
        file.valid("the second row has finished", "EveryRowEveryStep SeededFill", probs=steps, seed=seed)
    masked = np.where(np.arange(24) % 2, long, 0)
    file.valid("half of the tokens masked", "EveryRowEveryStep", probs=np.stack([masked] * 4)[:, None], seed="8")

    file.group("bad weights and noise", "DRAW-5", "Refused.")
    ones = array([1, 1])
    for word, bad in (("negative", -0.1), ("nan", nan), ("infinite", inf)):
        file.invalid("bad_probs", f"{word} weights", "BadProbs", probs=[0.5, bad], noise=ones)
        file.invalid("bad_probs", f"{word} weights, seeded", "BadProbs", probs=[0.5, bad], seed="0")
        file.invalid("bad_noise", f"{word} noise", "BadNoise", probs=ones, noise=[0.5, bad])
    zeros = array([[1, 0], [0, 0]])
    file.invalid("bad_probs", "a row of zeros", "BadProbs", probs=zeros, noise=[[1, 1], [1, 1]])
    file.invalid("bad_probs", "a row of zeros, seeded", "BadProbs", probs=zeros, seed="0")
    file.invalid("bad_shape", "noise of another length", "BadNoise", probs=ones, noise=[1, 1, 1])
    file.bad_tensor("probs", "BadProbs", [[]], seed="0")

    file.group("samples", "DRAW-6", "From 1 to the number of tokens of non-zero probability.", probs=[1, 1])
    few = array([0, 0, 0.5, 0.5, 0])
    file.invalid("bad_num_samples", "5 of 2 possible", "TooManySamples", probs=few, num_samples=5, seed="0")
    file.invalid("bad_num_samples", "3 of 2 possible", "TooManySamples", probs=few, num_samples=3, noise=[1] * 5)
    file.invalid(
        "bad_num_samples", "2 of 1 in one row", "TooManySamples", probs=[[1, 1], [0, 1]], num_samples=2, seed="0"
    )
    file.invalid("bad_num_samples", "3 of V = 2", "TooManySamples", num_samples=3, seed="0")
    for n in (0, -1):
        file.invalid("bad_num_samples", f"{n}", "TooManySamples", num_samples=n, seed="0")
    for kind in (1.5, True):
        file.invalid("bad_num_samples", f"{kind}".lower(), "KindError", num_samples=kind, seed="0")
    file.invalid("bad_seed", "seed 2^64", "KindError", seed=str(2**64))

    file.group("noise that is equal in float32", "RNG-3", "Rounded to float32, these two numbers are one.")
    only = np.isin(np.arange(64), (8, 17)).astype(
        np.float32
    )  # E is 0.39932635725 and 0.39932635530 before it is rounded
    file.valid("two tokens at once: the lowest id", "WideNoise FirstOfEqual", probs=array(only), seed="142005")
    file.group("seeds", "RNG-1", "All 64 bits are read, and a seed begins its stream anew each time.", probs=[1] * 50)
    for seed in ("9007199254740993", "18446744073709551615", "-9223372036854775808", "1", "1"):
        file.valid(f"seed {seed}", "SeededFill", seed=seed)
    return file
