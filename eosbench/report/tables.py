"""The report's numbers: one row per run, benchmark and unmasked fraction, and one row per run and generation task.

A cell is a `Score` (value, standard error, count of documents it is over) and is absent where nothing was measured; its column
says how it is printed, so that the page, Markdown, CSV and LaTeX agree. What lm-eval reports is what is shown; where it has no
standard error (for any metric but a mean) the documents' own numbers give one. NaN is "not defined here": a dash with its count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eosbench.report.columns import BOUND_COLUMNS, COST_COLUMNS, SECONDS, Column
from eosbench.results import Run, Score, TaskResult

if TYPE_CHECKING:
    import pandas as pd

ORDER = (
    "logit", "concat_regression", "average_regression", "classification", "distilbert",
    "smartcrop", "fixed", "mean", "max", "random", "oracle",
)  # fmt: skip
QUALITY = ("exact_match", "exact_match,flexible-extract", "exact_match,strict-match", "pass@1", "acc_norm", "acc")  # first found


@dataclass(frozen=True)
class Row:
    """One line of a table. `fraction` and `benchmark` are None for a run without bound tasks, `task` is set in the cost table."""

    run: Run
    cells: dict[str, Score]
    documents: int = 0
    censored: int = 0
    benchmark: str | None = None
    fraction: float | None = None
    task: str | None = None


@dataclass(frozen=True)
class Table:
    columns: tuple[Column, ...]
    rows: list[Row]

    def at(self, benchmark: str | None, fraction: float | None) -> Table:
        """The rows of one benchmark and fraction, with those of runs that predict no bound (baselines)."""
        chosen = [row for row in self.rows if row.benchmark is None or (row.benchmark, row.fraction) == (benchmark, fraction)]
        return Table(tuple(column for column in self.columns if column.main), chosen)

    @property
    def benchmarks(self) -> list[str]:
        return sorted({row.benchmark for row in self.rows if row.benchmark is not None}, key=lambda name: (len(name), name))

    def fractions(self, benchmark: str) -> list[float]:
        return sorted({row.fraction for row in self.rows if row.benchmark == benchmark and row.fraction is not None})


def in_order(runs: Iterable[Run]) -> list[Run]:
    """The five methods as the design lists them, then the others by name, baselines last."""
    place = {method: index for index, method in enumerate(ORDER)}
    return sorted(runs, key=lambda run: (run.settings is None, place.get(run.method or "", len(ORDER)), run.name))


def compare(runs: Iterable[Run], documents: pd.DataFrame) -> Table:
    """The comparison of all runs: their bounds at every unmasked fraction, and the quality of what they generate."""
    runs = in_order(runs)
    generation = sorted({task.task for run in runs for task in run.tasks.values() if quality_metric(task)})
    quality = tuple(_quality_column(name, runs) for name in generation)
    per_task = dict(list(documents.groupby(["run", "task"], sort=False)))
    rows = []
    for run in runs:
        shared = _quality(run) | _seconds(run)
        bounds = [task for task in run.tasks.values() if task.benchmark]
        for task in sorted(bounds, key=lambda task: (task.benchmark or "", task.fraction or 0)):
            logged = per_task.get((run.name, task.task))
            cells = {column.key: _score(task, column.key, logged) for column in BOUND_COLUMNS}
            known = {key: score for key, score in cells.items() if score is not None}
            censored = 0 if logged is None else int(logged["censored"].sum())
            rows.append(Row(run, known | shared, task.documents, censored, task.benchmark, task.fraction))
        if not bounds:
            rows.append(Row(run, shared, max(task.documents for task in run.tasks.values())))
    return Table((*BOUND_COLUMNS, *quality, SECONDS), rows)


def costs(runs: Iterable[Run]) -> Table:
    """What generation gave and what it took, per answer: one row per run and generation task."""
    rows, percent = [], True
    for run in in_order(runs):
        for task in sorted(run.tasks.values(), key=lambda task: task.task):
            metric = quality_metric(task)
            if not metric:
                continue
            percent &= metric in QUALITY
            cells = {"quality": task.scores[metric]}
            for column in COST_COLUMNS:
                if column.key in task.costs:
                    whole = column.key in ("mean_window", "truncated", "retries")
                    share = (
                        1.0
                        if whole
                        else float(task.costs.get("requests", task.documents)) * (1e9 if column.key == "flops" else 1)
                    )
                    cells[column.key] = Score(float(task.costs[column.key]) / share if share else math.nan)
            rows.append(Row(run, cells, task.documents, task=task.task))
    title, digits = ("quality %", 1) if percent else ("quality", 3)
    quality = Column("quality", title, "The task's own score, as lm-eval computes it.", percent=percent, digits=digits)
    return Table((quality, *COST_COLUMNS), rows)


def quality_metric(task: TaskResult) -> str | None:
    """The score that stands for a generation task; None for a task that measures bounds."""
    if task.benchmark is not None:
        return None
    return next((name for name in (*QUALITY, *sorted(task.scores)) if name in task.scores), None)


def text(row: Row, column: Column) -> str:
    """A cell in words: "95.3 ± 0.7"; "– (0/200)" where no document defines it; a bare dash where nothing was measured."""
    score = row.cells.get(column.key)
    if score is None:
        return "–"
    if math.isnan(score.value):
        return f"– (0/{row.documents})"
    scale = 100 if column.percent else 1
    value = f"{score.value * scale:.{column.digits}f}"
    return value if math.isnan(score.stderr) else f"{value} ± {score.stderr * scale:.{column.digits}f}"


def interval(score: Score, column: Column) -> tuple[float, float]:
    """A 95% interval: Wilson's for shares of documents, else by the normal approximation; NaN where nothing is known."""
    if column.share and score.count:
        weight = 1.96**2 / score.count
        middle = (score.value + weight / 2) / (1 + weight)
        reach = math.sqrt(weight * (score.value * (1 - score.value) + weight / 4)) / (1 + weight)
        return middle - reach, middle + reach
    return score.value - 1.96 * score.stderr, score.value + 1.96 * score.stderr


