"""Vectors of `torch_rng`: the stream of PyTorch's CPU generator, bit for bit."""

from typing import Any

from . import exact
from .build import Answer, File, floats

FLAGS = """
Seeding (RNG-1): another generator than MT19937, or seeded by init_by_array [SeededByArray AnotherGenerator]
SeedBits (RNG-1): a seed cut to 31 bits, all 64 bits used, or a negative one made positive
    [SeedOf31Bits SeedOf64Bits AbsoluteSeed]
BadSeed (RNG-1): a seed out of range wrapped around, a fraction cut off
StateLost (RNG-2): seeded anew at every call, or the rest of a block of numbers thrown away
    [SeededAtEveryCall DropsTheRestOfABlock]
    https://github.com/vllm-project/tpu-inference/pull/1189
    https://github.com/sgl-project/sglang-jax/pull/940
StateKept (RNG-2): the state of an earlier request goes on under a new seed
WordOrder (RNG-3): the low word first, the high 53 bits or only 52 bits kept, or one output each
    [LowWordFirst HighBits FiftyTwoBits OneOutputEach]
Logarithm (RNG-3): -log(U), a logarithm taken in float32, or one that is off by a unit in the last place
    [LogOfU Float32Logarithm VectorLogarithm]
UniformBits (RNG-4): the high 24 bits kept, or a division by 2^32 - 1 that reaches 1 [HighUniformBits ReachesOne]
    https://github.com/sgl-project/sglang/issues/25106
    https://github.com/ohdearquant/lattice/issues/345
"""


def answers(seed: str, calls: list[dict[str, Any]]) -> list[Answer]:
    """The numbers of every call, from one stream."""
    stream = exact.Stream(int(seed))
    numbers = [getattr(stream, call["draw"])(call["size"], call["dtype"]) for call in calls]
    return [Answer({"numbers": [floats(x, [len(x)], call["dtype"]) for x, call in zip(numbers, calls, strict=True)]})]


def exponential(size: int, dtype: str = "float32") -> dict[str, Any]:
    """A call that draws exponentials."""
    return {"draw": "exponential", "dtype": dtype, "size": size}


def uniform(size: int, dtype: str = "float32") -> dict[str, Any]:
    """A call that draws uniforms."""
    return {"draw": "uniform", "dtype": dtype, "size": size}


def build() -> File:
    """The file of vectors."""
    file = File("torch_rng", FLAGS, answers)
    four = [exponential(4)]

    file.group(
        "seeds", "RNG-1", "MT19937 by init_genrand from the low 32 bits of the seed. Seed 7 is SPEC.md's.", calls=four
    )
    file.valid("seed 7", "Seeding WordOrder", seed="7")
    file.valid("seed 0", "Seeding", seed="0")
    file.valid("seed 2^32 is seed 0", "SeedBits", seed=str(2**32))
    file.valid("seed 2^32 + 5 is seed 5", "SeedBits", seed=str(2**32 + 5))
    file.valid("seed 2^31: its highest bit counts", "SeedBits", seed=str(2**31))
    file.valid("seed -1 is 2^64 - 1", "SeedBits", seed="-1")
    file.valid("seed 2^64 - 1", "SeedBits", seed=str(2**64 - 1))
    file.valid("seed -2^63", "SeedBits", seed=str(-(2**63)))
    for seed in (str(2**64), str(-(2**63) - 1)):
        file.invalid("bad_seed", f"seed {seed} is out of range", "BadSeed", seed=seed)
    file.invalid("bad_seed", "a fraction", "BadSeed", seed="0.5")

    file.group("uniforms", "RNG-4", "float32: the low 24 bits of one output. float64: the low 53 bits of two.")
    file.valid("float32", "UniformBits", seed="0", calls=[uniform(6)])
    file.valid("float64", "WordOrder", seed="0", calls=[uniform(6, "float64")])

    file.group(
        "exponentials", "RNG-3", "-log1p(-U) in double precision, then rounded; two outputs each in both dtypes."
    )
    file.valid("float32", "WordOrder Logarithm", seed="2024", calls=[exponential(12)])
    for seed in ("0", "14", "15"):
        file.valid(
            "float64: each exact value lies so near its float64 that any good log1p gives it",
            "Logarithm WordOrder",
            seed=seed,
            calls=[exponential(3, "float64")],
        )

    file.group("one stream", "RNG-2", "A call goes on where the last one ended, whichever kind of number that drew.")
    file.valid("two calls of 3", "StateLost", seed="7", calls=[exponential(3)] * 2)
    file.valid(
        "all kinds in turn, an odd number of outputs first",
        "StateLost",
        seed="11",
        calls=[uniform(3), exponential(2), uniform(2, "float64"), uniform(1), exponential(2)],
    )
    file.valid("a call of no numbers", "StateLost", seed="7", calls=[exponential(0), *four])
    file.valid("seed 7 again starts at the beginning", "StateKept", seed="7", calls=four)
    file.valid("beyond the 624 words of the state", "StateLost", seed="1", calls=[uniform(600), exponential(40)])
    straddling = [uniform(623), exponential(2)]
    file.valid("a number of two words, one before the 624th and one after", "StateLost", seed="1", calls=straddling)
    return file
