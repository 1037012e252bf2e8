"""From a GPT-2 checkpoint to a bundle that any language can read: `python -m weights_export tiny -o DIR`."""
