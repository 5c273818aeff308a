"""The answers where no bound was measured: what was run instead, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eosbench.report.answers.joined import seeds_sentences
from eosbench.report.answers.next_steps import BENCHMARK, TASKS_SHOWN, sweep_command
from eosbench.report.answers.sentence import (
    Sentence,
    are,
    counted,
    known,
    listed,
    measured,
    plain_number,
)
from eosbench.report.evidence import Evidence
from eosbench.report.quality import quality_metric
from eosbench.report.significance import Pair
from eosbench.report.tables import Row, Table
from eosbench.results import TaskResult

GENERATES = "generate_until"


def other_sentences(
    evidence: Evidence, generation: Table, pairs: Sequence[Pair], folder: str | Path
) -> list[Sentence]:
    """The sentences of results without a bound.

    Args:
        evidence: the runs.
        generation: quality and cost of what they did.
        pairs: every pair of runs.
        folder: where the results lie.
    """
    own = [run for run in evidence.runs if run.settings is not None]
    if not own:
        return [_of_other_models(evidence, folder)]
    generating = [row for row in generation.rows if generates(_task(row))]
    if not any(row.run.settings is not None for row in generating):
        return [_of_likelihoods(evidence, folder)]
    task = next(row.task for row in generating if row.run.settings is not None)
    rows = [row for row in generating if row.task == task]
    return [*_quality(rows, generation, pairs), _no_bounds(rows, folder)]


def generates(task: TaskResult) -> bool:
    """Whether answers are generated in a task, rather than given ones scored.

    Where a file does not say, the costs do: a score of ours takes no window.
    """
    if task.output_type is not None:
        return task.output_type == GENERATES
    return task.costs.get("mean_window") != 0


def _task(row: Row) -> TaskResult:
    return row.run.tasks[row.task or ""]


def _of_other_models(evidence: Evidence, folder: str | Path) -> Sentence:
    """All runs are those of models that are not ours."""
    names = [run.name for run in evidence.runs]
    tasks: dict[str, None] = {}
    for run in evidence.runs:
        tasks |= dict.fromkeys(run.tasks)
    sizes = [run.tasks[task].documents for run in evidence.runs for task in run.tasks]
    limit = max(sizes) or None
    shown = list(tasks)[:TASKS_SHOWN]
    return Sentence(
        f"No length was predicted: {listed(names)} {are(names)} not run by varlen_dlm. This puts "
        "the methods beside what is there, on the bound tasks and on the same tasks:",
        sweep_command(folder, [BENCHMARK, *shown], limit=limit),
    )


def _of_likelihoods(evidence: Evidence, folder: str | Path) -> Sentence:
    """Our runs scored given answers, and generated none."""
    tasks: dict[str, None] = {}
    for run in evidence.runs:
        if run.settings is not None:
            tasks |= dict.fromkeys(run.tasks)
    run = next(run for run in evidence.runs if run.settings is not None)
    return Sentence(
        f"No length was predicted: only given answers were scored ({listed(list(tasks))}), which "
        "takes no canvas. This measures bounds with the same model:",
        sweep_command(folder, [BENCHMARK], run),
    )


def _quality(rows: Sequence[Row], generation: Table, pairs: Sequence[Pair]) -> list[Sentence]:
    """The run that answers best, its cost, and the runs that it is told apart from.

    Where all runs score the same, none is the best.
    """
    column = next(column for column in generation.columns if column.key == "quality")
    judged = [row for row in rows if row.documents > 1 and known(row.cells.get("quality"))]
    if not judged:
        return [
            Sentence(
                f"Nothing can be said of the quality on {rows[0].task} yet: it takes two answers "
                "with a score. Run it without --limit, or with a higher one."
            )
        ]
    metric = quality_metric(_task(judged[0])) or ""
    higher = _task(judged[0]).higher_is_better.get(metric.split(",")[0], True)
    sign = -1 if higher else 1
    best = min(judged, key=lambda row: sign * row.cells["quality"].value)
    score = measured(best.cells["quality"], column, "%" if column.percent else "")
    title = metric.split(",")[0].replace("_", " ")
    of = counted(best.documents, "answer")
    tied = [row for row in judged if row.cells["quality"].value == best.cells["quality"].value]
    joined = seeds_sentences(judged)
    if len(tied) == len(judged) > 1:
        names = [row.run.name for row in tied]
        return [
            Sentence(f"On {best.task} {listed(names)} have the same {title}: {score} over {of}."),
            *joined,
        ]
    superlative = "the best" if len(judged) > 1 else "the only"
    cost = ""
    if known(best.cells.get("token_positions")):
        positions = plain_number(best.cells["token_positions"].value)
        cost = f", at {positions} token-positions an answer"
    first = Sentence(
        f"On {best.task} {best.run.name} has {superlative} {title}, {score} over {of}{cost}."
    )
    told = _told_apart(best, judged, metric, pairs)
    return [first, *([Sentence(told)] if told else []), *joined]


def _told_apart(best: Row, judged: Sequence[Row], metric: str, pairs: Sequence[Pair]) -> str:
    """The paired tests of the best run against the others; empty where there are no others."""
    name = best.run.name
    others = [row.run.name for row in judged if row is not best]
    if not others:
        return ""
    same: list[str] = []
    apart: list[str] = []
    for pair in pairs:
        if (pair.task, pair.metric) != (best.task, metric) or pair.p_holm != pair.p_holm:
            continue
        if name in (pair.first, pair.second):
            other = pair.second if pair.first == name else pair.first
            (same if pair.winner is None else apart).append(other)
    same = [other for other in others if other in same]
    apart = [other for other in others if other in apart]
    untested = [other for other in others if other not in same and other not in apart]
    clauses = []
    if same:
        clauses.append(f"{listed(same)} {are(same)} not told apart from it")
    if apart:
        clauses.append(f"{listed(apart)} {are(apart)}")
    if untested:
        clauses.append(
            f"{listed(untested)} could not be tested, for lack of logged answers (--log_samples)"
        )
    if not (same or apart):
        return f"{clauses[0]}."
    return f"By paired tests on the same answers (Holm-corrected, 5 %) {'; '.join(clauses)}."


def _no_bounds(rows: Sequence[Row], folder: str | Path) -> Sentence:
    """No task measured bounds; the command that does."""
    run = next(row.run for row in rows if row.run.settings is not None)
    return Sentence(
        "How tight the bounds were was not measured; this measures it with the same model:",
        sweep_command(folder, [BENCHMARK], run),
    )
