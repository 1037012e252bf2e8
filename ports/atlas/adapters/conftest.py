"""Adapters whose packages are not in the development install: pytest must not import them to look for doctests."""

collect_ignore = [
    "ctranslate2_generator.py",
    "jax_lax.py",
    "llama_cpp_samplers.py",
    "mlx_lm_sampler.py",
    "onnxruntime_genai_generator.py",
    "openvino_genai_generator.py",
]
