"""Judges what a runtime wrote to a file: `python -m parity_tests judge BUNDLE --logits FILE`."""
