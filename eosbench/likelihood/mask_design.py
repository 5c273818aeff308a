"""Sets of masked tokens spread over positions, sizes and pairs of positions.

A small sample of such sets does the work of a larger one drawn independently.

The log-probability of a token in a pass differs from its guess (eosbench/likelihood/estimator.py)
by an effect of the token's own, which drifts with the number of known tokens, and by an effect of
each known token on it. Were all of these independent random effects, a sum over sets with weights c
would have the variance

    sum over sets a, b of  c_a c_b (L / 4 * exp(-|l_a - l_b| / (L / 5)) * <a, b> + <a, b>^2)

<a, b> being the number of positions that both hold, less l_a l_b / L, the number that two sets of
their sizes l share on average. Sets are chosen by coordinate exchange to make this variance small
(Meyer and Nachtsheim, The Coordinate-Exchange Algorithm for Constructing Exact Optimal Experimental
Designs, Technometrics 37, 1995): one after the other, each set takes the positions that add least.

Legend: S sets, L positions.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ROUNDS = 2  # times that each set is chosen anew
AT_ONCE = 1 / 8  # share of a set's positions that is taken before costs are computed again


@lru_cache(maxsize=1024)
def spread(length: int, sizes: tuple[int, ...], weights: tuple[float, ...]) -> np.ndarray:
    """Sets of these sizes as [S, L] bool, read-only.

    Some positions are preferred to others: a caller deals them out to its tokens at random.

    Args:
        length: L.
        sizes: positions of each set, 1 to L - 1.
        weights: of each set in the sum, above 0.

    Example:
        >>> spread(4, (2, 2), (1.0, 1.0)).sum(axis=0).tolist()  # every position once
        [1, 1, 1, 1]
    """
    size_S, weight_S = np.array(sizes), np.array(weights) / np.mean(weights)
    # Of a set of more than half of the positions, those that it leaves out are chosen.
    few_S, sign_S = np.minimum(size_S, length - size_S), np.where(2 * size_S <= length, 1.0, -1.0)
    distance_SS = np.abs(size_S[:, None] - size_S)
    near_SS = length / 2 * np.exp(-distance_SS / (length / 5)) * np.outer(sign_S, sign_S)
    centred_SL = np.zeros((len(sizes), length))  # 0 everywhere: not chosen yet
    for row in [*np.argsort(-few_S, kind="stable")] * ROUNDS:
        centred_SL[row] = 0
        weighted_SL = weight_S[:, None] * centred_SL
        cost_L = near_SS[row] @ weighted_SL + (weighted_SL * centred_SL).sum(axis=0)
        taken_L, step = np.zeros(length, dtype=bool), max(1, int(few_S[row] * AT_ONCE))
        while left := int(few_S[row] - taken_L.sum()):
            best = np.argpartition(cost_L, min(step, left) - 1)[: min(step, left)]
            taken_L[best] = True
            cost_L = cost_L + 2 * weighted_SL[:, best].sum(axis=1) @ centred_SL
            cost_L[taken_L] = np.inf
        centred_SL[row] = taken_L - few_S[row] / length
    masked_SL = np.asarray((centred_SL > 0) ^ (sign_S < 0)[:, None])
    masked_SL.setflags(write=False)
    return masked_SL
