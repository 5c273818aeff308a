"""The columns of the seed paper's own table, derived from ours: of a whole task, a results file's
row, or one document alike.

The paper parts documents into three, bound below, at and above the length, where ours are two,
covered and not. So

    below = 1 - coverage                    tokens below = shortfall
    above = coverage - exact                tokens above = overshoot * coverage / above

and exact, saved and rmse are the same (its printed `saved` was one sample's value; ours is the
mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

COLUMNS = ("below", "above", "exact", "tokens_below", "tokens_above", "saved", "rmse")


def paper_columns(metrics: Mapping[str, float]) -> dict[str, float]:
    """`COLUMNS` from coverage, overshoot, shortfall, exact, rmse, and saved (NaN where it is not
    known); shares, not percent.

    Raises:
        KeyError: one of the first five is missing.

    >>> paper_columns({"coverage": 0.75, "overshoot": 4.0, "shortfall": 2.0, "exact": 0.25, "saved": 9.0, "rmse": 5.0})
    {'below': 0.25, 'above': 0.5, 'exact': 0.25, 'tokens_below': 2.0, 'tokens_above': 6.0, 'saved': 9.0, 'rmse': 5.0}
    """
    coverage, exact = metrics["coverage"], metrics["exact"]
    above = coverage - exact
    return {
        "below": 1.0 - coverage,
        "above": above,
        "exact": exact,
        "tokens_below": metrics["shortfall"],
        "tokens_above": metrics["overshoot"] * coverage / above if above > 0 else nan,
        "saved": metrics.get("saved", nan),
        "rmse": metrics["rmse"],
    }
