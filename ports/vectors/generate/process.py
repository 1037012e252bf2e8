"""Vectors of `process`: steps that round once each, so that answers are exact, but for those of a frequency penalty."""

from math import inf

import numpy as np

from .build import BAD_LOGITS, KIND_ERROR, array, empty, float64
from .penalised import IdsFile
from .processed import answers

FLAGS = """
OrderOfSteps (PIPE-1): steps in an order of one's own, not in the one given
    [reverse own_order temperature_last temperature_first by_name additive_penalties_first top_k_before_top_p
    without_the_last the_first_alone default_temperature log_probs_returned normalised_between finite_between]
OneTime (PIPE-1): a step that stands twice applied once [the_last_twice a_dictionary_of_steps]
TakesTheFirst (PIPE-1): a filter looks at the logits of the model, not at what reaches it; or does not renormalise
    [joint]
NoSteps (PIPE-1): without steps logits changed, refused, or defaults applied
Counts (PIPE-2): ids counted that are not to be, or the other way round: prompt and output, or the last n
    [counts_ignored output_by_default prompt_for_output one_id_more the_first_n prompt_one_longer
    prompt_forgotten]
CountsZero (PIPE-2): the last 0 ids taken for all of them [the_last_0_are_all]
TiesAny (PIPE-3): ties = any refused, or handed to the step
UniformOfRow (PIPE-1): the uniform not handed to a step, or that of another row
UnknownStep (PIPE-4): a step or an argument that is not known left out
    [unknown_steps_left_out unknown_arguments_ignored]
BadSteps (PIPE-4): steps of another form, or a prompt longer than the history, go on
StepRefuses (PIPE-4): a step's own bad arguments mean off
SixteenBits (HEAD-2): rounded to 16 bits between two steps [float16_between]
OfTheBatch (HEAD-4): a filter or a history of the whole batch [history_of_the_first_row first_row_alone]
InPlace (HEAD-3): the caller's logits or steps overwritten [in_place consumes_the_steps]
"""


