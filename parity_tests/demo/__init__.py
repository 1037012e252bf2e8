"""What `make demo` shows: one prompt in NumPy, PyTorch and Transformers, and tokens next to `model.generate()`."""
