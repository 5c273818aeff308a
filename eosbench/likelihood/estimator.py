"""From the log-probabilities of masked tokens to a log-likelihood and its standard error.

A sample of sets (eosbench/likelihood/mask_plan.py) is corrected for the tokens that happened to be
in it, by the difference estimator of survey sampling (Särndal, Swensson and Wretman, Model Assisted
Survey Sampling, 1992, chapter 6). Let m_i(l) be any guess of log p of token i in a set of l tokens
that does not depend on the sampled sets S, whose sizes l are drawn with probability q_l. Then

    (1 / L) * sum over l < L and i of m_i(l)
        + mean over S of  (f(S) - (L / l) * sum over i in S of m_i(l)) / (L q_l)

has the same expectation as the contribution of all sets of l < L tokens to the bound; the better
the guess, the less noise. The guess for either half of the sample comes from the other half, so
both halves are unbiased, and so is their mean:

    m_i(l) = d_i + (L - l) / (L - 1) * a_i,    d_i = log p(x_i) with everything masked

Every plan has the set of everything. The gain a_i is found by least squares over the sets that mask
token i, and is held to the common gain of all tokens as by one more observation.

Legend: L target length, S sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from eosbench.likelihood.mask_plan import Pattern, Plan, size_probabilities

# Of every pattern: log p of each of its tokens, in nats.
LogProbabilities = Mapping[Pattern, Sequence[float]]


def estimate(plan: Plan, log_p: LogProbabilities) -> tuple[float, float]:
    """(log-likelihood, standard error), in nats; the error is 0 where all sets are there.

    The error rests on one difference of two halves: its square is right on average over requests,
    while that of one request is rough.

    Args:
        plan: the sets of masked tokens.
        log_p: log-probabilities of their tokens, in nats.

    Example:
        >>> plan = Plan(2, ((0,), (1,), (0, 1)))
        >>> estimate(plan, {(0,): [-1.0], (1,): [-2.0], (0, 1): [-2.0, -3.0]})  # (2 * -1.5 - 5) / 2
        (-4.0, 0.0)
    """
    length = plan.length
    if not plan.halves:
        shares = (
            math.fsum(values) / (len(pattern) * math.comb(length, len(pattern)))
            for pattern, values in log_p.items()
        )
        return math.fsum(shares), 0.0
    all_masked_L = np.array(log_p[tuple(range(length))])
    one, other = (_laid_out(length, patterns, log_p) for patterns in plan.halves)
    values = (
        _corrected(*one, all_masked_L, _gains(all_masked_L, *other)),
        _corrected(*other, all_masked_L, _gains(all_masked_L, *one)),
    )
    share = len(one[0]) / (len(one[0]) + len(other[0]))
    mean = share * values[0] + (1 - share) * values[1]
    # The variance of a half is in proportion to one over its number of sets, so the squared
    # difference is expected to be the variance of the mean over s (1 - s), s the share.
    error = math.sqrt(share * (1 - share)) * abs(values[0] - values[1])
    return float(all_masked_L.sum()) / length + mean, error


def _laid_out(
    length: int, patterns: Sequence[Pattern], log_p: LogProbabilities
) -> tuple[np.ndarray, np.ndarray]:
    """[S, L] log p of the masked tokens (0 elsewhere), and [S, L] whether each is masked."""
    log_p_SL = np.zeros((len(patterns), length))
    masked_SL = np.zeros((len(patterns), length), dtype=bool)
    for row, pattern in enumerate(patterns):
        log_p_SL[row, list(pattern)] = log_p[pattern]
        masked_SL[row, list(pattern)] = True
    return log_p_SL, masked_SL


def _gains(all_masked_L: np.ndarray, log_p_SL: np.ndarray, masked_SL: np.ndarray) -> np.ndarray:
    """[L] gains a_i, from the sets of one half."""
    known_SL = np.where(masked_SL, _known(masked_SL), 0.0)
    products_L = (known_SL * (log_p_SL - all_masked_L)).sum(axis=0)
    squares_L = (known_SL**2).sum(axis=0)
    return np.asarray((products_L + products_L.sum() / squares_L.sum()) / (squares_L + 1))


def _corrected(
    log_p_SL: np.ndarray, masked_SL: np.ndarray, all_masked_L: np.ndarray, gain_L: np.ndarray
) -> float:
    """The contribution of sets of l < L tokens to the bound, from those of one half."""
    count, length = log_p_SL.shape
    size_S = masked_SL.sum(axis=1)
    beyond_guess_SL = log_p_SL - all_masked_L - _known(masked_SL) * gain_L
    better_S = np.where(masked_SL, beyond_guess_SL, 0.0).sum(axis=1) * length / size_S
    # (L - l) / (L - 1) adds up to L / 2.
    expected = (length - 1) / length * all_masked_L.sum() + gain_L.sum() / 2
    return float(
        expected + (better_S / (length * size_probabilities(length)[size_S - 1])).sum() / count
    )


def _known(masked_SL: np.ndarray) -> np.ndarray:
    """[S, 1] (L - l) / (L - 1), the share of a token's L - 1 companions that is not masked."""
    length = masked_SL.shape[1]
    return np.asarray((length - masked_SL.sum(axis=1, keepdims=True)) / (length - 1))
