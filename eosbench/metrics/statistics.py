"""The part of chance: intervals over documents, paired tests of runs, correction for many pairs.

The documents are what was sampled, so they are what is resampled (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapters 6 and 13). A resample is a row of counts, how often
each document was drawn, and all means of all metrics under all resamples are one matrix product.
Draws are seeded: the same results give the same report.

Legend: N documents, M metrics or pairs, R resamples, S seeds. NaN means that a document is not in a
metric's denominator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from eosbench.metrics.metric import Floats

RESAMPLES = 1000
LEVEL = 0.95  # of all intervals
SIGNIFICANT = 0.05  # a p-value below it


def bootstrap(values_NM: ArrayLike, resamples: int = RESAMPLES) -> Floats:
    """Means of each column under every resample of the rows [R, M].

    Args:
        values_NM: a row per document.
        resamples: R.

    Returns:
        NaN where a resample holds no defined value, as every one does where there is no document.

    >>> bootstrap([[2.0, np.nan], [2.0, 5.0]], resamples=3)[:, 0].tolist()
    [2.0, 2.0, 2.0]
    """
    values_NM = np.asarray(values_NM, dtype=np.float64)
    if not len(values_NM):
        return np.full((resamples, *values_NM.shape[1:]), np.nan)
    counts_RN = _counts(len(values_NM), resamples)
    missing_NM = np.isnan(values_NM)
    if not missing_NM.any():
        return np.asarray(counts_RN @ values_NM / len(values_NM))
    drawn_RM = counts_RN @ (~missing_NM).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(counts_RN @ np.where(missing_NM, 0.0, values_NM) / drawn_RM)


@lru_cache(maxsize=64)
def _counts(documents: int, resamples: int) -> Floats:
    """Counts of each document in each resample [R, N]; rows sum to N."""
    rng, chances_N = np.random.default_rng(0), np.full(documents, 1 / documents)
    return rng.multinomial(documents, chances_N, size=resamples).astype(np.float64)


def over_seeds(estimates_RSM: Floats) -> Floats:
    """Means [R, M] over S seeds that every resample draws anew, with replacement.

    This is the second level of a two-level bootstrap. A drawn seed whose estimate is NaN is left
    out; the mean is NaN where that leaves none.

    >>> means = over_seeds(np.array([[[1.0], [3.0]]] * 50))
    >>> sorted(set(means[:, 0].tolist()))
    [1.0, 2.0, 3.0]
    """
    resamples, seeds, _ = estimates_RSM.shape
    drawn_RS1 = np.random.default_rng(1).multinomial(
        seeds, np.full(seeds, 1 / seeds), size=resamples
    )[:, :, None]
    missing_RSM = np.isnan(estimates_RSM)
    with np.errstate(invalid="ignore"):
        sum_RM = np.sum(drawn_RS1 * np.where(missing_RSM, 0.0, estimates_RSM), axis=1)
        return np.asarray(sum_RM / np.sum(drawn_RS1 * ~missing_RSM, axis=1))


def percentiles(estimates_RM: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Lower and upper ends of the percentile intervals, each [M].

    Args:
        estimates_RM: a row per resample.
        level: the share of estimates that an interval holds.

    Returns:
        NaN where no resample defines the metric.

    >>> low, high = percentiles(np.arange(101.0)[:, None], level=0.5)
    >>> low.item(), high.item()
    (25.0, 75.0)
    """
    ends_2M = np.full((2, estimates_RM.shape[1]), np.nan)
    missing_RM = np.isnan(estimates_RM)
    whole_M, none_M = ~missing_RM.any(axis=0), missing_RM.all(axis=0)
    tail = 100 * (1 - level) / 2
    # `nanpercentile` is slow.
    for chosen_M, percentile in ((whole_M, np.percentile), (~whole_M & ~none_M, np.nanpercentile)):
        if chosen_M.any():
            ends_2M[:, chosen_M] = percentile(estimates_RM[:, chosen_M], [tail, 100 - tail], axis=0)
    return ends_2M[0], ends_2M[1]


