"""The promises that are broken, or what it would take to see one broken.

A run breaks its promise where the whole 95 % interval of what it promised lies on the wrong side:
of its coverage, or of the mean shortfall over all documents. A run whose margin is the one that
costs least promises neither, and is named with what it expects an answer to cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eosbench.metrics import bootstrap, percentiles, wilson
from eosbench.report.answers.sentence import Sentence, counted, listed, measured, share
from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.evidence import Evidence
from eosbench.report.tables import Row, below_promise
from eosbench.results import Score

if TYPE_CHECKING:
    import pandas as pd

COVERAGE = next(column for column in BOUND_COLUMNS if column.key == "coverage")
MISSED = Column("missed", "", "")
BROKEN_SHOWN = 3


def promise_sentence(evidence: Evidence, rows: Sequence[Row]) -> Sentence:
    """Who breaks a promise; else how low a coverage would have to be to show it.

    What follows is told of runs that promise nothing but to cost least.
    """
    cheapest = _cheapest([row for row in rows if costs_least(row)])
    broken: list[str] = []
    promising: list[Row] = []
    for row in rows:
        if row.run.promise is not None:
            promising.append(row)
            if below_promise(row, COVERAGE):
                cover = _in_per_cent(row.cells["coverage"])
                broken.append(
                    f"{row.run.name} covers {cover} and promises {share(row.run.promise)}"
                )
            continue
        level, missed = promised_shortfall(row), _missed(evidence, row)
        if level is not None and missed is not None:
            promising.append(row)
            if missed.low > level:
                words = measured(missed, MISSED, "tokens")
                broken.append(f"{row.run.name} misses {words} and promises at most {level:g}")
    if broken:
        start = "One promise is" if len(broken) == 1 else f"{len(broken)} promises are"
        return Sentence(f"{start} broken: {listed(broken, BROKEN_SHOWN)}.{cheapest}")
    if not promising and cheapest:
        return Sentence(cheapest.strip())
    if not promising:
        return Sentence(
            "No promise was made that could be broken; eosbench fit makes predictors whose bounds "
            "are calibrated for one, and this lists its options:",
            "eosbench fit --help",
        )
    return Sentence(f"No run is shown to break its promise{_what_would_show(promising)}.{cheapest}")


def promised_shortfall(row: Row) -> float | None:
    """The mean shortfall in tokens that a run promises instead of a coverage; None without one."""
    calibration = (row.run.settings or {}).get("calibration")
    level = calibration.get("shortfall") if isinstance(calibration, dict) else None
    return float(level) if isinstance(level, (int, float)) else None


def costs_least(row: Row) -> bool:
    """Whether a run's margin is the one that costs least, which promises no coverage."""
    calibration = (row.run.settings or {}).get("calibration")
    return isinstance(calibration, dict) and calibration.get("promise") == "cheapest"


def _cheapest(rows: Sequence[Row]) -> str:
    """A sentence on the runs that cost least, after a blank; empty where there are none."""
    if not rows:
        return ""
    names = [row.run.name for row in rows]
    takes, promises = ("takes", "promises") if len(names) == 1 else ("take", "promise")
    told = (
        f" {listed(names)} {takes} the margin that costs least with retries, and {promises} no "
        "coverage"
    )
    cost = (rows[0].run.settings or {}).get("expected_cost")
    if len(rows) > 1 or not isinstance(cost, dict):
        return f"{told}."
    expected, error, whole = (
        cost.get(name) for name in ("token_positions", "standard_error", "whole_canvas")
    )
    if not all(isinstance(value, (int, float)) for value in (expected, error, whole)):
        return f"{told}."
    return (
        f"{told}; by the calibration documents an answer's windows take {expected:.0f} "
        f"token-positions (standard error {error:.0f}), {whole:.0f} with the whole canvas."
    )


def _missed(evidence: Evidence, row: Row) -> Score | None:
    """The mean of max(0, L - B) over all documents that fit the canvas; None if not logged."""
    frame = _documents(evidence, row)
    if frame is None:
        return None
    fits = frame[frame["censored"] == 0]
    missed_N = np.maximum((fits["length"] - fits["bound"]).to_numpy(dtype=np.float64), 0.0)
    if len(missed_N) < 2:
        return None
    (low,), (high,) = percentiles(bootstrap(missed_N[:, None]))
    return Score(float(missed_N.mean()), count=len(missed_N), low=float(low), high=float(high))


def _documents(evidence: Evidence, row: Row) -> pd.DataFrame | None:
    for name, task in row.run.tasks.items():
        if (task.benchmark, task.fraction) == (row.benchmark, row.fraction):
            return evidence.logged.get((row.run.name, name))
    return None


def _in_per_cent(score: Score) -> str:
    """A coverage and its interval, in per cent."""
    return measured(score, COVERAGE, "%")


def _what_would_show(rows: Sequence[Row]) -> str:
    """A clause on the highest coverage that would count as broken, for the fewest answers.

    Empty where no run promises a coverage.
    """
    promising = [row for row in rows if row.run.promise is not None]
    if not promising:
        return ""
    row = min(promising, key=lambda row: row.cells["coverage"].count)
    answers, promise = row.cells["coverage"].count, row.run.promise or math.nan
    most = highest_broken(answers, promise)
    of = counted(answers, "answer")
    if most is None:
        return f"; with {of} no coverage could show it against {share(promise)}"
    return (
        f"; with {of} it would take a coverage of at most {100 * most / answers:.1f} % to tell it "
        f"from {share(promise)}"
    )


def highest_broken(answers: int, promise: float) -> int | None:
    """The most covered answers of `answers` whose interval lies under the promise; None if none.

    >>> highest_broken(100, 0.95), highest_broken(1, 0.5)
    (90, None)
    """
    low, high = -1, answers  # `low` is under the promise, `high` is not
    while high - low > 1:
        middle = (low + high) // 2
        if wilson(middle / answers, answers)[1] < promise:
            low = middle
        else:
            high = middle
    return None if low < 0 else low
