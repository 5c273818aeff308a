"""What a predicted bound is worth: pure functions, arrays in, a float out. No torch.

Every metric averages one number per document: `overshoot(...)` is the mean, `overshoot.each(...)`
the numbers themselves, NaN for a document that is not in the denominator (metric.py; `per_document`
is what a task logs, `each_document` the same for many at once). Whoever passes no canvas (or, where
the canvas is part of the definition, no length) asks for no censoring.

Legend: N documents; bound B, length L, canvas C, prompt P, all counted in tokens from the start of the response.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.metrics.metric import Floats, Metric, Terms, floats, uncensored
from eosbench.records import LengthRecord

__all__ = [
    "accuracy",
    "bucket",
    "bucket_accuracy",
    "censored",
    "compute_ratio",
    "coverage",
    "each_document",
    "eos_false",
    "eos_mrr",
    "eos_prob",
    "eos_top1",
    "exact",
    "false_ends",
    "overshoot",
    "per_document",
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
    """Index of the power-of-two bucket, ceil(log2 n), from the bits of the integer; 0 and 1 share
    bucket 0.

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
    """Share where B and L fall into one power-of-two bucket, ceil(log2 B) = ceil(log2 L);
    denominator: uncensored documents.

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
    """Mean over documents of the share of masked canvas positions that B puts on the right side of
    the EOS.

    A position i is "at or after EOS" when i >= L and is labelled so when i >= B. Denominator:
    uncensored documents with a masked position.

    Args: revealed: per document the canvas positions that are not masked; None when all are
        masked.

    >>> accuracy([6], [4], [8])  # positions 4 and 5 of 8 are on the wrong side
    0.75
    >>> accuracy([6], [4], [8], revealed=[[0, 1]])
    0.6666666666666666
    """
    bound_N, length_N, canvas_N = (
        np.asarray(values, dtype=np.int64).ravel()
        for values in np.broadcast_arrays(bound_N, length_N, canvas_N)
    )
    low_N, high_N = (
        np.minimum(bound_N, length_N),
        np.minimum(np.maximum(bound_N, length_N), canvas_N),
    )
    # The wrong side is low <= i < high.
    wrong_N, masked_N = (np.maximum(high_N - low_N, 0), canvas_N.copy())
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
def eos_top1(eos_rank_N: ArrayLike) -> Terms:
    """Share where EOS is the most likely token at canvas index L (rank 1); denominator: documents
    with a rank (not NaN).

    >>> eos_top1([1, 3, float("nan")])
    0.5
    """
    rank_N = floats(eos_rank_N)
    return rank_N == 1, ~np.isnan(rank_N)


@Metric
def eos_prob(eos_prob_N: ArrayLike) -> Terms:
    """Mean probability of EOS at canvas index L; denominator: documents with a probability (not
    NaN).

    >>> eos_prob([0.25, 0.75, float("nan")])
    0.5
    """
    prob_N = floats(eos_prob_N)
    return prob_N, ~np.isnan(prob_N)


@Metric
def eos_mrr(eos_rank_N: ArrayLike) -> Terms:
    """Mean reciprocal rank of EOS at canvas index L; denominator: documents with a rank (not NaN).

    >>> eos_mrr([1, 2, float("nan")])
    0.75
    """
    rank_N = floats(eos_rank_N)
    return 1.0 / rank_N, ~np.isnan(rank_N)


@Metric
def eos_false(eos_false_N: ArrayLike) -> Terms:
    """Mean share of masked canvas indices before L whose most likely token is an end; denominator:
    documents with a share (not NaN).

    It is what the three metrics above do not see: a model that says EOS everywhere has them all
    perfect. `false_ends` gives one document's share.

    >>> eos_false([0.5, 0.0, float("nan")])
    0.25
    """
    share_N = floats(eos_false_N)
    return share_N, ~np.isnan(share_N)


def false_ends(eos_rank_C: ArrayLike, length: int, revealed: Sequence[int] = ()) -> float:
    """Share of the masked canvas indices before L at which an end has rank 1; NaN where no index
    before L is masked, or L > C.

    Args: eos_rank_C: rank of the likeliest end at each of the C canvas indices. length: L.
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


@Metric
def compute_ratio(
    bound_N: ArrayLike, prompt_N: ArrayLike, canvas_N: ArrayLike, length_N: ArrayLike | None = None
) -> Terms:
    """Mean of B (P + B) / C (P + C): token-positions with window B over those with window C, at one
    token per step.

    Denominator: uncensored documents.

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


def per_document(record: LengthRecord) -> dict[str, float]:
    """Every metric of one document, NaN where the document is not in that metric's denominator.

    The mean over documents that ignores NaN is the metric. Two entries are aggregated otherwise:
    `squared_error`, whose mean's root is the rmse, and `censored`, whose sum is the count.
    """
    return {name: float(values[0]) for name, values in each_document([record]).items()}


def each_document(records: Sequence[LengthRecord]) -> dict[str, Floats]:
    """`per_document` of many records at once: metric -> one number per document [N]."""
    names = ("bound", "length", "canvas", "prompt_length", "eos_rank", "eos_prob", "eos_false")
    bound_N, length_N, canvas_N, prompt_N, rank_N, prob_N, false_N = (
        # None becomes NaN.
        np.array([getattr(record, name) for record in records], dtype=np.float64)
        for name in names
    )
    return {
        "coverage": coverage.each(bound_N, length_N, canvas_N),
        "overshoot": overshoot.each(bound_N, length_N, canvas_N),
        "shortfall": shortfall.each(bound_N, length_N, canvas_N),
        "saved": saved.each(bound_N, canvas_N, length_N),
        "squared_error": squared_error.each(bound_N, length_N, canvas_N),
        "exact": exact.each(bound_N, length_N, canvas_N),
        "bucket_accuracy": bucket_accuracy.each(bound_N, length_N, canvas_N),
        "accuracy": accuracy.each(
            bound_N, length_N, canvas_N, [record.revealed for record in records]
        ),
        "eos_top1": eos_top1.each(rank_N),
        "eos_prob": eos_prob.each(prob_N),
        "eos_mrr": eos_mrr.each(rank_N),
        "eos_false": eos_false.each(false_N),
        "compute_ratio": compute_ratio.each(bound_N, prompt_N, canvas_N, length_N),
        "censored": (length_N > canvas_N).astype(np.float64),
    }
