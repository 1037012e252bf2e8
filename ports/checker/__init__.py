"""`python -m ports check`: whether a port conforms, and which rule it breaks."""
