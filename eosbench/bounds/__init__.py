"""From a prediction to an upper bound: calibration, rounding, clamping."""

from __future__ import annotations

from eosbench.bounds.bound import ROUNDINGS, to_bound
from eosbench.bounds.calibration import (
    GROUPINGS,
    Calibration,
    Scale,
    calibration_scores,
    fewest_for_shortfall,
    fewest_scores,
)

__all__ = [
    "GROUPINGS",
    "ROUNDINGS",
    "Calibration",
    "Scale",
    "calibration_scores",
    "fewest_for_shortfall",
    "fewest_scores",
    "to_bound",
]
