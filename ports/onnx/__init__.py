"""An LM head as ONNX graphs, run by ONNX Runtime. `python -m ports.onnx` speaks the protocol of PROTOCOL.md."""
