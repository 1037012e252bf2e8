"""Vectors of `draw_as`: what other runtimes draw from a seed, several tokens in a row."""

from itertools import product
from math import inf, nan

import numpy as np

from . import exact
from .build import KIND_ERROR, Answer, File, array, empty, float64, ids
from .runtimes import WALKS, drawn

FLAGS = """
OneStream (STREAM-1): the generator made anew for each token
    [seeded_for_each_token]
    https://github.com/sgl-project/sglang-jax/pull/940
SeedBits (STREAM-1): a seed cut to 31 bits [seed_of_31_bits]
BadSeed (STREAM-1): a seed that the runtime takes for something else, or one out of range, goes on [random_seed_goes_on]
BadRuntime (STREAM-1): an unknown runtime answered with some token
BadProbs (STREAM-1): negative weights, nan, infinity, a row of zeros or a total that overflows answered with a token
StdMt19937 (STREAM-2): the words of MT19937 joined as in PyTorch, or its state set as in Python
    [first_word_high seeded_as_python]
SingleToken (STREAM-2): no number taken where one token is left [no_number_for_a_single_token]
Order (STREAM-2): survivors walked or raced over by id, or the rank returned
    [llama_cpp_by_id transformers_js_by_id rank_returned survivors_by_id]
Xorshift (STREAM-3): the low bits kept [low_bits]
FloatSum (STREAM-3): the sum kept in float64 [sum_in_float64]
EndOfWalk (STREAM-3): another token at the end of the walk, or u scaled by the total where it is not, or the reverse
    [last_possible_at_the_end not_scaled_in_llm_c scaled_in_llama2_c]
    https://github.com/karpathy/llama2.c/blob/00401b62bd1afa052cc909af49894d35f96a789d/run.c
PythonRandom (STREAM-4): MT19937 seeded as in PyTorch [seeded_as_pytorch]
Gumbel (STREAM-5): noise added to p, or with the wrong sign [noise_added_to_p noise_subtracted]
    https://github.com/sgl-project/sglang-omni/pull/824
    https://github.com/chainer/chainerrl/pull/104
Counters (STREAM-5): the counters of another layout, or begun anew in each row [counters_of_each_row counters_in_halves]
    https://github.com/sgl-project/sglang-jax/pull/940
Pcg64 (STREAM-6): NumPy's old generator, or a state set without SeedSequence [old_generator without_a_seed_sequence]
Survivors (STREAM-7): the race run over the whole vocabulary [race_over_the_vocabulary]
"""
ROW = [1, 6, 0, 3, 8, 2, 0, 12]  # over 32
FLAG = {
    "llama.cpp": "OneStream StdMt19937 Order",
    "llama2.c": "Xorshift",
    "llm.c": "Xorshift",
    "transformers.js": "PythonRandom Order",
    "jax": "Gumbel Counters",
    "numpy": "Pcg64",
    "nanochat": "OneStream Survivors Order",
}
RULES = {
    "STREAM-2": ("llama.cpp",),
    "STREAM-3": ("llama2.c", "llm.c"),
    "STREAM-4": ("transformers.js",),
    "STREAM-5": ("jax",),
    "STREAM-6": ("numpy",),
    "STREAM-7": ("nanochat",),
}


def answers(probs: np.ndarray, runtime: str, seed: str) -> list[Answer]:
    """The token of each row; others where rounding may decide a race."""
    found = drawn(exact.rows(probs), runtime, int(seed), exact.compute_dtype(probs))
    return [Answer({"token_ids": ids(chosen, probs.shape[:-1])}) for chosen in product(*found)]


