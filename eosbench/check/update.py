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
        ResultsError: the earlier file is broken, or a paired test is asked for documents that
            cannot be read.
    """
    earlier: dict[str, dict[str, Any]] = {}
    if path.exists():
        earlier = {entry["name"]: entry["tasks"] for entry in read_baseline(path)["runs"]}
    entries = [_run_entry(run, earlier.get(run.name, {}), paired) for run in runs]
    write_baseline(path, entries)
    metrics = 0
    for entry in entries:
        metrics += sum(len(task["metrics"]) for task in entry["tasks"].values())
    return CheckOutcome([], f"wrote {path}: {len(entries)} runs, {metrics} metrics", 0)


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
