"""The parity suite: tells whether two language-model heads are the same function, and if not, where they part."""
