"""What the tables say: bounds by run, benchmark and fraction, by data family, and what generation
gave for what it took.

Values are lm-eval's own where it reports them; intervals come from the documents (statistics.py) where samples were logged, else
from lm-eval's standard error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.metrics import bootstrap, percentiles
from eosbench.report.columns import (
    BOUND_COLUMNS,
    COST_COLUMNS,
    FAMILY_COLUMNS,
    RELATIVE_COLUMNS,
    SECONDS,
    Column,
)
from eosbench.report.curves import staircase_area
from eosbench.report.tables import Row, Table, in_order
from eosbench.results import Run, Score, TaskResult

if TYPE_CHECKING:
    import pandas as pd

# First found.
QUALITY = (
    "exact_match",
    "exact_match,flexible-extract",
    "exact_match,strict-match",
    "pass@1",
    "acc_norm",
    "acc",
)
BOUND_KEYS = tuple(column.key for column in BOUND_COLUMNS)


def compare(runs: Iterable[Run], documents: pd.DataFrame) -> Table:
    """The comparison of all runs: their bounds at every unmasked fraction, and the quality of what
    they generate.
    """
    runs = in_order(runs)
    generation = sorted(
        {task.task for run in runs for task in run.tasks.values() if quality_metric(task)}
    )
    quality = tuple(_quality_column(name, runs) for name in generation)
    logged = by_run_and_task(documents)
    rows = []
    for run in runs:
        shared = {
            f"quality:{name}": _quality(run.tasks[name], logged.get((run.name, name)))
            for name in generation
            if name in run.tasks
        }
        shared |= _seconds(run)
        bounds = sorted(
            (task for task in run.tasks.values() if task.benchmark),
            key=lambda task: (task.benchmark or "", task.fraction or 0),
        )
        for task in bounds:
            frame = logged.get((run.name, task.task))
            cells = bound_cells(frame, BOUND_KEYS) if frame is not None else {}
            cells = {
                key: _reported(task, key, cells.get(key))
                for key in BOUND_KEYS
                if key in cells or key in task.scores
            }
            censored = 0 if frame is None else int(frame["censored"].sum())
            rows.append(
                Row(run, cells | shared, task.documents, censored, task.benchmark, task.fraction)
            )
        if not bounds:
            rows.append(Row(run, shared, max(task.documents for task in run.tasks.values())))
    return Table((*BOUND_COLUMNS, *quality, SECONDS), rows)


def families(
    runs: Iterable[Run], documents: pd.DataFrame, benchmark: str, fraction: float
) -> Table:
    """Bounds by data family, at one unmasked fraction: family by family, so that methods stand
    beside each other.
    """
    chosen = documents[
        (documents["benchmark"] == benchmark)
        & (documents["fraction"] == fraction)
        & documents["family"].notna()
    ]
    groups: dict[tuple[str, str], Any] = dict(list(chosen.groupby(["family", "run"], sort=False)))  # type: ignore[arg-type]
    rows = []
    for family in sorted({family for family, _ in groups}):
        for run in in_order(runs):
            if (family, run.name) in groups:
                frame = groups[family, run.name]
                cells = bound_cells(frame, [column.key for column in FAMILY_COLUMNS])
                rows.append(
                    Row(
                        run,
                        cells,
                        len(frame),
                        int(frame["censored"].sum()),
                        benchmark,
                        fraction,
                        family=family,
                    )
                )
    return Table(FAMILY_COLUMNS, rows)


def costs(runs: Iterable[Run], documents: pd.DataFrame) -> Table:
    """What generation gave and what it took, per answer: one row per run and generation task."""
    runs = in_order(runs)
    logged = by_run_and_task(documents)
    rows, percent = [], True
    areas = _areas(runs, logged)
    for run in runs:
        for task in sorted(run.tasks.values(), key=lambda task: task.task):
            metric = quality_metric(task)
            if not metric:
                continue
            percent &= metric in QUALITY
            cells = {"quality": _quality(task, logged.get((run.name, task.task)))}
            cells |= {
                column.key: Score(_per_answer(task, column.key))
                for column in COST_COLUMNS
                if column.key in task.costs
            }
            for key, reference, cost in (
                ("speedup", "fixed", "token_positions"),
                ("time_speedup", "fixed", "seconds"),
            ):
                other = reference_run(run, task.task, runs, reference)
                if other is not None and task.costs.get(cost):
                    cells[key] = Score(
                        _per_answer(other.tasks[task.task], cost) / _per_answer(task, cost)
                    )
            oracle = reference_run(run, task.task, runs, "oracle")
            if (
                oracle is not None
                and oracle.tasks[task.task].costs.get("token_positions")
                and task.costs.get("token_positions")
            ):
                cells["from_oracle"] = Score(
                    _per_answer(task, "token_positions")
                    / _per_answer(oracle.tasks[task.task], "token_positions")
                )
            if (run.name, task.task) in areas:
                cells["area"] = areas[run.name, task.task]
            rows.append(Row(run, cells, task.documents, task=task.task))
    title, digits = ("quality %", 1) if percent else ("quality", 3)
    meaning = "The task's own score, as lm-eval computes it."
    quality = Column(
        "quality", title, meaning, percent=percent, share=percent, digits=digits, signed=not percent
    )
    return Table((quality, *RELATIVE_COLUMNS, *COST_COLUMNS), rows).used()


def by_run_and_task(documents: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    return dict(list(documents.groupby(["run", "task"], sort=False)))  # type: ignore[arg-type]


def quality_metric(task: TaskResult) -> str | None:
    """The score that stands for a generation task; None for a task that measures bounds."""
    if task.benchmark is not None:
        return None
    return next((name for name in (*QUALITY, *sorted(task.scores)) if name in task.scores), None)


def reference_run(run: Run, task: str, runs: Sequence[Run], method: str) -> Run | None:
    """The run of `method` on the same backbone, canvas and task, rather one with the same decoding;
    None where there is none.
    """
    if run.settings is None:
        return None
    same = [
        other
        for other in runs
        if other.method == method
        and task in other.tasks
        and _ground(other, task) == _ground(run, task)
    ]
    alike = [other for other in same if _decoding(other) == _decoding(run)]
    return next(iter([*alike, *same]), None)


def bound_cells(frame: pd.DataFrame, keys: Sequence[str]) -> dict[str, Score]:
    """Means over one run's documents of one task, with standard errors and resampled intervals."""
    keys = [key for key in keys if key in frame or key == "rmse"]
    names = ["squared_error" if key == "rmse" else key for key in keys]
    values_NM = frame[names].to_numpy(dtype=np.float64)
    low_M, high_M = percentiles(bootstrap(values_NM))
    cells = {}
    for index, key in enumerate(keys):
        defined = values_NM[~np.isnan(values_NM[:, index]), index]
        mean = float(defined.mean()) if defined.size else math.nan
        stderr = (
            float(defined.std(ddof=1)) / math.sqrt(defined.size) if defined.size > 1 else math.nan
        )
        low, high = float(low_M[index]), float(high_M[index])
        if key == "rmse":  # the delta method: d sqrt(m) = dm / (2 sqrt(m))
            mean, low, high = math.sqrt(mean), math.sqrt(low), math.sqrt(high)
            stderr = stderr / (2 * mean) if mean else stderr
        cells[key] = Score(mean, stderr, int(defined.size), low, high)
    return cells


