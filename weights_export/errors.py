"""What this package raises; both are built-in errors too, ValueError and OSError."""


class BundleError(ValueError):
    """A bundle or checkpoint breaks its format: the message names the file, what is wrong and what to do."""


class HubError(OSError):
    """A Hub did not deliver a checkpoint: one line that says what to do."""
