"""A port in Python that keeps to the protocol, or breaks it in one named way: what the checker is tried on.

    python -m ports.tests.harness [KIND [OPERATION ...]]

Serves the reference, all of its operations or these. A broken kind behaves until its first request for `softmax`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

import reference
from parity_tests.contract import FLOATS
from ports.checker.errors import RefusedError, SkippedError
from ports.checker.judge import of_head
from ports.onnx import refusals
from ports.values import encode
from ports.vectors import arguments
from reference.operations import CALLED, OPERATIONS, STAGES, TIES, WITH_VECTORS

OFFERED = [*(operation.name for operation in WITH_VECTORS), *(name for name in CALLED if name not in STAGES)]
# A head without PyTorch, which `parity_tests.heads` would bring.
HEAD: Any = SimpleNamespace(
    **{name: getattr(reference, name) for name in CALLED},
    torch_rng=reference.TorchGenerator,
    name="reference",
    takes_noise=True,
)
ARGUMENTS = ("logits", "temperature", "k", "probs", "num_samples", "noise", "uniform", "seed")


# The first words of a message of filters, penalties, log-probabilities and pipelines, and the code that they stand for.
WORDS = (
    (r".* has dtype |.* is a masked array", "bad_dtype"),
    (r".* has shape |.* is a single number", "bad_shape"),
    (r"\(logits / temperature", "overflow"),
    (r".*-inf for every token|logits\b.* is ", "bad_logits"),
    (r"\(penalised logits\)|\(\(logits", "overflow"),
    (r"(p|mass|cutoff|h|threshold|probability) is ", "bad_share"),
    (r"(n|until|ties|uniform|k|penalty|temperature|bias)\b.* is ", "bad_{}"),
    (r"the sum of probs", "overflow"),
    (r"(probs|runtime|seed)\b.* (?:is|sums) ", "bad_{}"),
    (r"biases\b|biased\b.* again", "bad_biases"),
    (r"(ngram_size|length) is ", "bad_count"),
    (r"(history|banned|biased|end_ids|token_ids|ignore_index)\b", "bad_token_ids"),
    (r"(steps|counts|prompt_length)\b", "bad_steps"),
)


def code_by_words(message: str) -> str:
    """The code of a refusal by the words of its message."""
    found = ((re.match(words, message), code) for words, code in WORDS)
    match, code = next((match, code) for match, code in found if match)
    return code.format(*match.groups())


def code_of(op: str, given: dict[str, Any], message: str) -> str:
    """The protocol's code for a refusal of the reference: that of the first check that refuses these arguments too.

    Where none of them does, it is the one code of the operation that none of them stands for.
    """
    if OPERATIONS[op].family:
        return code_by_words(message)
    ask = given.get
    try:
        if "embedding" in given:
            refusals.factors(given["context"], given["embedding"])
            given = {"logits": reference.compute_logits(given["context"], given["embedding"]), **given}
        if "logits" in given:
            refusals.logits(given["logits"])
        if "temperature" in given:
            refusals.temperature(given["temperature"], given["logits"].dtype.name)
        if "probs" in given:
            refusals.weights(given["probs"], refusals.count("num_samples", ask("num_samples", 1)))
        if "noise" in given:
            refusals.noise(given["noise"], given["probs"])
        if "uniform" in given:
            refusals.uniform(given["uniform"], given["probs"].shape[:-1])
        refusals.count("k", ask("k", 1))
        refusals.check("bad_seed", reference.TorchGenerator, ask("seed", 0))
        if "weight" in given or "bias" in given:
            return code_of_output_layer(given)
    except refusals.Refused as refused:
        return refused.code
    (left,) = set(OPERATIONS[op].refusals) - {"bad_dtype", "bad_shape", *(f"bad_{name}" for name in ARGUMENTS)}
    return left


def code_of_output_layer(given: dict[str, Any]) -> str:
    """The code of a refusal of a norm, or of what finishes logits: that of the first argument that is bad."""
    name = "logits" if "logits" in given else "hidden"
    arrays = {key: np.asarray(given[key]) for key in (name, "weight", "bias") if key in given}
    if any(array.dtype.name not in FLOATS for array in arrays.values()):
        return "bad_dtype"
    rows = arrays.pop(name)
    if not rows.ndim or not rows.shape[-1] or any(array.shape != rows.shape[-1:] for array in arrays.values()):
        return "bad_shape"
    if not np.isfinite(rows).all() and name == "hidden":
        return "bad_hidden"
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return "bad_weight"
    dtype = np.dtype("float64" if "float64" in (rows.dtype, *(array.dtype for array in arrays.values())) else "float32")
    codes = {"weight_offset": "bad_weight", "epsilon": "bad_epsilon"}
    for key in ("weight_offset", "epsilon", "multiplier", "divisor", "cap"):
        with np.errstate(all="ignore"):
            number = dtype.type(given.get(key, 1))
        positive = key == "weight_offset" or number > 0
        finite = key == "cap" or np.isfinite(number)
        if isinstance(given.get(key), bool) or np.isnan(number) or not (positive and finite):
            return codes.get(key, "bad_scale")
    return "overflow"


def answer(call: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one request, without its number."""
    op = request["op"]
    if op == "hello":
        said = {"protocol": 1, "name": "harness", "version": "1", "language": "Python", "operations": OFFERED}
        return {"result": {**said, "dtypes": list(FLOATS), "ties": list(TIES)}}
    if op == "stop":
        return {"result": {}}
    if op not in OFFERED:
        return {"skipped": f"no {op} here"}
    try:
        given = arguments(request["inputs"])
        return {"result": {name: encode(value) for name, value in call(op, given).items()}}
    except SkippedError as reason:
        return {"skipped": str(reason)}
    except RefusedError as error:
        return {"refused": {"code": error.code, "message": str(error)}}
    except (ValueError, TypeError) as error:
        return {"refused": {"code": code_of(op, given, str(error)), "message": str(error)}}