def _reported(task: TaskResult, key: str, own: Score | None) -> Score:
    """What lm-eval reports, completed from the documents where they were logged."""
    reported = task.scores.get(key)
    if reported is None or own is None:
        return own or reported or Score(math.nan)
    stderr = own.stderr if math.isnan(reported.stderr) else reported.stderr
    return Score(reported.value, stderr, own.count, own.low, own.high)


def _quality(task: TaskResult, frame: pd.DataFrame | None) -> Score:
    metric = quality_metric(task) or ""
    reported = task.scores[metric]
    if frame is None or metric not in frame:
        return reported
    (low,), (high,) = percentiles(bootstrap(frame[[metric]].to_numpy(dtype=np.float64)))
    return Score(reported.value, reported.stderr, reported.count, float(low), float(high))


def _quality_column(name: str, runs: Sequence[Run]) -> Column:
    metric = next(quality_metric(run.tasks[name]) for run in runs if name in run.tasks) or ""
    percent = metric in QUALITY
    title = f"{name} {metric.split(',')[0].replace('_', ' ')}{' %' if percent else ''}"
    meaning = f"Score of the generation task {name}, answered inside the predicted windows. Higher is better."
    digits = 1 if percent else 3
    return Column(
        f"quality:{name}",
        title,
        meaning,
        percent=percent,
        share=percent,
        digits=digits,
        main=True,
        signed=not percent,
    )


