"""The score that stands for a generation task: which one it is, its interval and its column.

Legend: R resamples.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from eosbench.metrics import Floats, bootstrap, percentiles
from eosbench.report.columns import Column
from eosbench.results import Run, Score, TaskResult

if TYPE_CHECKING:
    import pandas as pd

# All are shares of one; of those that a task has, the first stands for it.
QUALITY = (
    "exact_match",
    "exact_match,flexible-extract",
    "exact_match,strict-match",
    "pass@1",
    "acc_norm",
    "acc",
)


def quality_metric(task: TaskResult) -> str | None:
    """The score that stands for a generation task; None for a task that measures bounds."""
    if task.benchmark is not None:
        return None
    return next((name for name in (*QUALITY, *sorted(task.scores)) if name in task.scores), None)


def quality_score(task: TaskResult, frame: pd.DataFrame | None) -> Score:
    """The score that stands for a generation task, with an interval where documents were logged.

    Args:
        task: a task that has such a score.
        frame: its documents; None where they were not logged.
    """
    reported = task.scores[quality_metric(task) or ""]
    estimates_R = resampled_quality(task, frame)
    if estimates_R is None:
        return reported
    (low,), (high,) = percentiles(estimates_R[:, None])
    return Score(reported.value, reported.stderr, reported.count, float(low), float(high))


def resampled_quality(task: TaskResult, frame: pd.DataFrame | None) -> Floats | None:
    """A task's quality under every resample of its documents [R]; None where none were logged."""
    metric = quality_metric(task)
    if frame is None or metric not in frame:
        return None
    return bootstrap(frame[[metric]].to_numpy(dtype=np.float64))[:, 0]


def quality_column(task: str, runs: Iterable[Run]) -> Column:
    """The column of a generation task in the comparison; some of the runs have the task."""
    metric = next(quality_metric(run.tasks[task]) for run in runs if task in run.tasks) or ""
    percent = metric in QUALITY
    return Column(
        f"quality:{task}",
        f"{task} {metric.split(',')[0].replace('_', ' ')}{' %' if percent else ''}",
        f"Score of the generation task {task}, answered inside the predicted windows. "
        "Higher is better.",
        percent=percent,
        share=percent,
        digits=1 if percent else 3,
        main=True,
        signed=not percent,
    )