def build() -> IdsFile:
    """The file of vectors."""
    file = IdsFile("process", FLAGS + BAD_LOGITS + KIND_ERROR, answers)
    five = array([3, 2, 1, 0, -1])
    halved, nucleus = ["apply_temperature", {"temperature": 2}], ["keep_top_p", {"p": 0.9}]
    least = ["keep_min_p", {"p": 0.2}]

    file.group(
        "order", "PIPE-1", "Each step is given the result of the one before. Make these pass first.", logits=five
    )
    file.valid("temperature, then top-p: four survive", "OrderOfSteps TakesTheFirst", steps=[halved, nucleus])
    file.valid("top-p, then temperature: three survive", "OrderOfSteps", steps=[nucleus, halved])
    file.valid("temperature, then min-p", "OrderOfSteps TakesTheFirst", steps=[halved, least])
    file.valid("min-p, then temperature", "OrderOfSteps", steps=[least, halved])
    two, eight = ["keep_top_k", {"k": 2}], ["keep_top_p", {"p": 0.7}]
    file.valid("top-k, then top-p of what is left: one", "TakesTheFirst OrderOfSteps", steps=[two, eight])
    file.valid("top-p, then top-k: two", "OrderOfSteps", steps=[eight, two])
    repetition = ["repetition_penalty", {"penalty": 4}]
    penalised = [repetition, ["keep_top_k", {"k": 2}], ["apply_temperature", {"temperature": 0.5}]]
    file.valid("a penalty, then top-k", "OrderOfSteps TakesTheFirst", steps=penalised, history=[0, 1])
    file.valid("top-k, then the penalty", "OrderOfSteps", steps=[penalised[1], penalised[0]], history=[0, 1])
    both = [["repetition_penalty", {"penalty": 2}], ["presence_penalty", {"penalty": 0.5}]]
    file.valid("2 / 2 - 0.5", "OrderOfSteps", logits=[2, 1], steps=both, history=[0])
    file.valid("(2 - 0.5) / 2", "OrderOfSteps", logits=[2, 1], steps=both[::-1], history=[0])
    file.valid("bits that float16 does not have", "SixteenBits", logits=[1 + 2**-20, -0.1], steps=[halved, halved])
    bias = ["logit_bias", {"biased": [3, 4], "biases": [2.5, -0.5]}]
    file.valid("a bias before the temperature", "OrderOfSteps", steps=[bias, halved])
    file.valid("a bias after it", "OrderOfSteps", steps=[halved, bias])
    file.valid("the temperature twice", "OneTime", steps=[halved, halved])
    file.valid("top-p twice: it is given what it left", "OneTime TakesTheFirst", steps=[nucleus, eight, eight])
    banned = [["ban", {"banned": [0]}], ["no_repeat_ngram", {"ngram_size": 2}], two]
    file.valid("bans, then top-k", "OrderOfSteps TakesTheFirst", steps=banned, history=[1, 2, 1])
    ended = [["min_length", {"length": 3, "end_ids": [0, 2]}], two]
    file.valid("a text that is too short", "OrderOfSteps", steps=ended, history=[0, 1])

    file.group("no steps", "PIPE-1", "The logits come back, to the bit.", steps=[])
    file.valid("one row", "NoSteps", logits=[1, -0.0, -inf, 3])
    file.valid("with a history", "NoSteps", logits=[1, 2, 3], history=[0, 0], prompt_length=1)
    file.valid("float16 becomes float32", "NoSteps", logits=array([1, 0.1, -3], "float16"))

    once = "The first 3 ids of 5 are the prompt."
    given = {"logits": array([1, 2, 3, 4, -5]), "history": [0, 1, 0, 2, 4], "prompt_length": 3}
    file.group("counts", "PIPE-2", once, **given)
    for counts in ("all", "prompt", "output", 0, 2):
        flags = "Counts CountsZero" if counts == 0 else "Counts"
        file.valid(f"{counts}", flags, steps=[["repetition_penalty", {"penalty": 2, "counts": counts}]])
    file.valid("without the word: all", "Counts", steps=[repetition])
    presence = ["presence_penalty", {"penalty": 0.5, "counts": "output"}]
    several = [["repetition_penalty", {"penalty": 2, "counts": "prompt"}], presence]
    file.valid("each step its own", "Counts OrderOfSteps InPlace", steps=several)
    file.valid("no prompt: all is output", "Counts", steps=[presence], prompt_length=0)
    file.valid("nothing but a prompt", "Counts", steps=[presence], prompt_length=5)
    ngram = ["no_repeat_ngram", {"ngram_size": 2, "counts": "output"}]
    file.valid("an n-gram of the output", "Counts", steps=[ngram], history=[1, 2, 3, 0, 1])

    file.group("ties", "PIPE-3", "ties = any is a remark; here nothing is tied.")
    any_k, any_p = ["keep_top_k", {"k": 2, "ties": "any"}], ["keep_top_p", {"p": 0.7, "ties": "any"}]
    file.valid("top-k", "TiesAny", logits=five, steps=[any_k])
    file.valid("top-k, then top-p", "TiesAny TakesTheFirst", logits=five, steps=[any_k, any_p])

    file.group("uniform", "PIPE-1", "One number for each row, for XTC.", steps=[
        ["keep_xtc", {"threshold": 0.1, "probability": 0.5}], halved
    ])  # fmt: skip
    rows = array([[3, 2, 1, 0], [0, 2.5, 1, 2]])
    file.valid("two rows, one below the probability", "UniformOfRow", logits=rows, uniform=float64([0.25, 0.75]))
    file.valid("the other one below it", "UniformOfRow", logits=rows, uniform=float64([0.5, 0.0]))
    file.valid("a row alone", "UniformOfRow", logits=rows[0], uniform=float64(0.25))

    file.group("batches", "HEAD-4", "Every row by itself.", steps=[repetition, halved, nucleus])
    rows = array([[[3, 2, 1, 0], [-20, 1, -3, 2]], [[100, 97, 99, 90], [0, -inf, 4, 1]]])
    ids = array([[[0, 0], [3, 1]], [[1, 3], [2, 2]]], "int64")
    file.valid("a row alone", logits=rows[0, 1], history=ids[0, 1])
    file.valid("two leading axes", "OfTheBatch", logits=rows, history=ids)
    file.valid("a batch of no rows", logits=empty(2, 0, 4), history=np.zeros((2, 0, 3), np.int64))
    file.valid("float64", logits=float64([3, 2, 1.1, 0]), history=[2])
    file.valid("bfloat16", logits=array([3, 2, 1.1, 0], "bfloat16"), history=[2])
    file.valid("logits that a caller uses again", "InPlace", logits=[3, 2, 1, 0], history=[2])

    file.group(
        "bad steps", "PIPE-4", "A list of pairs; functions from logits to logits, and their arguments.", logits=five
    )
    for name in ("keep_top_q", "softmax", "process"):
        file.invalid("bad_steps", f"a step called {name!r}", "UnknownStep", steps=[[name, {}]])
    file.invalid("bad_steps", "after a good one", "UnknownStep", steps=[halved, ["temperature", {"temperature": 2}]])
    file.invalid("bad_steps", "another argument", "UnknownStep", steps=[["keep_top_p", {"p": 0.9, "k": 2}]])
    file.invalid("bad_steps", "without an argument", "BadSteps", steps=[halved, ["keep_xtc", {"threshold": 0.1}]])
    file.invalid("bad_steps", "counts of a filter", "UnknownStep", steps=[["keep_top_k", {"k": 2, "counts": "all"}]])
    file.invalid(
        "bad_steps", "a step with logits of its own", "UnknownStep", steps=[["keep_top_k", {"k": 2, "logits": [1]}]]
    )
    for counts in ("input", -1):
        steps = [["presence_penalty", {"penalty": 1, "counts": counts}]]
        file.invalid("bad_steps", f"counts = {counts}", "Counts", steps=steps, history=[0])
    for prompt_length in (3, -1):
        bad = {"prompt_length": prompt_length, "history": [0, 1]}
        file.invalid("bad_steps", f"prompt_length = {prompt_length} of 2", "BadSteps", steps=[repetition], **bad)
    for comment, step in {"a word": "greedy", "no arguments": ["greedy"], "a list of arguments": ["ban", [1]]}.items():
        file.invalid("bad_steps", f"a step that is no pair: {comment}", "BadSteps", steps=[step])

    file.group("refused by a step", "PIPE-4", "With the code of its function.", logits=five, history=[])
    file.invalid("bad_temperature", "T = 0", "StepRefuses", steps=[["apply_temperature", {"temperature": 0}]])
    file.invalid("bad_k", "k = 0", "StepRefuses", steps=[halved, ["keep_top_k", {"k": 0}]])
    file.invalid("bad_share", "p = 1.5", "StepRefuses", steps=[["keep_top_p", {"p": 1.5}]])
    file.invalid("bad_penalty", "r = 0", "StepRefuses", steps=[["repetition_penalty", {"penalty": 0}]])
    file.invalid("bad_logits", "a ban of every survivor", "StepRefuses", steps=[two, ["ban", {"banned": [0, 1]}]])
    file.invalid("bad_token_ids", "V in the history", "StepRefuses", steps=[repetition], history=[5])

    file.group("bad logits", "SOFTMAX-4", "Refused, with steps or without.", steps=[])
    file.bad_logits(kinds="bools")
    file.invalid(
        "bad_shape", "one history for two rows", "BadSteps", logits=[[1, 2], [3, 4]], steps=[repetition], history=[0]
    )

    file.group("every other step", "PIPE-1", "A filter looks at the softmax of what reaches it.", logits=five)
    filters: dict[str, list[object]] = {
        "typical": ["keep_typical", {"mass": 0.5}],
        "epsilon": ["keep_epsilon", {"cutoff": 0.125}],
        "eta": ["keep_eta", {"cutoff": 0.1}],
        "top-h": ["keep_top_h", {"h": 0.625}],
        "XTC": ["keep_xtc", {"threshold": 0.15, "probability": 1}],
    }
    for name, of in filters.items():
        u = {"uniform": float64(0.5)} if name == "XTC" else {}
        file.valid(f"temperature, then {name}", "OrderOfSteps TakesTheFirst", steps=[halved, of], **u)
        file.valid(f"{name}, then temperature", "OrderOfSteps", steps=[of, halved], **u)
    sigma = ["keep_top_n_sigma", {"n": 0.75}]
    file.valid(
        "bans, then n-sigma: of what is left", "OrderOfSteps TakesTheFirst", steps=[["ban", {"banned": [4]}], sigma]
    )
    scaled = ["finish_logits", {"multiplier": 3, "divisor": 6}]
    file.valid("a scale, then top-p", "OrderOfSteps TakesTheFirst", steps=[scaled, nucleus])
    file.valid("a nucleus, then a scale", "OrderOfSteps", steps=[nucleus, scaled])
    often = ["frequency_penalty", {"penalty": 0.75}]
    file.valid("a frequency penalty, then top-k", "OrderOfSteps", steps=[often, two, halved], history=[0, 0, 0, 1])
    file.valid("top-k, then the penalty", "OrderOfSteps", steps=[two, often, halved], history=[0, 0, 0, 1])
    of_output = ["frequency_penalty", {"penalty": 0.5, "counts": "output"}]
    file.valid("counts of a frequency", "Counts", steps=[of_output], history=[0, 0, 1, 1, 1], prompt_length=3)

    tied = "Any of the tokens that tie for the last place may stay; as many as without the word."
    file.group("any of the tied", "PIPE-3", tied, logits=[1, 3, 1, 1])
    file.acceptable("top-k: one of three", "TiesAny", steps=[any_k])
    of_equal = ["keep_top_p", {"p": 0.5, "ties": "any"}]
    file.acceptable("top-p: two of four equal", "TiesAny", logits=[2, 2, 2, 2], steps=[of_equal, halved])
    return file
