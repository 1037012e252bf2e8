"""One module for each implementation in the atlas: its functions under the names and arguments of the reference."""
