"""Metrics of a predicted bound: pure functions, arrays in, a float out. No torch.

Every metric averages one number per document: `overshoot(...)` is the mean, `overshoot.each(...)`
the numbers themselves, NaN for a document that is not in the denominator (metric.py). Whoever
passes no canvas (or, where the canvas is part of the definition, no length) asks for no censoring.

Legend: N documents; bound B, length L, canvas C, prompt P, all in tokens; bounds and lengths are
counted from the start of the response.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.metrics.metric import Metric, Terms, floats, uncensored

__all__ = [
    "accuracy",
    "bucket",
    "bucket_accuracy",
    "censored",
    "compute_ratio",
    "coverage",
    "exact",
    "overshoot",
    "rmse",
    "saved",
    "shortfall",
    "squared_error",
]


@Metric
def coverage(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> Terms:
    """Share with B >= L; denominator: uncensored documents.

    >>> coverage([4, 8], [5, 8])
    0.5
    """
    bound_N, length_N = floats(bound_N), floats(length_N)
    return bound_N >= length_N, uncensored(length_N, canvas_N)


@Metric
def overshoot(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> Terms:
    """Mean of B - L; denominator: covered documents.

    >>> overshoot([4, 8, 16], [5, 8, 10])
    3.0
    """
    bound_N, length_N = floats(bound_N), floats(length_N)
    return bound_N - length_N, (bound_N >= length_N) & uncensored(length_N, canvas_N)


@Metric
def shortfall(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> Terms:
    """Mean of L - B; denominator: uncovered, uncensored documents.

    >>> shortfall([4, 8, 16], [5, 8, 10])
    1.0
    """
    bound_N, length_N = floats(bound_N), floats(length_N)
    return length_N - bound_N, (bound_N < length_N) & uncensored(length_N, canvas_N)


@Metric
def saved(bound_N: ArrayLike, canvas_N: ArrayLike, length_N: ArrayLike | None = None) -> Terms:
    """Mean of C - B; denominator: uncensored documents.

    >>> saved([4, 8], [16, 16])
    10.0
    """
    bound_N, canvas_N = floats(bound_N), floats(canvas_N)
    return canvas_N - bound_N, uncensored(length_N, canvas_N)


@Metric
def squared_error(
    bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None
) -> Terms:
    """Mean of (B - L) ** 2; denominator: uncensored documents.

    >>> squared_error([4, 8], [5, 5])
    5.0
    """
    bound_N, length_N = floats(bound_N), floats(length_N)
    return (bound_N - length_N) ** 2, uncensored(length_N, canvas_N)


def rmse(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Root of the mean of (B - L) ** 2; denominator: uncensored documents.

    >>> rmse([3, 10], [4, 3])
    5.0
    """
    return float(np.sqrt(squared_error(bound_N, length_N, canvas_N)))


@Metric
def exact(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> Terms:
    """Share with B = L; denominator: uncensored documents.

    >>> exact([4, 8], [5, 8])
    0.5
    """
    bound_N, length_N = floats(bound_N), floats(length_N)
    return bound_N == length_N, uncensored(length_N, canvas_N)


def bucket(length_N: ArrayLike) -> NDArray[np.int64]:
    """Index [N] of the power-of-two bucket of each length n, ceil(log2 n); 0 and 1 share bucket 0.

    >>> bucket([0, 1, 2, 3, 4, 5, 64, 65]).tolist()
    [0, 0, 1, 2, 2, 3, 6, 7]
    """
    below_N = np.maximum(np.asarray(length_N, dtype=np.int64), 1) - 1
    # The exponent is the bit length of n - 1.
    return np.frexp(below_N.astype(np.float64))[1].astype(np.int64)


@Metric
def bucket_accuracy(
    bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None
) -> Terms:
    """Share with B and L in one power-of-two bucket; denominator: uncensored documents.

    The bucket of n is ceil(log2 n).

    >>> bucket_accuracy([8, 8], [5, 4])
    0.5
    """
    return bucket(bound_N) == bucket(length_N), uncensored(floats(length_N), canvas_N)


@Metric
def accuracy(
    bound_N: ArrayLike,
    length_N: ArrayLike,
    canvas_N: ArrayLike,
    revealed: Sequence[Sequence[int]] | None = None,
) -> Terms:
    """Mean share of a document's masked positions that B puts on the right side of the EOS.

    A position i is "at or after EOS" when i >= L and is labelled so when i >= B. Denominator:
    uncensored documents with a masked position.

    Args:
        bound_N: B.
        length_N: L.
        canvas_N: C.
        revealed: per document the canvas positions that are not masked; None when all are masked.

    Raises:
        ValueError: `revealed` has another number of documents.

    >>> accuracy([6], [4], [8])  # positions 4 and 5 of 8 are on the wrong side
    0.75
    >>> accuracy([6], [4], [8], revealed=[[0, 1]])
    0.6666666666666666
    """
    bound_N, length_N, canvas_N = (
        np.asarray(values, dtype=np.int64).ravel()
        for values in np.broadcast_arrays(bound_N, length_N, canvas_N)
    )
    # The positions low <= i < high are on the wrong side.
    low_N = np.minimum(bound_N, length_N)
    high_N = np.minimum(np.maximum(bound_N, length_N), canvas_N)
    wrong_N = np.maximum(high_N - low_N, 0)
    masked_N = canvas_N.copy()
    if revealed is not None:
        if len(revealed) != bound_N.size:
            raise ValueError(
                f"revealed holds {len(revealed)} lists of positions for {bound_N.size} documents"
            )
        owner_R = np.repeat(np.arange(bound_N.size), [len(positions) for positions in revealed])
        position_R = np.fromiter(
            (position for positions in revealed for position in positions), np.int64, len(owner_R)
        )
        between_R = (position_R >= low_N[owner_R]) & (position_R < high_N[owner_R])
        wrong_N = wrong_N - np.bincount(owner_R[between_R], minlength=bound_N.size)
        masked_N = masked_N - np.bincount(owner_R, minlength=bound_N.size)
    share_N = (masked_N - wrong_N) / np.maximum(masked_N, 1)
    return share_N, uncensored(length_N, canvas_N) & (masked_N > 0)


@Metric
def compute_ratio(
    bound_N: ArrayLike, prompt_N: ArrayLike, canvas_N: ArrayLike, length_N: ArrayLike | None = None
) -> Terms:
    """Mean of B (P + B) / C (P + C); denominator: uncensored documents.

    It is the token-positions that a window of B costs over those of a window of C, at one token per
    step: as many steps as the window has tokens, each over the prompt and the window.

    >>> compute_ratio([4], [4], [8])  # 4 steps over 8 positions, instead of 8 over 12
    0.3333333333333333
    """
    bound_N, prompt_N, canvas_N = floats(bound_N), floats(prompt_N), floats(canvas_N)
    ratio_N = bound_N * (prompt_N + bound_N) / (canvas_N * (prompt_N + canvas_N))
    return ratio_N, uncensored(length_N, canvas_N)


def censored(length_N: ArrayLike, canvas_N: ArrayLike) -> int:
    """Number of documents with L > C, which the other metrics leave out.

    >>> censored([4, 9, 16], 8)
    2
    """
    return int(np.count_nonzero(floats(length_N) > floats(canvas_N)))
