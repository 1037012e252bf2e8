"""One module for each implementation in the atlas: its functions behind the names and arguments of the reference."""