def heads(table: Table) -> list[str]:
    return [
        "method",
        *(["task"] if any(row.task for row in table.rows) else ["unmasked %"]),
        *(c.title for c in table.columns),
        "n",
    ]


def texts(table: Table) -> list[list[str]]:
    """The cells of a table as they are printed, first the run and what it ran on, last the number of documents."""
    lines = []
    for row in table.rows:
        where = row.task or ("–" if row.fraction is None else f"{row.fraction * 100:.0f}")
        lines.append([row.run.name, where, *(text(row, column) for column in table.columns), str(row.documents)])
    return lines


def flat(table: Table) -> list[dict[str, Any]]:
    """Rows for the CSV file: every number in full, with its standard error and count in columns of their own."""
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {"run": row.run.name, "method": row.run.method, "backbone": row.run.backbone}
        line |= {"benchmark": row.benchmark, "fraction": row.fraction, "task": row.task}
        line |= {"documents": row.documents, "censored": row.censored}
        for column in table.columns:
            score = row.cells.get(column.key, Score(math.nan))
            name = column.key.removeprefix("quality:")
            line |= {name: score.value, f"{name}_stderr": score.stderr, f"{name}_n": score.count}
        lines.append(line)
    return lines


def _score(task: TaskResult, metric: str, logged: pd.DataFrame | None) -> Score | None:
    """What lm-eval reports, completed by count and standard error from the documents where they were logged."""
    reported = task.scores.get(metric)
    if logged is None:
        return reported
    values = logged["squared_error" if metric == "rmse" else metric].dropna().astype(float)
    mean = float(values.mean()) if len(values) else math.nan
    stderr = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    if metric == "rmse":  # the delta method: d sqrt(m) = dm / (2 sqrt(m))
        mean = math.sqrt(mean)
        stderr = stderr / (2 * mean) if mean else stderr
    if reported is None:
        return Score(mean, stderr, len(values))
    return Score(reported.value, stderr if math.isnan(reported.stderr) else reported.stderr, len(values))


def _quality(run: Run) -> dict[str, Score]:
    chosen = {task.task: quality_metric(task) for task in run.tasks.values()}
    return {f"quality:{name}": run.tasks[name].scores[metric] for name, metric in chosen.items() if metric}


def _quality_column(name: str, runs: Sequence[Run]) -> Column:
    metric = next(quality_metric(run.tasks[name]) for run in runs if name in run.tasks) or ""
    percent = metric in QUALITY
    title = f"{name} {metric.split(',')[0].replace('_', ' ')}{' %' if percent else ''}"
    meaning = f"Score of the generation task {name}, answered inside the predicted windows. Higher is better."
    return Column(f"quality:{name}", title, meaning, percent=percent, share=percent, digits=1 if percent else 3, main=True)


def _seconds(run: Run) -> dict[str, Score]:
    """Seconds per answer over all generation tasks; nothing where costs were not reported."""
    tasks = [task for task in run.tasks.values() if quality_metric(task) and "seconds" in task.costs]
    requests = int(sum(task.costs.get("requests", task.documents) for task in tasks))
    return {"seconds": Score(sum(task.costs["seconds"] for task in tasks) / requests, count=requests)} if requests else {}
