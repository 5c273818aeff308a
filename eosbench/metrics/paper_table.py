"""The columns of the seed paper's own table, derived from the metrics of this package.

They can be derived for a whole task, for a row of a results file and for one document alike. The
paper parts documents into three, with the bound below, at and above the length; the metrics here
part them into two, covered and uncovered. So

    below = 1 - coverage                    tokens below = shortfall
    above = coverage - exact                tokens above = overshoot * coverage / above

and exact, saved and rmse are the same. (The paper printed one sample's value of `saved`; here it is
the mean.)
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

COLUMNS = ("below", "above", "exact", "tokens_below", "tokens_above", "saved", "rmse")


def paper_columns(metrics: Mapping[str, float]) -> dict[str, float]:
    """The paper's columns by name (`COLUMNS`), shares as numbers from 0 to 1.

    Args:
        metrics: coverage, overshoot, shortfall, exact, rmse, and where it is known saved.

    Raises:
        KeyError: one of the first five is missing.

    >>> names = ("coverage", "overshoot", "shortfall", "exact", "rmse")
    >>> found = paper_columns(dict(zip(names, (0.75, 4.0, 2.0, 0.25, 5.0))))
    >>> [found[name] for name in ("below", "above", "tokens_below", "tokens_above")]
    [0.25, 0.5, 2.0, 6.0]
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
