"""`python -m ports.onnx`: the harness, which speaks PROTOCOL.md on standard input and output."""

import json
import sys
import traceback
from typing import Any

import onnxruntime

from reference.operations import STAGES, TIES
from weights_export.manifest import VERSIONS

from ..values import decode, encode, number_from_json
from . import head
from .build import FLOATS
from .refusals import Refused

OPERATIONS = {name: getattr(head, name) for name in STAGES if hasattr(head, name)}
HELLO = {
    "protocol": 1,
    "name": "ONNX",
    "version": f"ONNX Runtime {onnxruntime.__version__}",
    "language": "ONNX",
    "dtypes": list(FLOATS),
    "ties": list(TIES),
    "bundle_versions": list(VERSIONS),
    "operations": [*OPERATIONS, "open_bundle", "step"],
}


class Harness:
    """What is kept between requests: the open bundle."""

    def __init__(self) -> None:
        self.bundle: head.Bundle | None = None

    def reply(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request, without its number."""
        try:
            return self._reply(op, inputs)
        except Refused as error:
            return {"refused": {"code": error.code, "message": str(error)}}
        except NotImplementedError as reason:
            return {"skipped": str(reason)}
        except Exception:
            return {"errored": traceback.format_exc()}

    def _reply(self, op: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if op == "hello":
            return {"result": HELLO}
        if op == "stop":
            return {"result": {}}
        if op == "open_bundle":
            self.bundle = None
            self.bundle = head.Bundle(inputs["path"])
            vocab_size, hidden_size = self.bundle.shape
            contexts = len(self.bundle.contexts)
            return {"result": {"vocab_size": vocab_size, "hidden_size": hidden_size, "contexts": contexts}}
        given = {name: _argument(name, value) for name, value in inputs.items()}
        if op == "step":
            if self.bundle is None:
                raise Refused("bad_bundle", "no bundle is open: send open_bundle first")
            return {"result": _encoded(self.bundle.step(**given))}
        if op in OPERATIONS:
            return {"result": _encoded(OPERATIONS[op](**given))}
        return {"skipped": f"no {op} here"}


def _argument(name: str, value: Any) -> Any:
    if name == "seed":
        raise NotImplementedError(head.NO_STREAM)
    return number_from_json(value) if name in ("temperature", "uniform") and isinstance(value, str) else decode(value)


def _encoded(result: dict[str, Any]) -> dict[str, Any]:
    return {name: encode(value) for name, value in result.items()}


def main() -> None:
    harness = Harness()
    for line in sys.stdin:
        request = json.loads(line)
        reply = harness.reply(request["op"], request["inputs"])
        print(json.dumps({"seq": request["seq"], **reply}), flush=True)
        if request["op"] == "stop":
            break


if __name__ == "__main__":
    main()