def say(text: str) -> None:
    """One line, or a part of one, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _flood(_: str) -> None:
    while True:
        say("{}\n")


def _flood_one_line(_: str) -> None:
    while True:
        say("x" * 65536)


def _child_keeps_the_pipe(_: str) -> None:
    subprocess.Popen(["sleep", "600"])
    os._exit(1)


def _closes_stdout(_: str) -> None:
    os.close(1)
    time.sleep(600)


def _die(_: str) -> None:
    print("warming up\nout of memory: 3 GB wanted", file=sys.stderr, flush=True)
    sys.exit(3)


def _split(line: str) -> None:
    say(line[:20])
    time.sleep(0.01)
    say(line[20:])


def _edited(edit: Callable[[dict[str, Any]], Any]) -> Callable[[str], None]:
    """Results are edited, refusals go out as they are."""

    def broken(line: str) -> None:
        reply = json.loads(line)
        edited = edit(reply) if "result" in reply else None
        say(json.dumps(reply if edited is None else edited) + "\n")

    return broken


def _tensor(**change: Any) -> Callable[[str], None]:
    return _edited(lambda reply: reply["result"]["probs"].update(change))


_asked = 0


def _now_and_then(broken: Callable[[str], object], every: int) -> Callable[[str], object]:
    """Breaks on each n-th request, whatever it is."""

    def answer_or_break(line: str) -> object:
        global _asked
        _asked += 1
        return (broken if _asked % every == 0 else say)(line)

    return answer_or_break


def _doubled(reply: dict[str, Any]) -> None:
    """Every float of the result is wrong."""
    for value in reply["result"].values():
        if isinstance(value, dict) and value["dtype"].startswith("float"):
            value["data"] = [2 * x + 1 if isinstance(x, (int, float)) else x for x in value["data"]]


def _panic(_: str) -> None:
    print("thread 'main' panicked at src/head.rs:12: index out of bounds", file=sys.stderr)
    print("\n".join(f"  {n}: frame {n}" for n in range(60)), file=sys.stderr, flush=True)
    os._exit(101)


KINDS: dict[str, Callable[[str], object]] = {
    "hangs": lambda line: time.sleep(600),
    "dies": _die,
    "crashes": lambda line: os.kill(os.getpid(), signal.SIGSEGV),
    "floods": _flood,
    "floods_one_line": _flood_one_line,
    "garbage": lambda line: say("softmax done in 3 ms\n"),
    "not_utf8": lambda line: os.write(1, b"\xff\xfe\x00\n"),
    "out_of_order": _edited(lambda reply: reply.update(seq=reply["seq"] - 1)),
    "two_kinds": _edited(lambda reply: reply.update(refused={"code": "bad_k"})),
    "no_kind": _edited(lambda reply: {"seq": reply["seq"]}),
    "a_list": _edited(lambda reply: [reply]),
    "unasked": lambda line: say(line + "loading weights ...\n"),
    "other_shape": _tensor(shape=[1], data=[1]),
    "too_few_numbers": _tensor(data=[]),
    "no_numbers": _tensor(dtype="float32", shape=[2], data=["a", "b"]),
    "no_tensor": _edited(lambda reply: reply.update(result={"probs": [0.5, 0.5]})),
    "another_name": _edited(lambda reply: reply.update(result={"probabilities": 1})),
    "errored": _edited(
        lambda reply: {"seq": reply["seq"], "errored": "panic: index out of range\n  at softmax.zig:12"}
    ),
    "closes_stdout": _closes_stdout,
    "child_keeps_the_pipe": _child_keeps_the_pipe,
    "split_lines": _split,
    "ignores_stop": lambda line: say(line),
    "stops_with_3": lambda line: say(line),
    "dies_on_every_7th": _now_and_then(lambda line: os._exit(7), 7),
    "wrong_once_in_50": _now_and_then(_edited(_doubled), 50),
    "panics": _panic,
    "null": _edited(lambda reply: reply.update(result={"probs": None})),
    "one_key_more": _edited(lambda reply: reply["result"].update(seconds=0.1)),
    "six_digits": _edited(
        lambda reply: reply["result"]["probs"].update(
            data=[float(f"{x:.6g}") if isinstance(x, float) else x for x in reply["result"]["probs"]["data"]]
        )
    ),
}


def main() -> None:
    """Serve until `stop`."""
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    OFFERED[:] = sys.argv[2:] or OFFERED
    broken = KINDS.get(kind, say)
    always = kind in ("dies_on_every_7th", "wrong_once_in_50")
    call = of_head(HEAD)
    for text in sys.stdin:
        request = json.loads(text)
        line = json.dumps({"seq": request["seq"], **answer(call, request)}) + "\n"
        (broken if request["op"] == "softmax" or always else say)(line)
        if request["op"] == "stop":
            if kind == "ignores_stop":
                time.sleep(600)
            sys.exit(3 if kind == "stops_with_3" else 0)


if __name__ == "__main__":
    main()
