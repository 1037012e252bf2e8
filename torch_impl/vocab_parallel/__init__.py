"""The head with its vocabulary split over processes and machines: each rank holds some rows of the embedding.

    context [..., d]          the same on every rank
        |   local logits      the product with this rank's rows, divided by the temperature
        |   local top-k       its k best and their token ids; one gather brings them together
    values, ids [..., k]      from here on every rank computes the same
        |   softmax, race     noise for all of V from the generator that every rank holds, read at the k survivors
    token ids [...]

What crosses the network for a token does not depend on V: `HEADER` bytes and k candidates of each row from each rank.
The noise does not depend on the number of ranks, so a seed gives the tokens that `torch_impl.head` gives in one
process; only sums in the product may be taken in another order on fewer rows.

engine.py       the head itself
handshake.py    how the ranks begin a step together, or give it up together
__main__.py     a demonstration on a bundle; `SCALING.md` says how long a step should take

    torchrun --nproc-per-node 2 -m torch_impl.vocab_parallel BUNDLE
"""

from .engine import VocabParallelHead, share
from .handshake import HEADER

__all__ = ["HEADER", "VocabParallelHead", "share"]
