"""The area under each method's curve of quality against compute, per generation task.

Legend: R resamples, P points (one per run).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eosbench.metrics import Floats, percentiles
from eosbench.report.costs import ground, per_answer, reference_run
from eosbench.report.curves import staircase_area
from eosbench.report.evidence import Evidence
from eosbench.report.quality import quality_metric, resampled_quality
from eosbench.results import Run, Score


@dataclass(frozen=True)
class _Point:
    """One run on the curve of its method.

    Attributes:
        compute: its token-positions relative to the run with the fixed canvas.
        quality: the score of its task.
        resampled_R: the same under every resample of the documents; None without samples.
    """

    run: Run
    compute: float
    quality: float
    resampled_R: Floats | None


def method_areas(evidence: Evidence) -> dict[tuple[str, str], Score]:
    """The area of a run's method, by the names of run and generation task.

    Only runs that have a fixed canvas to be compared with are in it.
    """
    areas: dict[tuple[str, str], Score] = {}
    tasks: set[str] = set()
    for run in evidence.runs:
        tasks.update(run.tasks)
    for task in sorted(tasks):
        by_ground: dict[Any, list[_Point]] = {}
        for run in evidence.runs:
            point = _point(evidence, run, task)
            if point is not None:
                by_ground.setdefault(ground(run, task), []).append(point)
        for points in by_ground.values():
            areas |= _areas_on_one_ground(task, points)
    return areas


def _point(evidence: Evidence, run: Run, task: str) -> _Point | None:
    """A run's place on the curve; None without its cost, a defined quality or a fixed canvas."""
    fixed = reference_run(run, task, evidence.runs, "fixed") if task in run.tasks else None
    if fixed is None:
        return None
    own, whole = run.tasks[task], fixed.tasks[task]
    metric = quality_metric(own)
    if not whole.costs.get("token_positions") or not own.costs.get("token_positions"):
        return None
    if metric is None or math.isnan(own.scores[metric].value):
        return None
    compute = per_answer(own, "token_positions") / per_answer(whole, "token_positions")
    frame = evidence.logged.get((run.name, task))
    if frame is not None:  # the same draws mean the same documents, whatever their order in a file
        frame = frame.sort_values("document")
    return _Point(run, compute, own.scores[metric].value, resampled_quality(own, frame))


def _areas_on_one_ground(task: str, points: Sequence[_Point]) -> dict[tuple[str, str], Score]:
    """The areas of all methods on one backbone and canvas."""
    best = max(point.quality for point in points)
    resampled_RP = _resampled(points)
    areas: dict[tuple[str, str], Score] = {}
    for method in dict.fromkeys(point.run.method for point in points):
        own = [index for index, point in enumerate(points) if point.run.method == method]
        compute = [points[index].compute for index in own]
        quality = [points[index].quality for index in own]
        score = Score(staircase_area(list(zip(compute, quality, strict=True)), best))
        if resampled_RP is not None:
            area_R = np.empty(len(resampled_RP))
            for draw, quality_P in enumerate(resampled_RP):
                steps = list(zip(compute, quality_P[own], strict=True))
                area_R[draw] = staircase_area(steps, max(quality_P))
            (low,), (high,) = percentiles(area_R[:, None])
            documents = points[own[0]].run.tasks[task].documents
            score = Score(score.value, count=documents, low=float(low), high=float(high))
        areas |= {(points[index].run.name, task): score for index in own}
    return areas


def _resampled(points: Sequence[_Point]) -> Floats | None:
    """The quality of every point under every resample [R, P]; None unless all were logged."""
    columns = [point.resampled_R for point in points if point.resampled_R is not None]
    return np.stack(columns, axis=1) if len(columns) == len(points) else None
