"""Bounds compared: by run, benchmark and unmasked fraction, and by data family.

Values are lm-eval's own where it reports them. Intervals come from the documents where samples were
logged (eosbench/metrics/statistics.py), else from lm-eval's standard error.

Legend: N documents, M metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.metrics import bootstrap, percentiles
from eosbench.report.columns import BOUND_COLUMNS, BOUND_KEYS, FAMILY_COLUMNS, SECONDS
from eosbench.report.evidence import Evidence
from eosbench.report.quality import quality_column, quality_metric, quality_score
from eosbench.report.tables import Row, Table
from eosbench.results import Run, Score, TaskResult

if TYPE_CHECKING:
    import pandas as pd


def compare(evidence: Evidence) -> Table:
    """Every run's bounds at every unmasked fraction, and the quality of what it generates."""
    generation: set[str] = set()
    for run in evidence.runs:
        generation.update(name for name, task in run.tasks.items() if quality_metric(task))
    quality = tuple(quality_column(name, evidence.runs) for name in sorted(generation))
    rows: list[Row] = []
    for run in evidence.runs:
        shared = _seconds(run)
        for name, task in run.tasks.items():
            if quality_metric(task):
                frame = evidence.logged.get((run.name, name))
                shared[f"quality:{name}"] = quality_score(task, frame)
        rows += _bound_rows(evidence, run, shared)
    return Table((*BOUND_COLUMNS, *quality, SECONDS), rows)


def _bound_rows(evidence: Evidence, run: Run, shared: dict[str, Score]) -> list[Row]:
    """One row per benchmark and fraction of a run, each with the cells that all of them share."""
    bounds = [task for task in run.tasks.values() if task.benchmark]
    if not bounds:
        return [Row(run, shared, max(task.documents for task in run.tasks.values()))]
    rows = []
    for task in sorted(bounds, key=lambda task: (task.benchmark or "", task.fraction or 0)):
        frame = evidence.logged.get((run.name, task.task))
        censored = _censored(task) if frame is None else int(frame["censored"].sum())
        cells = _completed(task, frame, censored) | shared
        rows.append(Row(run, cells, task.documents, censored, task.benchmark, task.fraction))
    return rows


def families(evidence: Evidence, benchmark: str, fraction: float) -> Table:
    """Bounds by data family at one unmasked fraction, so that methods stand beside each other."""
    documents = evidence.documents
    chosen = documents[
        (documents["benchmark"] == benchmark)
        & (documents["fraction"] == fraction)
        & documents["family"].notna()
    ]
    keys = [column.key for column in FAMILY_COLUMNS]
    groups: dict[Any, Any] = dict(list(chosen.groupby(["family", "run"], sort=False)))
    rows = []
    for family in sorted({family for family, _ in groups}):
        for run in evidence.runs:
            frame = groups.get((family, run.name))
            if frame is None:
                continue
            cells, censored = bound_cells(frame, keys), int(frame["censored"].sum())
            rows.append(
                Row(run, cells, len(frame), censored, benchmark, fraction, family=str(family))
            )
    return Table(FAMILY_COLUMNS, rows)


def bound_cells(frame: pd.DataFrame, keys: Sequence[str]) -> dict[str, Score]:
    """Means over one run's documents of one task, with standard errors and resampled intervals.

    Args:
        frame: the documents; a metric that it lacks has no cell.
        keys: the metrics.
    """
    keys = [key for key in keys if key in frame or key == "rmse"]
    names = ["squared_error" if key == "rmse" else key for key in keys]
    values_NM = frame[names].to_numpy(dtype=np.float64)
    low_M, high_M = percentiles(bootstrap(values_NM))
    cells = {}
    for index, key in enumerate(keys):
        defined = values_NM[~np.isnan(values_NM[:, index]), index]
        mean = float(defined.mean()) if defined.size else math.nan
        stderr = math.nan
        if defined.size > 1:
            stderr = float(defined.std(ddof=1)) / math.sqrt(defined.size)
        low, high = float(low_M[index]), float(high_M[index])
        if key == "rmse":  # the delta method: d sqrt(m) = dm / (2 sqrt(m))
            mean, low, high = math.sqrt(mean), math.sqrt(low), math.sqrt(high)
            stderr = stderr / (2 * mean) if mean else stderr
        cells[key] = Score(mean, stderr, int(defined.size), low, high)
    return cells


def _censored(task: TaskResult) -> int:
    """The number of a task's answers longer than the canvas, by the share that lm-eval reports."""
    share = task.scores.get("censored", Score(math.nan)).value
    return round(share * task.documents) if 0 <= share <= 1 else 0


def _completed(task: TaskResult, frame: pd.DataFrame | None, censored: int) -> dict[str, Score]:
    """The scores of a bound task that lm-eval reports, completed from its documents if logged.

    Without them the count of a score is that of the answers that fit the canvas.
    """
    own = {} if frame is None else bound_cells(frame, BOUND_KEYS)
    cells: dict[str, Score] = {}
    for key in BOUND_KEYS:
        reported, computed = task.scores.get(key), own.get(key)
        if reported is not None and computed is not None:
            stderr = computed.stderr if math.isnan(reported.stderr) else reported.stderr
            computed = replace(computed, value=reported.value, stderr=stderr)
        elif reported is not None:
            reported = replace(reported, count=task.documents - censored)
        found = computed or reported
        if found is not None:
            cells[key] = found
    return cells


def _seconds(run: Run) -> dict[str, Score]:
    """Seconds per answer over all generation tasks; empty where costs were not reported."""
    tasks = [
        task for task in run.tasks.values() if quality_metric(task) and "seconds" in task.costs
    ]
    requests = int(sum(task.costs.get("requests", task.documents) for task in tasks))
    if not requests:
        return {}
    seconds = sum(task.costs["seconds"] for task in tasks)
    return {"seconds": Score(seconds / requests, count=requests)}
