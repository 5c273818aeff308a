"""Quality and cost of generation, per answer, and against the fixed canvas and the oracle."""

from __future__ import annotations

from eosbench.report.areas import method_areas
from eosbench.report.columns import COST_COLUMNS, RELATIVE_COLUMNS, Column
from eosbench.report.costs import per_answer, reference_run
from eosbench.report.evidence import Evidence
from eosbench.report.quality import QUALITY, quality_metric, quality_score
from eosbench.report.tables import Row, Table
from eosbench.results import Run, Score, TaskResult


def generation_table(evidence: Evidence) -> Table:
    """Quality and cost per answer: one row per run and generation task."""
    areas = method_areas(evidence)
    rows: list[Row] = []
    percent = True
    for run in evidence.runs:
        for name, task in sorted(run.tasks.items()):
            metric = quality_metric(task)
            if metric is None:
                continue
            percent &= metric in QUALITY
            cells = {"quality": quality_score(task, evidence.logged.get((run.name, name)))}
            for column in COST_COLUMNS:
                if column.key in task.costs:
                    cells[column.key] = Score(per_answer(task, column.key))
            cells |= _relative(evidence, run, task)
            if (run.name, name) in areas:
                cells["area"] = areas[run.name, name]
            rows.append(Row(run, cells, task.documents, task=name))
    return Table((_quality_column(percent), *RELATIVE_COLUMNS, *COST_COLUMNS), rows).used()


def _relative(evidence: Evidence, run: Run, task: TaskResult) -> dict[str, Score]:
    """A run's cost relative to those of the fixed canvas and of the oracle, where these ran."""
    cells: dict[str, Score] = {}
    fixed = reference_run(run, task.task, evidence.runs, "fixed")
    for key, cost in (("speedup", "token_positions"), ("time_speedup", "seconds")):
        if fixed is not None and task.costs.get(cost):
            whole = per_answer(fixed.tasks[task.task], cost)
            cells[key] = Score(whole / per_answer(task, cost))
    oracle = reference_run(run, task.task, evidence.runs, "oracle")
    cost = "token_positions"
    if oracle is not None and oracle.tasks[task.task].costs.get(cost) and task.costs.get(cost):
        least = per_answer(oracle.tasks[task.task], cost)
        cells["from_oracle"] = Score(per_answer(task, cost) / least)
    return cells


def _quality_column(percent: bool) -> Column:
    """The column of every task's quality; in per cent only if all of them are shares."""
    return Column(
        "quality",
        "quality %" if percent else "quality",
        "The task's own score, as lm-eval computes it.",
        percent=percent,
        share=percent,
        digits=1 if percent else 3,
        signed=not percent,
    )
