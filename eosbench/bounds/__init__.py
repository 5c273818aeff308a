"""From a prediction to an upper bound: calibration, rounding, clamping."""

from __future__ import annotations

from eosbench.bounds.bound import ROUNDINGS, to_bound
from eosbench.bounds.calibration import Calibration
from eosbench.bounds.coverage import Coverage
from eosbench.bounds.groups import GROUPINGS
from eosbench.bounds.promise import USUAL_ALPHA, Promise
from eosbench.bounds.scores import Scale, calibration_scores
from eosbench.bounds.shortfall import Shortfall

__all__ = [
    "GROUPINGS",
    "ROUNDINGS",
    "USUAL_ALPHA",
    "Calibration",
    "Coverage",
    "Promise",
    "Scale",
    "Shortfall",
    "calibration_scores",
    "to_bound",
]