def build() -> File:
    """The file of vectors."""
    file = File("draw_as", FLAGS + KIND_ERROR, answers)
    rows = array([ROW] * 16) / np.float32(32)

    for rule, runtimes in RULES.items():
        for runtime in runtimes:
            file.group(
                runtime, rule, "One token, and then as many as there are rows, from one stream.", runtime=runtime
            )
            file.valid("the first token of seed 42", probs=rows[0], seed="42")
            for seed in ("42", "1", "2147483648", "4294967294"):
                bits = " SeedBits" * (seed[-1] in "48" and runtime in ("llama.cpp", "numpy"))
                file.valid(f"16 tokens, seed {seed}", FLAG[runtime] + bits, probs=rows, seed=seed)
            file.valid("equal tokens: the lowest id first", probs=array([[1, 2, 1, 2, 1, 1]] * 8) / 8, seed="7")
            file.valid("float64", probs=float64([[0.1, 0.2, 0.3, 0.4]] * 8), seed="3")

    file.group("a single token", "STREAM-2", "A number is taken for it as for any other.")
    single = array([[1, 0, 0, 1], [0, 1, 0, 0]] * 6) / 2
    for runtime in ("llama.cpp", "transformers.js"):
        file.valid(
            f"every other row has one token left: {runtime}", "SingleToken", probs=single, runtime=runtime, seed="3"
        )

    file.group("the end of the walk", "STREAM-3", "What is missing at the end goes to the last id, even a masked one.")
    half = array([[0.25, 0.25, 0]] * 12)
    for runtime in ("llama2.c", "llm.c"):
        file.valid(f"a sum of 1/2: {runtime}", "EndOfWalk", probs=half, runtime=runtime, seed="3")
        tail = array([1 - 2.0**-20, *[2.0**-26] * 64, 0])  # the first number of this seed is 1 - 9 / 2^24
        file.valid(
            f"a tail that float32 does not add up: {runtime}", "FloatSum", probs=tail, runtime=runtime, seed="3284011"
        )

    file.group("any sum", "STREAM-1", "Weights need not sum to 1, but in llama2.c, which does not scale.")
    for runtime in WALKS:
        file.valid(f"a sum of 34: {runtime}", probs=[[3, 1, 0, 30]] * 6, runtime=runtime, seed="9")

    file.group("batches", "HEAD-4", "Rows in C order.", runtime="llama.cpp", seed="5")
    file.valid("two leading axes", "OneStream", probs=rows.reshape(2, 8, 8))
    file.valid("a batch of no rows", probs=empty(0, 3))
    file.valid("float16", probs=array([[0.25, 0.75]] * 4, "float16"))
    file.valid("bfloat16", probs=array([[0.25, 0.75]] * 4, "bfloat16"))

    file.group("seeds", "STREAM-1", "0 to 2^32 - 1, but for what the runtime takes for something else.", probs=rows[0])
    for runtime, seed in (("llama.cpp", "4294967295"), ("llama2.c", "0"), ("llm.c", "0")):
        file.invalid("bad_seed", f"seed {seed} of {runtime}", "BadSeed", runtime=runtime, seed=seed)
    for runtime, seed in (("llama.cpp", "0"), ("llama2.c", "4294967295"), ("transformers.js", "0"), ("numpy", "0")):
        file.valid(f"seed {seed} of {runtime}", runtime=runtime, seed=seed)
    for seed in ("-1", "4294967296", "18446744073709551616"):
        file.invalid("bad_seed", f"seed {seed} is out of range", "BadSeed", runtime="jax", seed=seed)
    file.invalid("bad_seed", "a fraction", "BadSeed", runtime="numpy", seed="0.5")
    for unknown in ("ollama", ""):
        file.invalid("bad_runtime", f"{unknown!r} is no runtime here", "BadRuntime", runtime=unknown, seed="1")

    file.group("bad weights", "STREAM-1", "As in CDF-4.", runtime="llama.cpp", seed="1")
    for word, bad in (("negative", -0.1), ("nan", nan), ("infinite", inf)):
        file.invalid("bad_probs", word, "BadProbs", probs=[0.5, bad])
    file.invalid("bad_probs", "a row of zeros", "BadProbs", probs=[[1, 0], [0, 0]], runtime="numpy")
    file.invalid("overflow", "1e308 twice", "BadProbs", probs=float64([1e308, 1e308]), runtime="transformers.js")
    file.bad_tensor("probs", "BadProbs", [[]])
    return file
