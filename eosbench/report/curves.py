"""Curves of quality against compute, and the area under them as one number.

The full canvas is the unit of compute. Lengths differ by factors, and so does the cost of windows
of their size: areas are taken on a logarithmic axis, `budget`. There are two (docs/report.md has
them in words):

- `coverage_area`, of a bound task: the share of documents that a window within the budget covers.
- `staircase_area`, of a generation task: the quality that the runs of one method reach within the
  budget.

`coverage_curve` is for the eye: how much a run would cover, and waste, if all its predictions were
scaled by one factor. It does not depend on how a method was calibrated.

Legend: N documents, S factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from eosbench.metrics import Floats

FACTORS_S: Floats = np.geomspace(1 / 32, 32, 81)
ALPHA = 3.0  # of the penalty on lost quality, as in AUP (arXiv 2601.07568)
HALVINGS = 10  # the span of an area's axis: from the full canvas's compute down to 1/1024 of it


def budget(compute: ArrayLike, halvings: int = HALVINGS) -> Floats:
    """A compute ratio's place on the axis of an area.

    It is 1 for the full canvas, a tenth less for every halving, and 0 from 1/1024 down; likewise
    for another number of halvings than ten.

    >>> budget([1.0, 0.5, 0.25, 1 / 1024, 0.0]).tolist()
    [1.0, 0.9, 0.8, 0.0, 0.0]
    >>> budget([2.0, 0.5, 1 / 16], halvings=4).tolist()
    [1.0, 0.75, 0.0]
    """
    return np.clip(1 + np.log2(np.maximum(compute, 2.0**-halvings)) / halvings, 0.0, 1.0)


def coverage_area(covered_N: ArrayLike, compute_N: ArrayLike) -> Floats:
    """Each document's part [N] of the area under the share of documents covered within a budget.

    The mean is the area. A document enters that curve at the budget of its window, and not at all
    if its answer would be cut off. So no method has more than the oracle, on any document, and the
    full canvas has none.

    Args:
        covered_N: 1 where the window holds the answer, 0 where it does not, NaN where censored.
        compute_N: the compute ratio of the window.

    >>> coverage_area([1, 1, 0, np.nan], [0.25, 1.0, 0.001, 0.5]).tolist()  # 0.25: two halvings
    [0.2, 0.0, 0.0, nan]
    """
    return np.round(np.asarray(covered_N, dtype=np.float64) * (1 - budget(compute_N)), 12)


@dataclass(frozen=True)
class Curve:
    """Coverage and overshoot of every document at every factor, each [N, S].

    Attributes:
        covered_NS: 1 where the scaled bound covers the answer, else 0.
        overshoot_NS: tokens beyond the end of the answer; NaN where it is not covered.
    """

    covered_NS: Floats
    overshoot_NS: Floats

    @property
    def coverage_S(self) -> Floats:
        """The share of documents covered at each factor."""
        return np.asarray(self.covered_NS.mean(axis=0))

    @property
    def mean_overshoot_S(self) -> Floats:
        """The mean overshoot of covered documents at each factor; NaN where none is covered."""
        total_S = np.nansum(self.overshoot_NS, axis=0)
        covered_S = self.covered_NS.sum(axis=0)
        return np.asarray(
            np.divide(total_S, covered_S, out=np.full(len(total_S), np.nan), where=covered_S > 0)
        )


def coverage_curve(prediction_N: ArrayLike, length_N: ArrayLike, canvas_N: ArrayLike) -> Curve:
    """Coverage and overshoot of the bounds ceil(prediction * factor), within [1, C].

    Censored documents, with L > C, must be left out before.

    >>> curve = coverage_curve([4.0, 4.0], [4, 8], [16, 16])
    >>> at = int(np.argmin(abs(FACTORS_S - 1.0)))
    >>> curve.coverage_S[at].item(), curve.mean_overshoot_S[at].item()
    (0.5, 0.0)
    """
    prediction_N1, length_N1, canvas_N1 = (
        np.asarray(values, dtype=np.float64)[:, None]
        for values in (prediction_N, length_N, canvas_N)
    )
    bound_NS = np.clip(np.ceil(prediction_N1 * FACTORS_S - 1e-9), 1.0, canvas_N1)
    covered_NS = (bound_NS >= length_N1).astype(np.float64)
    return Curve(covered_NS, np.where(covered_NS == 1, bound_NS - length_N1, np.nan))


def staircase_area(
    points: Sequence[tuple[float, float]],
    best: float,
    alpha: float = ALPHA,
    halvings: int = HALVINGS,
) -> float:
    """The best weighted quality that a method reaches within a budget, averaged over budgets.

    A point's quality q counts q * exp(-alpha (1 - q / best)), the weight of AUP
    (arXiv 2601.07568): what is cheap because it is wrong earns little.

    Args:
        points: (compute ratio, quality), one per run of the method.
        best: the best quality of any run on the task.
        alpha: how much lost quality weighs; with 0 not at all.
        halvings: the span of the axis.

    >>> round(staircase_area([(0.25, 0.8), (0.5, 0.8)], best=0.8), 6)  # 0.8 for two halvings of ten
    0.16
    >>> staircase_area([(1.0, 0.9)], best=0.9)  # the full canvas saves nothing
    0.0
    """
    total, reached, at = 0.0, 0.0, 0.0
    for compute, quality in sorted(points):
        place = float(budget(compute, halvings))
        total += reached * (place - at)
        at = place
        if best > 0 and not math.isnan(quality):
            reached = max(reached, quality * math.exp(-alpha * max(0.0, 1 - quality / best)))
    return total + reached * (1 - at)
