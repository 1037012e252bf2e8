"""The log-probabilities of a copy of the server's model, for a server that gives none."""

from collections.abc import Callable

import numpy as np

import reference
from weights_export.checkpoint import load

from .row import MOST, Row, row


def rows_of(name: str) -> Callable[[str], Row]:
    """Prompt -> the row that the model called `name` gives, as `weights_export.checkpoint.load` finds it.

    Raises: as `load`.
    """
    import torch

    checkpoint = load(name)

    def known(prompt: str) -> Row:
        ids = checkpoint.tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            logits = checkpoint.model(ids).logits[0, -1].double().numpy()
        logprobs = reference.log_probs(logits)
        best = np.argsort(-logprobs, kind="stable")[:MOST]
        # Ids that read the same cannot be told apart in an answer: from the second one on, tokens count as unknown.
        texts: dict[str, float] = {}
        for token in best:
            text = checkpoint.tokenizer.decode([int(token)])
            if text in texts:
                break
            texts[text] = float(logprobs[token])
        return row(prompt, texts)

    return known
