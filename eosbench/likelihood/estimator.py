"""From the log-probabilities of masked tokens to a log-likelihood and its standard error.

A sample of sets (eosbench/likelihood/mask_plan.py) is corrected for which tokens happened to be in
it, by the difference estimator of survey sampling (Särndal, Swensson and Wretman, Model Assisted
Survey Sampling, 1992, chapter 6): with any guess m of log p of a token that does not depend on the
sampled sets S, whose sizes l are drawn with probability q_l,

    (1 / L) * sum over l < L and i of m_i(l)  +  mean over S of  (f(S) - (L / l) * sum over i in S of m_i(l)) / (L q_l)

has the expectation of what sets of l < L tokens add to the bound; the better the guess, the less
noise. The guess for either half of the sample comes from the other half, so both are unbiased, and
so is their mean:

    m_i(l) = d_i + (L - l) / (L - 1) * a_i,    d_i = log p(x_i) with everything masked, which every plan has

a_i by least squares over the sets that mask token i, held to the common a of all tokens as by one
more observation.

Legend: L target length, S sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from eosbench.likelihood.mask_plan import Pattern, Plan, size_probabilities

Scores = Mapping[Pattern, Sequence[float]]  # of every pattern: log p of each of its tokens, in nats


def estimate(plan: Plan, scores: Scores) -> tuple[float, float]:
    """(log-likelihood, standard error), in nats; the error is 0 where all sets are there.

    The error rests on one difference of two halves: its square is right on average over requests,
    that of one request is rough.

    Example:
        >>> plan = Plan(2, ((0,), (1,), (0, 1)))
        >>> estimate(plan, {(0,): [-1.0], (1,): [-2.0], (0, 1): [-2.0, -3.0]})  # (2 * -1.5 - 5) / 2
        (-4.0, 0.0)
    """
    length = plan.length
    if not plan.halves:
        shares = (
            math.fsum(log_p) / (len(pattern) * math.comb(length, len(pattern)))
            for pattern, log_p in scores.items()
        )
        return math.fsum(shares), 0.0
    all_masked_L = np.array(scores[tuple(range(length))])
    one, other = (_laid_out(length, patterns, scores) for patterns in plan.halves)
    values = (
        _corrected(*one, all_masked_L, _gains(all_masked_L, *other)),
        _corrected(*other, all_masked_L, _gains(all_masked_L, *one)),
    )
    share = len(one[0]) / (len(one[0]) + len(other[0]))
    mean = share * values[0] + (1 - share) * values[1]
    # Their variances are as one over their sets: the squared difference is expected to be the
    # mean's variance over s (1 - s).
    error = math.sqrt(share * (1 - share)) * abs(values[0] - values[1])
    return float(all_masked_L.sum()) / length + mean, error


def _laid_out(
    length: int, patterns: Sequence[Pattern], scores: Scores
) -> tuple[np.ndarray, np.ndarray]:
    """[S, L] log p (0 elsewhere) and [S, L] whether it is masked."""
    log_p_SL, masked_SL = (
        np.zeros((len(patterns), length)),
        np.zeros((len(patterns), length), dtype=bool),
    )
    for row, pattern in enumerate(patterns):
        log_p_SL[row, list(pattern)] = scores[pattern]
        masked_SL[row, list(pattern)] = True
    return log_p_SL, masked_SL


def _gains(all_masked_L: np.ndarray, log_p_SL: np.ndarray, masked_SL: np.ndarray) -> np.ndarray:
    """a [L], from the sets of one half."""
    known_SL = np.where(masked_SL, _known(masked_SL), 0.0)
    products_L = (known_SL * (log_p_SL - all_masked_L)).sum(axis=0)
    squares_L = (known_SL**2).sum(axis=0)
    return np.asarray((products_L + products_L.sum() / squares_L.sum()) / (squares_L + 1))


def _corrected(
    log_p_SL: np.ndarray, masked_SL: np.ndarray, all_masked_L: np.ndarray, gain_L: np.ndarray
) -> float:
    """What sets of l < L tokens add to the bound, from those of one half."""
    count, length = log_p_SL.shape
    sizes_S = masked_SL.sum(axis=1)
    better_S = (
        np.where(masked_SL, log_p_SL - all_masked_L - _known(masked_SL) * gain_L, 0.0).sum(axis=1)
        * length
        / sizes_S
    )
    # (L - l) / (L - 1) adds up to L / 2.
    expected = (length - 1) / length * all_masked_L.sum() + gain_L.sum() / 2
    return float(
        expected + (better_S / (length * size_probabilities(length)[sizes_S - 1])).sum() / count
    )


def _known(masked_SL: np.ndarray) -> np.ndarray:
    """[S, 1]: (L - l) / (L - 1), the share of a token's L - 1 companions that is not masked."""
    length = masked_SL.shape[1]
    return np.asarray((length - masked_SL.sum(axis=1, keepdims=True)) / (length - 1))
