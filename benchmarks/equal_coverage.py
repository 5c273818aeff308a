"""Overshoot at equal coverage: predictions compared where each covers the same share of answers.

Bounds that are calibrated on other documents promise 95 % and cover 93 % here and 97 % there, and
a bound that covers less overshoots less. So the margin of each model is taken from the documents
themselves: it is the least one whose bounds, in whole tokens, cover ceil(0.95 N) of N documents.
Two models then cover equally many, but for ties (documents that one margin covers together).

The margin is part of what is estimated: every bootstrap resample takes its own, so that intervals
hold the chance of the margin as well as that of the overshoot. Nothing is fitted on the documents
but this one number a model, on both sides alike.

Legend: N documents, R resamples.
"""

from __future__ import annotations

import math

import numpy as np

from eosbench.metrics import Floats, bootstrap

SHARE = 0.95


def draws(documents: int) -> Floats:
    """Counts of each document [1 + R, N]: every document once, then the resamples of `bootstrap`.

    >>> draws(4)[:1].tolist(), set(draws(4).sum(axis=1).tolist())
    ([[1.0, 1.0, 1.0, 1.0]], {4.0})
    """
    resampled_RN = np.rint(documents * bootstrap(np.eye(documents)))
    return np.vstack([np.ones(documents), resampled_RN])


def overshoot_at(
    prediction_N: Floats,
    length_N: Floats,
    counts_RN: Floats,
    *,
    canvas: int,
    share: float = SHARE,
) -> tuple[Floats, Floats]:
    """Mean overshoot over covered documents [R], and coverage [R], of every resample.

    Args:
        prediction_N: predicted lengths before calibration, in tokens.
        length_N: true lengths, none above the canvas.
        counts_RN: how often a resample holds each document; rows sum to N.
        canvas: C, in tokens.
        share: of the documents that bounds are to cover.

    Example:
        >>> length, once = np.array([4.0, 9.0]), np.ones((1, 2))
        >>> overshoot_at(np.array([4.0, 4.0]), length, once, canvas=64)  # both bounds are 9
        (array([2.5]), array([1.]))
        >>> overshoot_at(np.array([4.0, 4.0]), length, once, canvas=64, share=0.5)  # both are 4
        (array([0.]), array([0.5]))
    """
    log_N = np.log1p(np.asarray(prediction_N, dtype=np.float64))
    with np.errstate(divide="ignore"):
        # A bound in whole tokens covers L as soon as the raised prediction passes L - 1.
        least_N = np.log(np.asarray(length_N, dtype=np.float64)) - log_N
    order_N = np.argsort(least_N, kind="stable")
    covered_RN = np.cumsum(counts_RN[:, order_N], axis=1)
    enough = math.ceil(share * counts_RN.shape[1] - 1e-9)
    margin_R1 = least_N[order_N][(covered_RN >= enough).argmax(axis=1)][:, None]
    bound_RN = np.floor(np.expm1(log_N + margin_R1) + 1e-6) + 1  # a whole number is passed
    bound_RN = np.clip(bound_RN, 1, canvas)
    counted_RN = counts_RN * (bound_RN >= length_N)
    total_R = counted_RN.sum(axis=1)
    overshoot_R = (counted_RN * (bound_RN - length_N)).sum(axis=1) / total_R
    return overshoot_R, total_R / counts_RN.sum(axis=1)
