"""Adapters whose packages are no part of the development install: pytest must not import them for doctests."""

collect_ignore = ["ctranslate2_generator.py", "jax_lax.py", "mlx_lm_sampler.py"]
