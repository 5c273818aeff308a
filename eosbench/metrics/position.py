"""Metrics that scikit-learn has: of a bound's quantile, and of the EOS probability per position.

A position i of the canvas is positive when i >= L. Masked positions of all documents are pooled; a
document is left out when it is censored (L > C), as everywhere. Where a metric is not defined (no
document, or only one class) it is NaN.

Legend: N documents, M masked positions of all documents; bound B, length L, canvas C.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.errors import ConfigurationError
from eosbench.metrics.metric import Bools, Floats, floats, uncensored

Curves = Sequence[Sequence[float] | NDArray[np.floating]]

__all__ = ["average_precision", "calibration_curve", "pinball_loss"]


def pinball_loss(
    bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None, *, alpha: float
) -> float:
    """Mean pinball loss at the quantile 1 - alpha; denominator: uncensored documents.

    A document's loss is (1 - alpha) (L - B) where B < L, and alpha (B - L) elsewhere. The bound
    that minimises it is the one that a share alpha of lengths exceeds (Koenker and Bassett, 1978,
    Regression Quantiles).

    Raises:
        ConfigurationError: alpha outside [0, 1].

    >>> pinball_loss([8, 4], [4, 5], alpha=0.25)  # (0.25 * 4 + 0.75 * 1) / 2
    0.875
    """
    from sklearn.metrics import mean_pinball_loss

    if not 0.0 <= alpha <= 1.0:
        raise ConfigurationError(f"alpha={alpha!r}: expected a share from 0 to 1")
    bound_N, length_N = floats(bound_N), floats(length_N)
    kept_N = np.broadcast_to(uncensored(length_N, canvas_N), length_N.shape)
    if not kept_N.any():
        return float("nan")
    return float(mean_pinball_loss(length_N[kept_N], bound_N[kept_N], alpha=1.0 - alpha))


def average_precision(
    curves: Curves, length_N: ArrayLike, revealed: Sequence[Sequence[int]] | None = None
) -> float:
    """Area under the precision-recall curve of "has the text ended here?", by the EOS probability.

    Args:
        curves: per document the probability at each canvas position [C].
        length_N: L.
        revealed: per document the positions that are not masked; None when all are masked.

    Raises:
        ValueError: the arguments are of different numbers of documents.

    >>> round(average_precision([[0.1, 0.2, 0.8, 0.9]], [2]), 3)
    1.0
    >>> round(average_precision([[0.9, 0.2, 0.8, 0.1]], [2]), 3)  # 1/2 at half the recall, then 2/4
    0.5
    """
    from sklearn.metrics import average_precision_score

    ended_M, probability_M = _pooled(curves, length_N, revealed)
    if not ended_M.any():
        return float("nan")
    return float(average_precision_score(ended_M, probability_M))


def calibration_curve(
    curves: Curves,
    length_N: ArrayLike,
    revealed: Sequence[Sequence[int]] | None = None,
    *,
    bins: int = 10,
) -> tuple[Floats, Floats]:
    """The calibration of the EOS probability, in bins of equal width.

    Args:
        curves, length_N, revealed: as for `average_precision`.
        bins: number of bins from 0 to 1.

    Returns:
        The mean probability, and the share of positions at which the text has ended, each [bins
        that hold a position].

    Raises:
        ValueError: the arguments are of different numbers of documents.

    >>> calibration_curve([[0.1, 0.2, 0.8, 0.8]], [3], bins=2)
    (array([0.15, 0.8 ]), array([0. , 0.5]))
    """
    from sklearn.calibration import calibration_curve as by_bins

    ended_M, probability_M = _pooled(curves, length_N, revealed)
    if not len(ended_M):
        return np.empty(0), np.empty(0)
    share, mean = by_bins(ended_M, probability_M, n_bins=bins)
    return np.asarray(mean, dtype=np.float64), np.asarray(share, dtype=np.float64)


def _pooled(
    curves: Curves, length_N: ArrayLike, revealed: Sequence[Sequence[int]] | None
) -> tuple[Bools, Floats]:
    """Whether the text has ended, and the probability of it, at each of the M positions."""
    lengths = np.asarray(length_N, dtype=np.int64).ravel()
    shown = [()] * len(lengths) if revealed is None else revealed
    if not len(curves) == len(lengths) == len(shown):
        raise ValueError(
            f"got {len(curves)} curves, {len(lengths)} lengths and {len(shown)} lists of revealed "
            "positions: expected one of each per document"
        )
    ended, probability = [np.empty(0, dtype=np.bool_)], [np.empty(0)]
    for curve, length, positions in zip(curves, lengths, shown, strict=True):
        probability_C = np.asarray(curve, dtype=np.float64)
        if length > len(probability_C):
            continue
        masked_C = np.ones(len(probability_C), dtype=np.bool_)
        masked_C[list(positions)] = False
        ended.append((np.arange(len(probability_C)) >= length)[masked_C])
        probability.append(probability_C[masked_C])
    return np.concatenate(ended), np.concatenate(probability)
