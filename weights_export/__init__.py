"""From a GPT-2 checkpoint to a bundle that any language can read: `python -m weights_export tiny -o DIR`.

`open_bundle` reads one back with NumPy and the standard library. `export.export` writes one, and needs PyTorch.
"""

from .bundle import Bundle, mask_padding, open_bundle
from .errors import BundleError

__all__ = ["Bundle", "BundleError", "mask_padding", "open_bundle"]
