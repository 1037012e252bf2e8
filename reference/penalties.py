"""Penalties: logits changed by what the text holds already, before temperature and filters.

    logits [..., V], history [..., n]
        |   repetition_penalty                       what occurred is divided or multiplied
        |   frequency_penalty, presence_penalty      ... or loses a number, for each time or once
        |   logit_bias                               a number for each token
        |   ban, no_repeat_ngram, min_length         -inf
    logits [..., V]

Read `head.py` first: dtypes, refusals and batch axes are as there. The history holds the token ids so far, those of one
row for each row of logits; n may be 0. Runtimes differ in which ids count: prompt and output, the output alone, the
last 64. So the caller passes those that count  [PENALTY-1]. A masked token stays masked. Logits are refused as by
`softmax`; ids outside [0, V), a logit that overflows and a row that would be masked whole, too  [PENALTY-7].
"""

import numpy as np
from numpy.typing import ArrayLike

from .filter_validation import check_biases, check_history, check_ids, check_left, check_penalised
from .validation import check_count, check_finite_number, check_logits, check_positive


def _counts(logits: np.ndarray, history: ArrayLike) -> np.ndarray:
    """How often each token occurs in the history of its row: `(..., V), (..., n) -> (..., V)`."""
    history = check_history(history, logits.shape)
    counts = np.zeros(logits.shape, np.int64)
    np.add.at(counts.reshape(-1, logits.shape[-1]), _by_row(history), 1)
    return counts