def _seconds(run: Run) -> dict[str, Score]:
    """Seconds per answer over all generation tasks; nothing where costs were not reported."""
    tasks = [
        task for task in run.tasks.values() if quality_metric(task) and "seconds" in task.costs
    ]
    requests = int(sum(task.costs.get("requests", task.documents) for task in tasks))
    return (
        {"seconds": Score(sum(task.costs["seconds"] for task in tasks) / requests, count=requests)}
        if requests
        else {}
    )


def _per_answer(task: TaskResult, cost: str) -> float:
    """A task's cost by request, except for what is a mean or a count already; FLOPs in 10^9."""
    if cost in ("mean_window", "truncated", "retries"):
        return float(task.costs[cost])
    requests = float(task.costs.get("requests", task.documents)) * (1e9 if cost == "flops" else 1)
    return float(task.costs.get(cost, math.nan)) / requests if requests else math.nan


def _areas(runs: Sequence[Run], logged: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Score]:
    """(run, task) -> the area of its method's staircase, for runs that have a fixed canvas to be
    compared with.
    """
    made: dict[tuple[str, str], Score] = {}
    for task in sorted({name for run in runs for name in run.tasks}):
        by_ground: dict[Any, list[tuple[Run, float, Any]]] = {}
        for run in runs:
            fixed = reference_run(run, task, runs, "fixed") if task in run.tasks else None
            whole = fixed.tasks[task].costs.get("token_positions") if fixed else None
            if (
                fixed is None
                or not whole
                or not run.tasks[task].costs.get("token_positions")
                or not quality_metric(run.tasks[task])
            ):
                continue
            compute = _per_answer(run.tasks[task], "token_positions") / _per_answer(
                fixed.tasks[task], "token_positions"
            )
            by_ground.setdefault(_ground(run, task), []).append(
                (run, compute, _resampled(run, task, logged))
            )
        for points in by_ground.values():
            made |= _areas_on(task, points)
    return made


def _areas_on(task: str, points: list[tuple[Run, float, Any]]) -> dict[tuple[str, str], Score]:
    """The areas of all methods on one backbone and canvas."""
    metric = {run.name: quality_metric(run.tasks[task]) or "" for run, _, _ in points}
    quality = {run.name: run.tasks[task].scores[metric[run.name]].value for run, _, _ in points}
    resampled = None
    if all(values is not None for _, _, values in points):
        resampled = np.stack([values for _, _, values in points], axis=1)  # [R, runs]
    made: dict[tuple[str, str], Score] = {}
    for method in dict.fromkeys(run.method for run, _, _ in points):
        own = [index for index, (run, _, _) in enumerate(points) if run.method == method]
        value = staircase_area(
            [(points[i][1], quality[points[i][0].name]) for i in own], max(quality.values())
        )
        score = Score(value)
        if resampled is not None:
            values_R = [
                staircase_area([(points[i][1], row[i]) for i in own], max(row)) for row in resampled
            ]
            (low,), (high,) = percentiles(np.array(values_R)[:, None])
            score = Score(
                value,
                count=points[own[0]][0].tasks[task].documents,
                low=float(low),
                high=float(high),
            )
        made |= {(points[index][0].name, task): score for index in own}
    return made


def _resampled(run: Run, task: str, logged: dict[tuple[str, str], Any]) -> Any:
    """A run's quality under every resample of its documents [R]; None without samples."""
    frame, metric = logged.get((run.name, task)), quality_metric(run.tasks[task])
    if frame is None or metric not in frame:
        return None
    return bootstrap(frame.sort_values("document")[[metric]].to_numpy(dtype=np.float64))[:, 0]


def _ground(run: Run, task: str) -> tuple[Any, ...]:
    """What two runs must share for their costs on a task to be compared: the weights, the canvas,
    and how prompts are made.
    """
    settings = run.settings or {}
    backbone = settings.get("backbone", {})
    prompts = (
        run.asked.get("chat_template"),
        run.asked.get("system_instruction"),
        run.tasks[task].shots,
    )
    return (
        str(backbone.get("fingerprint", backbone.get("name"))),
        int(settings.get("canvas", 0)),
        *prompts,
    )


def _decoding(run: Run) -> tuple[Any, ...]:
    return (run.settings or {}).get("decoding"), run.asked.get("gen_kwargs")