# A cell is printed many times, and scipy checks its arguments at length.
@lru_cache(maxsize=1 << 16)
def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's interval of a share of documents, at 95 %; NaN for a share of none.

    The bootstrap of 40 right documents of 40 is a single point; this is not.

    >>> low, high = wilson(1.0, 10)
    >>> round(low, 3), round(high, 3)  # Brown, Cai and DasGupta, 2001
    (0.722, 1.0)
    """
    from scipy.stats import binomtest

    if not count or math.isnan(share):
        return math.nan, math.nan
    interval = binomtest(round(share * count), count).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(first_NM: ArrayLike, second_NM: ArrayLike) -> Floats:
    """McNemar's exact two-sided p-value of each column [M] (McNemar, Psychometrika 12, 1947).

    It is taken from the documents where one of the two is 1 and the other 0: if both are equally
    likely to be 1, each of these documents is a toss of a fair coin.

    >>> mcnemar([1, 1, 1, 1, 0], [0, 0, 0, 1, 0]).item()  # three heads of three: 2 / 2 ** 3
    0.25
    """
    from scipy.stats import binom

    first_NM, second_NM = (np.asarray(values, dtype=np.float64) for values in (first_NM, second_NM))
    only_first_M = np.sum(first_NM > second_NM, axis=0)
    only_second_M = np.sum(first_NM < second_NM, axis=0)
    fewer_M, all_M = np.minimum(only_first_M, only_second_M), only_first_M + only_second_M
    return np.atleast_1d(np.minimum(1.0, 2 * binom.cdf(fewer_M, all_M, 0.5)))


def paired(first_NM: ArrayLike, second_NM: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """Paired bootstrap of mean(first - second) over the documents that define both, by column.

    The p-value is a normal one on the standard deviation of the resampled means: a count of
    resamples could not fall below 1 / RESAMPLES and no pair among many would survive Holm's
    correction.

    Returns:
        Difference, lower and upper end of its interval, two-sided p-value, each [M]; NaN where
        fewer than two documents define both.
    """
    from scipy.stats import norm

    difference_NM = np.asarray(first_NM, dtype=np.float64) - np.asarray(second_NM, dtype=np.float64)
    difference_NM = difference_NM[~np.isnan(difference_NM).all(axis=1)]
    enough_M = np.sum(~np.isnan(difference_NM), axis=0) >= 2
    mean_M, low_M, high_M, p_M = (np.full(difference_NM.shape[1], np.nan) for _ in range(4))
    if enough_M.any():
        difference_NM = difference_NM[:, enough_M]
        estimates_RM = bootstrap(difference_NM)
        mean_M[enough_M] = np.nanmean(difference_NM, axis=0)
        low_M[enough_M], high_M[enough_M] = percentiles(estimates_RM)
        spread_M = np.nanstd(estimates_RM, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # 0 / 0, where all documents are equal, is no difference.
            p_M[enough_M] = np.nan_to_num(2 * norm.sf(np.abs(mean_M[enough_M]) / spread_M), nan=1.0)
    return mean_M, low_M, high_M, p_M


def holm(p_values: ArrayLike) -> Floats:
    """P-values [M] adjusted so that all conclusions at a level hold together (Holm, 1979).

    NaN, a pair that could not be tested, is no test and stays NaN.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p_M = np.asarray(p_values, dtype=np.float64)
    adjusted_M = np.full(p_M.shape, np.nan)
    order = [int(index) for index in np.argsort(p_M) if not np.isnan(p_M[index])]
    steps = [min(1.0, p_M[index] * (len(order) - place)) for place, index in enumerate(order)]
    adjusted_M[order] = np.maximum.accumulate(steps) if steps else []
    return adjusted_M


def ranks(count: int, better: Sequence[tuple[int, int]]) -> list[int]:
    """The rank of each competitor: 1 + the number of those that are significantly better.

    Args:
        count: how many compete.
        better: pairs of a winner and a loser.

    >>> ranks(3, [(0, 2), (1, 2)])  # nobody beats 0 or 1, both beat 2
    [1, 1, 3]
    """
    losers = [loser for _, loser in better]
    return [1 + losers.count(index) for index in range(count)]
