"""The tests of `weights_export`, with the checkpoints, the hostile files and the loopback Hub that they need."""
