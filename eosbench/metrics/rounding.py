"""Coverage and overshoot by rounding alone, on top of what calibration promises. No torch.

Legend: N documents; bound B, length L, canvas C. `unrounded` is the bound that the calibrated value
alone would be: the next whole number, within the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from eosbench.metrics.documents import floats_of
from eosbench.metrics.metric import Floats, Metric, Terms, floats, uncensored
from eosbench.records import LengthRecord

ROUNDING_TOLERANCE = 1e-4  # tokens: 64.00001 is 64 after a logarithm and back

__all__ = ["ROUNDING_TOLERANCE", "of_rounding", "rounding_coverage", "rounding_overshoot"]


@Metric
def rounding_coverage(
    bound_N: ArrayLike,
    unrounded_N: ArrayLike,
    length_N: ArrayLike,
    canvas_N: ArrayLike | None = None,
) -> Terms:
    """Share with unrounded < L <= B; denominator: uncensored documents.

    These are the documents that only rounding covers, on top of the calibrated coverage.

    >>> rounding_coverage([8, 8, 4], [6, 6, 3], [7, 5, 6])
    0.3333333333333333
    """
    bound_N, unrounded_N, length_N = floats(bound_N), floats(unrounded_N), floats(length_N)
    return (unrounded_N < length_N) & (length_N <= bound_N), uncensored(length_N, canvas_N)


@Metric
def rounding_overshoot(
    bound_N: ArrayLike,
    unrounded_N: ArrayLike,
    length_N: ArrayLike | None = None,
    canvas_N: ArrayLike | None = None,
) -> Terms:
    """Mean of B - unrounded, the tokens that rounding adds; denominator: uncensored documents.

    >>> rounding_overshoot([8, 8, 4], [6, 5, 4])
    1.6666666666666667
    """
    return floats(bound_N) - floats(unrounded_N), uncensored(length_N, canvas_N)


def of_rounding(records: Sequence[LengthRecord]) -> dict[str, Floats]:
    """Both metrics of many records: name of the metric -> one number per document [N]."""
    names = ("bound", "calibrated", "length", "canvas")
    bound_N, calibrated_N, length_N, canvas_N = (floats_of(records, name) for name in names)
    unrounded_N = np.clip(np.ceil(calibrated_N - ROUNDING_TOLERANCE), 1, canvas_N)
    return {
        "rounding_coverage": rounding_coverage.each(bound_N, unrounded_N, length_N, canvas_N),
        "rounding_overshoot": rounding_overshoot.each(bound_N, unrounded_N, length_N, canvas_N),
    }
