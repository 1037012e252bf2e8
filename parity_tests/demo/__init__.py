"""What `make demo` shows: one prompt by NumPy, PyTorch and Transformers, and tokens next to `model.generate()`."""
