"""`eosbench check --update`: a baseline written from results.

An earlier baseline keeps its say about tolerances and about which metrics are watched.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from eosbench.check.baseline import read_baseline, write_baseline
from eosbench.check.outcomes import CheckOutcome
from eosbench.check.paired import LEVEL, kept_values, logged_documents
from eosbench.command_lines import command_line
from eosbench.errors import ResultsError
from eosbench.results import Run, TaskResult

# The metrics that a new baseline watches; any other can be added to the file by hand.
TOLERANCES: dict[str, dict[str, Any]] = {
    "coverage": {"better": "higher", "absolute": 0.02},
    "accuracy": {"better": "higher", "absolute": 0.02},
    "overshoot": {"better": "lower", "relative": 0.1},
    "rmse": {"better": "lower", "relative": 0.1},
    "compute_ratio": {"better": "lower", "relative": 0.1},
    "exact_match": {"better": "higher", "absolute": 0.03},
    "exact_match,flexible-extract": {"better": "higher", "absolute": 0.03},
    "exact_match,strict-match": {"better": "higher", "absolute": 0.03},
}


def update_baseline(runs: list[Run], path: Path, *, paired: bool) -> CheckOutcome:
    """Writes the baseline; the outcome says how much is in it.

    Args:
        runs: in the order of the file.
        path: the file; one that is there must be readable.
        paired: new metrics are watched by a paired test, wherever samples were logged.

    Raises:
        ResultsError: the earlier file is broken, a paired test is asked for documents that cannot
            be read, or there is nothing to watch; the file is left as it is.
    """
    earlier: dict[str, dict[str, Any]] = {}
    if path.exists():
        before = read_baseline(path, f"delete it for a new one: {command_line('rm', path)}")
        earlier = {entry["name"]: entry["tasks"] for entry in before["runs"]}
    entries, unwatched = [], []
    metrics = 0
    for run in runs:
        entry = _run_entry(run, earlier.get(run.name, {}), paired)
        values = _watched_values(entry)
        if all(value is None for value in values):
            unwatched.append(run)
        else:
            entries.append(entry)
            metrics += len(values)
    if not entries:
        raise ResultsError(_nothing_to_watch(runs, path))
    write_baseline(path, entries)
    message = f"wrote {path}: {len(entries)} runs, {metrics} metrics"
    if unwatched:
        message += f"; nothing to watch in {', '.join(run.name for run in unwatched)}"
    return CheckOutcome([], message, 0)


def _watched_values(entry: dict[str, Any]) -> list[float | None]:
    """The value of every metric in a run's entry, None for one that no document defines."""
    values: list[float | None] = []
    for task in entry["tasks"].values():
        values += [limits["value"] for limits in task["metrics"].values()]
    return values


def _nothing_to_watch(runs: list[Run], path: Path) -> str:
    """Says why no metric of these runs can be watched, and what helps."""
    tasks: dict[str, None] = {}
    reported: set[str] = set()
    for run in runs:
        tasks |= dict.fromkeys(run.tasks)
        for task in run.tasks.values():
            reported.update(task.scores)
    ran, found = ", ".join(tasks), ", ".join(sorted(reported))
    undefined = sorted(reported & set(TOLERANCES))
    if undefined:
        return (
            f"nothing to watch: no document of {ran} defines {', '.join(undefined)}. Is every "
            "answer longer than the canvas? Then run again with a larger max_gen_toks"
        )
    return (
        f"nothing to watch: {ran} reports {found or 'no number'}, and a new baseline watches "
        f"{', '.join(TOLERANCES)}. Run a task that reports one of these, or write another metric "
        f"into {str(path)!r} by hand, as docs/report.md shows"
    )


def _run_entry(run: Run, known: dict[str, Any], paired: bool) -> dict[str, Any]:
    """A run's tasks that have a metric to watch; `known` are its tasks in the earlier baseline."""
    tasks: dict[str, Any] = {}
    for name, task in sorted(run.tasks.items()):
        entry = _task_entry(run, task, known.get(name, {}).get("metrics"), paired)
        if entry["metrics"]:
            tasks[name] = entry
    return {
        "name": run.name,
        "method": run.method,
        "fingerprint": run.fingerprint,
        "tasks": tasks,
    }


def _task_entry(
    run: Run, task: TaskResult, known: dict[str, Any] | None, paired: bool
) -> dict[str, Any]:
    """A task's metrics with their limits, and the documents' values where a limit is `paired`.

    Args:
        known: the metrics of the earlier baseline; None where it does not know the task.

    Raises:
        ResultsError: a limit is `paired`, and no document can be read.
    """
    metrics: dict[str, Any] = {}
    for metric, limits in (TOLERANCES if known is None else known).items():
        if metric not in task.scores:
            continue
        value = task.scores[metric].value
        kept = {name: limit for name, limit in limits.items() if name != "value"}
        if paired and known is None and task.samples is not None:
            kept = {"better": limits["better"], "paired": LEVEL}
        metrics[metric] = {"value": None if math.isnan(value) else value, **kept}
    entry: dict[str, Any] = {"documents": task.documents}
    if task.shots is not None:
        entry["shots"] = task.shots
    entry["metrics"] = metrics
    by_document = [metric for metric, limits in metrics.items() if "paired" in limits]
    if by_document:
        frame, reason = logged_documents(run, task)
        if frame is None:
            raise ResultsError(
                f"{run.name}, {task.task}: a paired test needs every document's value, but {reason}"
            )
        entry["values"] = kept_values(frame, by_document)
    return entry
