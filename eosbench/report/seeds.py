"""The scores of a method over the seeds of its predictor: its repeats (repeats.py), joined.

A mean over S seeds of N documents has two sources of chance: which documents were asked, and
which seeds trained. The interval is a two-level bootstrap. Resample r draws N of the N documents
with replacement, the same ones for every seed, since all seeds answered the same documents;
gives every seed s its estimate m_rs on them (rmse: the root of the mean square); draws S of the
S seeds with replacement; and takes the mean of the drawn m_rs. Its 95 % percentile interval is
reported. A share of documents never gets a narrower interval than Wilson's of the mean share,
which does not close where every document is covered.

Few seeds make it rough. Three whose documents are beyond doubt give the range of the three,
since each extreme is drawn three times in 1 / 27 of the resamples, more than the 2.5 % that are
cut off; such a range holds the mean of a symmetric distribution in 1 - 2 / 2 ** 3 = 75 % of the
cases, not in 95 %.

Legend: N documents, S seeds, M metrics, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eosbench.metrics import Floats, bootstrap, over_seeds, percentiles, wilson
from eosbench.report.columns import BOUND_KEYS, Column
from eosbench.report.quality import quality_metric
from eosbench.report.repeats import SeedGroup
from eosbench.report.tables import Row, Table, interval
from eosbench.results import Score, TaskResult

if TYPE_CHECKING:
    import pandas as pd

SEEDS = Column(
    "seeds",
    "seeds",
    "How many runs a row joins: predictors trained with different seeds.",
    digits=0,
    main=True,
)
Logged = Mapping[tuple[str, str], "pd.DataFrame"]  # as `Evidence.logged`
Place = tuple[str | None, float | None]  # a benchmark and a fraction


def across_seeds(groups: Sequence[SeedGroup], comparison: Table, logged: Logged) -> Table:
    """Mean, standard deviation (S - 1) and interval over the seeds, for each row of the comparison.

    Empty where every method has one seed. Else such methods stand in it too, with their own
    interval and no deviation. Seconds are left out: they tell of the machine.

    Args:
        groups: every run of the comparison, with its repeats.
        comparison: as `compare` makes it.
        logged: the documents, as `Evidence.logged` has them.
    """
    if all(len(group.members) == 1 for group in groups):
        return Table((), [])
    columns = [column for column in comparison.columns if column.key != "seconds"]
    places = _rows_by_place(comparison)
    rows: list[Row] = []
    for group in groups:
        names = [run.name for run in group.members]
        for (benchmark, fraction), by_name in places.items():
            own = [by_name[name] for name in names if name in by_name]
            if own:
                documents = max(row.documents for row in own)
                censored = max(row.censored for row in own)
                cells = _cells(own, columns, logged)
                rows.append(Row(group.run, cells, documents, censored, benchmark, fraction))
    shown = (replace(column, share=False) for column in columns)  # the intervals are made here
    return Table((SEEDS, *shown), rows).used()


def _rows_by_place(comparison: Table) -> dict[Place, dict[str, Row]]:
    """Benchmark and fraction, sorted -> the name of a run -> its row."""
    places: dict[Place, dict[str, Row]] = {}
    for row in comparison.rows:
        places.setdefault((row.benchmark, row.fraction), {})[row.run.name] = row
    return dict(sorted(places.items(), key=lambda item: (item[0][0] or "", item[0][1] or 0.0)))


def _cells(rows: Sequence[Row], columns: Sequence[Column], logged: Logged) -> dict[str, Score]:
    """The joined scores of one row per seed."""
    cells = {"seeds": Score(float(len(rows)))}
    ends = _ends(rows, columns, logged) if len(rows) > 1 else {}
    for column in columns:
        scores = [row.cells[column.key] for row in rows if column.key in row.cells]
        if not scores:
            continue
        if len(rows) == 1:
            low, high = interval(scores[0], column)
            cells[column.key] = replace(scores[0], low=low, high=high)
        else:
            cells[column.key] = _joined(scores, column, ends.get(column.key))
    return cells


def _joined(scores: Sequence[Score], column: Column, ends: tuple[float, float] | None) -> Score:
    """One metric over the seeds that have it; `ends` are those of its interval, where known."""
    values_S = np.array([score.value for score in scores])
    mean, spread = _moments(values_S[~np.isnan(values_S)])
    low, high = ends or (math.nan, math.nan)
    count = max(score.count for score in scores)
    if column.share and not math.isnan(low):
        least, most = wilson(mean, count)
        low, high = min(low, least), max(high, most)
    return Score(mean, count=count, low=low, high=high, spread=spread)


def _moments(values_S: Floats) -> tuple[float, float]:
    """Mean and standard deviation (S - 1) of the seeds.

    Both are taken from the first value on, so that equal ones deviate by 0 and not by a rounding.

    >>> _moments(np.array([1.0, 2.0, 6.0]))[0], _moments(np.array([0.95, 0.95, 0.95]))
    (3.0, (0.95, 0.0))
    """
    if not values_S.size:
        return math.nan, math.nan
    from_first_S = values_S - values_S[0]
    mean = float(values_S[0] + from_first_S.mean())
    return mean, float(from_first_S.std(ddof=1)) if values_S.size > 1 else math.nan


def _ends(
    rows: Sequence[Row], columns: Sequence[Column], logged: Logged
) -> dict[str, tuple[float, float]]:
    """Column -> the ends of its interval, as far as every seed logged the documents."""
    ends: dict[str, tuple[float, float]] = {}
    keys = {column.key for column in columns}
    for task in rows[0].run.tasks.values():
        frames = [logged.get((row.run.name, task.task)) for row in rows]
        known = [frame for frame in frames if frame is not None]
        wanted: dict[str, str] = {}
        for key, name in _resampled_columns(task, rows[0], keys).items():
            if all(name in frame for frame in known):
                wanted[key] = name
        if len(known) == len(rows) and wanted:
            low_M, high_M = percentiles(_estimates(known, wanted))
            for key, low, high in zip(wanted, low_M, high_M, strict=True):
                ends[key] = float(low), float(high)
    return ends


def _resampled_columns(task: TaskResult, row: Row, keys: set[str]) -> dict[str, str]:
    """Column of the table -> column of the documents, for what `task` tells in a row like `row`."""
    if task.benchmark and (task.benchmark, task.fraction) == (row.benchmark, row.fraction):
        return {key: "squared_error" if key == "rmse" else key for key in BOUND_KEYS}
    quality = f"quality:{task.task}"
    return {quality: quality_metric(task) or ""} if quality in keys else {}


def _estimates(frames: Sequence[pd.DataFrame], wanted: Mapping[str, str]) -> Floats:
    """The resampled means over seeds [R, M] of some columns of S frames.

    Args:
        frames: the documents of each seed; one that a seed lacks is undefined there.
        wanted: the name of a metric -> the column that holds it.
    """
    order: dict[str, None] = {}
    for frame in frames:
        order |= dict.fromkeys(frame["document"])
    names = list(wanted.values())
    values_NSM = np.stack([_values(frame, order, names) for frame in frames], axis=1)
    estimates_RSM = bootstrap(values_NSM.reshape(len(order), -1)).reshape(-1, *values_NSM.shape[1:])
    rooted = [index for index, key in enumerate(wanted) if key == "rmse"]
    estimates_RSM[:, :, rooted] = np.sqrt(estimates_RSM[:, :, rooted])
    return over_seeds(estimates_RSM)


def _values(frame: pd.DataFrame, order: Iterable[str], names: Sequence[str]) -> Floats:
    """The columns of one seed's documents in this order [N, M]; NaN for a document it lacks."""
    by_document = frame.drop_duplicates("document").set_index("document")
    return np.asarray(by_document.reindex(list(order))[list(names)].to_numpy(np.float64))