def _by_row(history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each id in logits `(rows, V)`: its row and itself."""
    rows = history.reshape(-1, history.shape[-1]) if history.size else history.reshape(0, 0)
    return np.arange(len(rows))[:, None], rows


def repetition_penalty(logits: ArrayLike, history: ArrayLike, penalty: float) -> np.ndarray:
    """Tokens of the history: `x * penalty` where x < 0, else `x / penalty`, however often they occurred  [PENALTY-2].

    `(..., V), (..., n) -> (..., V)`. Above 1 a token loses, below 1 it gains. `RepetitionPenaltyLogitsProcessor` in
    Transformers, which counts the prompt too (Keskar et al. 2019, https://arxiv.org/abs/1909.05858).
    Raises: ValueError for a penalty that is not finite and > 0.

    >>> repetition_penalty(np.array([3.0, -3.0, 3.0]), [1, 0, 1], 1.5)
    array([ 2. , -4.5,  3. ])
    """
    logits = check_logits(logits)
    factor = check_positive("penalty", penalty, logits.dtype)
    with np.errstate(all="ignore"):  # an overflow is refused below
        penalised = np.where(logits < 0, logits * factor, logits / factor)
    return check_penalised(np.where(_counts(logits, history) > 0, penalised, logits), logits)


def frequency_penalty(logits: ArrayLike, history: ArrayLike, penalty: float) -> np.ndarray:
    """`x - penalty * c`, where the token occurs c times in the history  [PENALTY-3].

    `(..., V), (..., n) -> (..., V)`. OpenAI's interface defines it so, over the output alone
    (https://platform.openai.com/docs/api-reference/completions). Below 0 a token gains.
    Raises: ValueError for a penalty that is not finite.

    >>> frequency_penalty(np.array([1.0, 1.0, 1.0]), [1, 0, 1], 0.5)
    array([0.5, 0. , 1. ])
    """
    logits = check_logits(logits)
    each = check_finite_number("penalty", penalty, logits.dtype)
    counts = _counts(logits, history).astype(logits.dtype)
    with np.errstate(all="ignore"):
        return check_penalised(np.where((counts > 0) & (logits > -np.inf), logits - each * counts, logits), logits)


def presence_penalty(logits: ArrayLike, history: ArrayLike, penalty: float) -> np.ndarray:
    """`x - penalty` for each token of the history, however often it occurs  [PENALTY-4].

    `(..., V), (..., n) -> (..., V)`. As `frequency_penalty`.
    Raises: as `frequency_penalty`.

    >>> presence_penalty(np.array([1.0, 1.0, 1.0]), [1, 0, 1], 0.5)
    array([0.5, 0.5, 1. ])
    """
    logits = check_logits(logits)
    once = check_finite_number("penalty", penalty, logits.dtype)
    with np.errstate(all="ignore"):
        return check_penalised(np.where(_counts(logits, history) > 0, logits - once, logits), logits)


def logit_bias(logits: ArrayLike, biased: ArrayLike, biases: ArrayLike) -> np.ndarray:
    """`x + bias` for the given ids, in every row: `(..., V), (n,), (n,) -> (..., V)`; -inf masks  [PENALTY-5].

    Interfaces take both as one dictionary. The biases are rounded to the dtype of the logits.
    Raises: ValueError for a bias that is nan or +inf, an id that stands twice, and another number of biases than ids.

    >>> logit_bias(np.array([1.0, 2.0, 3.0]), [0, 2], [0.5, -np.inf])
    array([ 1.5,  2. , -inf])
    """
    logits = check_logits(logits)
    ids, numbers = check_biases(biased, biases, logits)
    moved = logits.copy()
    with np.errstate(all="ignore"):
        moved[..., ids] += numbers
    banned = np.isin(np.arange(logits.shape[-1]), ids[numbers == -np.inf])
    return check_left(check_penalised(moved, np.where(banned, -np.inf, logits)))


def ban(logits: ArrayLike, banned: ArrayLike) -> np.ndarray:
    """-inf for these ids, in every row: `(..., V), (n,) -> (..., V)`  [PENALTY-6].

    Transformers has it as `suppress_tokens`.

    >>> ban(np.array([1.0, 2.0, 3.0]), [2])
    array([  1.,   2., -inf])
    """
    kept = check_logits(logits).copy()
    kept[..., check_ids("banned", banned, kept.shape[-1])] = -np.inf
    return check_left(kept)


def no_repeat_ngram(logits: ArrayLike, history: ArrayLike, ngram_size: int) -> np.ndarray:
    """-inf for what would complete a run of `ngram_size` tokens that the history holds already  [PENALTY-6].

    `(..., V), (..., n) -> (..., V)`. A size of 1 bans every token of the history. `NoRepeatNGramLogitsProcessor` in
    Transformers (Paulus et al. 2017, https://arxiv.org/abs/1705.04304).
    Raises: ValueError for a size below 1; TypeError if it is not an integer.

    >>> no_repeat_ngram(np.zeros(4), [1, 2, 3, 1, 2], 3)  # 1 2 3 is there: not again
    array([  0.,   0.,   0., -inf])
    """
    kept, size = check_logits(logits).copy(), check_count("ngram_size", ngram_size)
    history = check_history(history, kept.shape)
    if history.shape[-1] >= size:
        runs = np.lib.stride_tricks.sliding_window_view(history, size, axis=-1)  # [..., n] -> [..., runs, size]
        begun = history[..., None, history.shape[-1] - size + 1 :]  # the last size - 1 ids
        *row, run = np.nonzero((runs[..., :-1] == begun).all(axis=-1))
        kept[(*row, runs[(*row, run)][..., -1])] = -np.inf
    return check_left(kept)


def min_length(logits: ArrayLike, history: ArrayLike, length: int, end_ids: ArrayLike) -> np.ndarray:
    """-inf for the ids that end a text, while the history has fewer than `length` ids  [PENALTY-6].

    `(..., V), (..., n), (m,) -> (..., V)`. `MinLengthLogitsProcessor` in Transformers.
    Raises: ValueError for a length below 1; TypeError if it is not an integer.

    >>> min_length(np.zeros(3), [1, 2], 3, [0])
    array([-inf,   0.,   0.])
    """
    logits, length = check_logits(logits), check_count("length", length)
    end_ids = check_ids("end_ids", end_ids, logits.shape[-1])
    return ban(logits, end_ids) if check_history(history, logits.shape).shape[-1] < length else logits.copy()
