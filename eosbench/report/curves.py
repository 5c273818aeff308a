"""Curves behind single numbers: what a method would give at every price, and the area under that.

Two curves, both of quality against compute, whose unit is the full canvas (docs/report.md has the definitions in words):

- `coverage_curve`: all of a run's predictions times one factor, small to large. At each factor the share of covered documents
  is the quality, the mean compute ratio the price. It needs no further run and does not depend on how a method was calibrated.
- `staircase_area`: the runs of one method on a generation task, each a point of downstream quality and price.

Legend: N documents, S factors, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.report.statistics import bootstrap

Floats = NDArray[np.float64]

FACTORS_S: Floats = np.geomspace(1 / 32, 32, 81)
ALPHA = 3.0  # of the penalty on lost quality, as in AUP (arXiv 2601.07568)


@dataclass(frozen=True)
class Curve:
    """Per document and factor: covered or not, compute ratio, tokens beyond the end (NaN where not covered), each [N, S]."""

    covered_NS: Floats
    compute_NS: Floats
    overshoot_NS: Floats

    @property
    def coverage_S(self) -> Floats:
        return np.asarray(self.covered_NS.mean(axis=0))

    @property
    def mean_overshoot_S(self) -> Floats:
        """NaN at factors that cover no document."""
        total_S = np.nansum(self.overshoot_NS, axis=0)
        covered_S = self.covered_NS.sum(axis=0)
        return np.asarray(np.divide(total_S, covered_S, out=np.full(len(total_S), np.nan), where=covered_S > 0))


def coverage_curve(prediction_N: ArrayLike, length_N: ArrayLike, prompt_N: ArrayLike, canvas_N: ArrayLike) -> Curve:
    """The bounds ceil(prediction * factor), within [1, C], for every factor; documents with L > C must be left out before.

    >>> curve = coverage_curve([4.0, 4.0], [4, 8], [0, 0], [16, 16])
    >>> at = int(np.argmin(abs(FACTORS_S - 1.0)))
    >>> curve.coverage_S[at].item(), curve.compute_NS[0, at].item(), curve.mean_overshoot_S[at].item()
    (0.5, 0.0625, 0.0)
    """
    prediction_N1, length_N1, prompt_N1, canvas_N1 = (
        np.asarray(values, dtype=np.float64)[:, None] for values in (prediction_N, length_N, prompt_N, canvas_N)
    )
    bound_NS = np.clip(np.ceil(prediction_N1 * FACTORS_S - 1e-9), 1.0, canvas_N1)
    covered_NS = (bound_NS >= length_N1).astype(np.float64)
    compute_NS = bound_NS * (prompt_N1 + bound_NS) / (canvas_N1 * (prompt_N1 + canvas_N1))
    return Curve(covered_NS, compute_NS, np.where(covered_NS == 1, bound_NS - length_N1, np.nan))


def area(compute_S: Floats, quality_S: Floats) -> float:
    """Under quality against compute from 0 to 1, trapezoids between points: it begins at (0, 0) and stays level after the last.

    >>> area(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 1.0]))
    0.75
    >>> round(area(np.array([0.25]), np.array([0.8])), 6)  # 0.25 * 0.8 / 2 + 0.75 * 0.8
    0.7
    """
    return float(areas(np.atleast_2d(compute_S), np.atleast_2d(quality_S))[0])


def areas(compute_RS: Floats, quality_RS: Floats) -> Floats:
    """`area` of every row [R]."""
    first_R1 = np.zeros((len(compute_RS), 1))
    compute_RT = np.hstack([first_R1, compute_RS, np.ones_like(first_R1)])
    quality_RT = np.hstack([first_R1, quality_RS, quality_RS[:, -1:]])
    return np.asarray(np.sum(np.diff(compute_RT, axis=1) * (quality_RT[:, 1:] + quality_RT[:, :-1]) / 2, axis=1))


def curve_area(curve: Curve) -> tuple[float, Floats]:
    """The area under coverage against compute, and what it is under every resample of the documents [R]."""
    value = area(curve.compute_NS.mean(axis=0), curve.coverage_S)
    return value, areas(bootstrap(curve.compute_NS), bootstrap(curve.covered_NS))


def staircase_area(points: Sequence[tuple[float, float]], best: float, alpha: float = ALPHA) -> float:
    """Integral over budgets c from 0 to 1 of the best weighted quality that a method reaches at a compute ratio of at most c.

    A point's quality q counts q * exp(-alpha (1 - q / best)): what is cheap because it is wrong earns little.

    Args:
        points: (compute ratio, quality), one per run of the method.
        best: the best quality of any run on the task.

    >>> round(staircase_area([(0.25, 0.8), (0.5, 0.8)], best=0.8), 6)  # 0.8 from a quarter of the compute on
    0.6
    >>> staircase_area([(1.0, 0.9)], best=0.9)  # the full canvas saves nothing
    0.0
    """
    total, reached, at = 0.0, 0.0, 0.0
    for compute, quality in sorted(points):
        if compute >= 1:
            break
        total += reached * (compute - at)
        at = compute
        if best > 0 and not math.isnan(quality):
            reached = max(reached, quality * math.exp(-alpha * max(0.0, 1 - quality / best)))
    return total + reached * (1 - at)
