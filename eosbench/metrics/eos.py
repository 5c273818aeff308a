"""Metrics of the model itself: does step zero know where the text ends? No torch.

They are the same for every method that runs the DLM. Each averages one number per document, as in
bound.py.

Legend: N documents; length L, canvas C.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from eosbench.metrics.metric import Metric, Terms, floats

__all__ = ["eos_false", "eos_mrr", "eos_prob", "eos_top1", "false_ends"]


@Metric
def eos_top1(eos_rank_N: ArrayLike) -> Terms:
    """Share with EOS of rank 1 at canvas index L; denominator: documents with a rank (not NaN).

    Rank 1 is the most likely token's.

    >>> eos_top1([1, 3, float("nan")])
    0.5
    """
    rank_N = floats(eos_rank_N)
    return rank_N == 1, ~np.isnan(rank_N)


@Metric
def eos_prob(eos_prob_N: ArrayLike) -> Terms:
    """Mean probability of EOS at canvas index L; denominator: documents that have one (not NaN).

    >>> eos_prob([0.25, 0.75, float("nan")])
    0.5
    """
    prob_N = floats(eos_prob_N)
    return prob_N, ~np.isnan(prob_N)


@Metric
def eos_mrr(eos_rank_N: ArrayLike) -> Terms:
    """Mean of 1 / rank of EOS at canvas index L; denominator: documents with a rank (not NaN).

    >>> eos_mrr([1, 2, float("nan")])
    0.75
    """
    rank_N = floats(eos_rank_N)
    return 1.0 / rank_N, ~np.isnan(rank_N)


@Metric
def eos_false(eos_false_N: ArrayLike) -> Terms:
    """Mean of the documents' `false_ends`; denominator: documents with a share (not NaN).

    The three metrics above do not see them: a model that says EOS everywhere has all three perfect.

    >>> eos_false([0.5, 0.0, float("nan")])
    0.25
    """
    share_N = floats(eos_false_N)
    return share_N, ~np.isnan(share_N)


def false_ends(eos_rank_C: ArrayLike, length: int, revealed: Sequence[int] = ()) -> float:
    """Share of the masked canvas indices before L at which an end is the most likely token.

    NaN where no index before L is masked, or L > C.

    Args:
        eos_rank_C: rank of the likeliest end at each canvas index.
        length: L.
        revealed: canvas indices that are not masked.

    >>> false_ends([1, 3, 1, 2], length=3)
    0.6666666666666666
    >>> false_ends([1, 3, 1, 2], length=3, revealed=[0])
    0.5
    """
    first_C = floats(eos_rank_C) == 1
    masked_C = np.arange(first_C.size) < length
    masked_C[np.asarray(revealed, dtype=np.int64)] = False
    if length > first_C.size or not masked_C.any():
        return float("nan")
    return float(first_C[masked_C].mean())
