"""What a predicted bound is worth: pure functions, arrays in, a float out. No torch.

Every function averages one number per document, so that the mean over documents taken one by one is the metric itself
(`per_document` is what a task logs). A document whose number is not defined, or that is censored (its length L exceeds the
canvas C: no bound could have covered it), leaves the denominator; where nothing is left the answer is NaN, never 0. Whoever
passes no canvas (or, where the canvas is part of the definition, no length) asks for no censoring.

Legend: N documents; bound B, length L, canvas C, prompt P, all counted in tokens from the start of the response.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.records import LengthRecord

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

__all__ = [
    "accuracy", "bucket", "bucket_accuracy", "censored", "compute_ratio", "coverage", "eos_mrr", "eos_prob", "eos_top1", "exact",
    "overshoot", "per_document", "rmse", "saved", "shortfall", "squared_error",
]  # fmt: skip


def coverage(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Share with B >= L; denominator: uncensored documents.

    >>> coverage([4, 8], [5, 8])
    0.5
    """
    bound_N, length_N = _floats(bound_N), _floats(length_N)
    return _mean(bound_N >= length_N, _uncensored(length_N, canvas_N))


def overshoot(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Mean of B - L; denominator: covered documents.

    >>> overshoot([4, 8, 16], [5, 8, 10])
    3.0
    """
    bound_N, length_N = _floats(bound_N), _floats(length_N)
    return _mean(bound_N - length_N, (bound_N >= length_N) & _uncensored(length_N, canvas_N))


def shortfall(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Mean of L - B; denominator: uncovered, uncensored documents.

    >>> shortfall([4, 8, 16], [5, 8, 10])
    1.0
    """
    bound_N, length_N = _floats(bound_N), _floats(length_N)
    return _mean(length_N - bound_N, (bound_N < length_N) & _uncensored(length_N, canvas_N))


def saved(bound_N: ArrayLike, canvas_N: ArrayLike, length_N: ArrayLike | None = None) -> float:
    """Mean of C - B; denominator: uncensored documents.

    >>> saved([4, 8], [16, 16])
    10.0
    """
    bound_N, canvas_N = _floats(bound_N), _floats(canvas_N)
    return _mean(canvas_N - bound_N, _uncensored(length_N, canvas_N))


def squared_error(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Mean of (B - L) ** 2; denominator: uncensored documents.

    >>> squared_error([4, 8], [5, 5])
    5.0
    """
    bound_N, length_N = _floats(bound_N), _floats(length_N)
    return _mean((bound_N - length_N) ** 2, _uncensored(length_N, canvas_N))


def rmse(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Root of the mean of (B - L) ** 2; denominator: uncensored documents.

    >>> rmse([3, 10], [4, 3])
    5.0
    """
    return float(np.sqrt(squared_error(bound_N, length_N, canvas_N)))


def exact(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Share with B = L; denominator: uncensored documents.

    >>> exact([4, 8], [5, 8])
    0.5
    """
    bound_N, length_N = _floats(bound_N), _floats(length_N)
    return _mean(bound_N == length_N, _uncensored(length_N, canvas_N))


def bucket(length_N: ArrayLike) -> NDArray[np.int64]:
    """Index of the power-of-two bucket, ceil(log2 n), from the bits of the integer; 0 and 1 share bucket 0.

    >>> bucket([0, 1, 2, 3, 4, 5, 64, 65]).tolist()
    [0, 0, 1, 2, 2, 3, 6, 7]
    """
    below_N = np.maximum(np.asarray(length_N, dtype=np.int64), 1) - 1
    return np.frexp(below_N.astype(np.float64))[1].astype(np.int64)  # the exponent is the bit length of n - 1


def bucket_accuracy(bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike | None = None) -> float:
    """Share where B and L fall into one power-of-two bucket, ceil(log2 B) = ceil(log2 L); denominator: uncensored documents.

    >>> bucket_accuracy([8, 8], [5, 4])
    0.5
    """
    return _mean(bucket(bound_N) == bucket(length_N), _uncensored(_floats(length_N), canvas_N))


def accuracy(
    bound_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike, revealed: Sequence[Sequence[int]] | None = None
) -> float:
    """Mean over documents of the share of masked canvas positions that B puts on the right side of the EOS.

    A position i is "at or after EOS" when i >= L and is labelled so when i >= B. Denominator: uncensored documents with a
    masked position.

    Args:
        revealed: per document the canvas positions that are not masked; None when all are masked.

    >>> accuracy([6], [4], [8])  # positions 4 and 5 of 8 are on the wrong side
    0.75
    >>> accuracy([6], [4], [8], revealed=[[0, 1]])
    0.6666666666666666
    """
    bounds, lengths, canvases = (
        np.asarray(values, dtype=np.int64) for values in np.broadcast_arrays(bound_N, length_N, canvas_N)
    )
    if revealed is not None and len(revealed) != bounds.size:
        raise ValueError(f"revealed holds {len(revealed)} lists of positions for {bounds.size} documents")
    share_N = np.full(bounds.size, np.nan)
    for index, (bound, length, canvas) in enumerate(zip(bounds.flat, lengths.flat, canvases.flat, strict=True)):
        masked_C = np.ones(canvas, dtype=np.bool_)
        if revealed is not None:
            masked_C[list(revealed[index])] = False
        position_C = np.arange(canvas)
        share_N[index] = _mean((position_C >= bound) == (position_C >= length), masked_C)
    return _mean(share_N, _uncensored(lengths.astype(np.float64).ravel(), canvases.ravel()) & ~np.isnan(share_N))


def eos_top1(eos_rank_N: ArrayLike) -> float:
    """Share where EOS is the most likely token at canvas index L (rank 1); denominator: documents with a rank (not NaN).

    >>> eos_top1([1, 3, float("nan")])
    0.5
    """
    rank_N = _floats(eos_rank_N)
    return _mean(rank_N == 1, ~np.isnan(rank_N))


def eos_prob(eos_prob_N: ArrayLike) -> float:
    """Mean probability of EOS at canvas index L; denominator: documents with a probability (not NaN).

    >>> eos_prob([0.25, 0.75, float("nan")])
    0.5
    """
    prob_N = _floats(eos_prob_N)
    return _mean(prob_N, ~np.isnan(prob_N))


def eos_mrr(eos_rank_N: ArrayLike) -> float:
    """Mean reciprocal rank of EOS at canvas index L; denominator: documents with a rank (not NaN).

    >>> eos_mrr([1, 2, float("nan")])
    0.75
    """
    rank_N = _floats(eos_rank_N)
    return _mean(1.0 / rank_N, ~np.isnan(rank_N))


def compute_ratio(bound_N: ArrayLike, prompt_N: ArrayLike, canvas_N: ArrayLike, length_N: ArrayLike | None = None) -> float:
    """Mean of B (P + B) / C (P + C): token-positions with window B over those with window C, at one token per step.

    Denominator: uncensored documents.

    >>> compute_ratio([4], [4], [8])  # 4 steps over 8 positions, instead of 8 over 12
    0.3333333333333333
    """
    bound_N, prompt_N, canvas_N = _floats(bound_N), _floats(prompt_N), _floats(canvas_N)
    ratio_N = bound_N * (prompt_N + bound_N) / (canvas_N * (prompt_N + canvas_N))
    return _mean(ratio_N, _uncensored(length_N, canvas_N))


def censored(length_N: ArrayLike, canvas_N: ArrayLike) -> int:
    """Number of documents with L > C, which the other metrics leave out.

    >>> censored([4, 9, 16], 8)
    2
    """
    return int(np.count_nonzero(_floats(length_N) > _floats(canvas_N)))


def per_document(record: LengthRecord) -> dict[str, float]:
    """Every metric of one document, NaN where the document is not in that metric's denominator.

    The mean over documents that ignores NaN is the metric. Two entries are aggregated otherwise: `squared_error`, whose mean's
    root is the rmse, and `censored`, whose sum is the count.
    """
    bound, length, canvas, prompt = [record.bound], [record.length], [record.canvas], [record.prompt_length]
    rank = [np.nan if record.eos_rank is None else record.eos_rank]
    prob = [np.nan if record.eos_prob is None else record.eos_prob]
    return {
        "coverage": coverage(bound, length, canvas),
        "overshoot": overshoot(bound, length, canvas),
        "shortfall": shortfall(bound, length, canvas),
        "saved": saved(bound, canvas, length),
        "squared_error": squared_error(bound, length, canvas),
        "exact": exact(bound, length, canvas),
        "bucket_accuracy": bucket_accuracy(bound, length, canvas),
        "accuracy": accuracy(bound, length, canvas, [record.revealed]),
        "eos_top1": eos_top1(rank),
        "eos_prob": eos_prob(prob),
        "eos_mrr": eos_mrr(rank),
        "compute_ratio": compute_ratio(bound, prompt, canvas, length),
        "censored": float(censored(length, canvas)),
    }


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _uncensored(length_N: ArrayLike | None, canvas_N: ArrayLike | None) -> Bools:
    """Where L <= C; everywhere when either is unknown."""
    if length_N is None or canvas_N is None:
        return np.ones((), dtype=np.bool_)
    return np.asarray(_floats(length_N) <= _floats(canvas_N))


def _mean(values: ArrayLike, where: Bools) -> float:
    """Mean of the values that are in the denominator, NaN when none is."""
    values, where = np.broadcast_arrays(_floats(values), where)
    return float(values[where].mean()) if where.any() else float("nan")
