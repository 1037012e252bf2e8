"""An LM head as ONNX graphs, run by ONNX Runtime: `python -m ports.onnx` speaks PROTOCOL.md."""
