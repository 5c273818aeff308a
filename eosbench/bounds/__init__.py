"""From a prediction to an upper bound: calibration, rounding, clamping."""

from __future__ import annotations

from eosbench.bounds.bound import to_bound
from eosbench.bounds.calibration import Calibration
from eosbench.bounds.cheapest import Cheapest
from eosbench.bounds.coverage import Coverage, least_alpha
from eosbench.bounds.groups import GROUPINGS
from eosbench.bounds.promise import PROMISES, USUAL_ALPHA, Promise
from eosbench.bounds.rounding import ROUNDINGS
from eosbench.bounds.scores import Scale, calibration_scores
from eosbench.bounds.shortfall import Shortfall
from eosbench.bounds.window_costs import Windows

__all__ = [
    "GROUPINGS",
    "PROMISES",
    "ROUNDINGS",
    "USUAL_ALPHA",
    "Calibration",
    "Cheapest",
    "Coverage",
    "Promise",
    "Scale",
    "Shortfall",
    "Windows",
    "calibration_scores",
    "least_alpha",
    "to_bound",
]
