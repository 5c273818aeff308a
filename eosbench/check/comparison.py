"""Runs against a baseline, metric by metric: fine, fallen, or impossible to compare."""

from __future__ import annotations

import math
from typing import Any

from eosbench.check.outcomes import FELL, FINE, UNCOMPARABLE, CheckOutcome, Comparison
from eosbench.check.paired import logged_documents, significantly_worse
from eosbench.results import Run, TaskResult


def compare_runs(runs: list[Run], baseline: dict[str, Any], again: str) -> CheckOutcome:
    """Every metric that the baseline watches; runs are found by their fingerprints.

    Args:
        runs: of varlen_dlm; those that the baseline does not know are named and pass.
        baseline: as `read_baseline` gives it.
        again: the command that accepts these runs as the new baseline.
    """
    lines: list[Comparison] = []
    unknown = {run.fingerprint: run for run in runs}
    for entry in baseline["runs"]:
        run = unknown.pop(entry["fingerprint"], None)
        if run is None:
            lines.append(
                Comparison(entry["name"], "", "", UNCOMPARABLE, _absence(entry, runs, again))
            )
            continue
        for task, expected in entry["tasks"].items():
            lines += _compare_task(entry["name"], task, expected, run)
    if not lines:
        message = f"the baseline names no metric: write a new one with {again}"
        lines.append(Comparison("baseline", "", "", UNCOMPARABLE, message))
    fell = sum(line.status == FELL for line in lines)
    blocked = sum(line.status == UNCOMPARABLE for line in lines)
    counts = (
        f"{len(lines)} compared: {len(lines) - fell - blocked} fine, {fell} fell, "
        f"{blocked} cannot be compared"
    )
    if unknown:
        names = sorted(run.name for run in unknown.values())
        counts += f"; not in the baseline: {', '.join(names)}"
    exit_code = 2 if blocked else int(fell > 0)
    return CheckOutcome(lines, counts, exit_code)


def _absence(entry: dict[str, Any], runs: list[Run], again: str) -> str:
    """Says why a run of the baseline is not among `runs`, and what to do."""
    others = [run.fingerprint for run in runs if run.method == entry["method"]]
    if not others:
        return (
            f"no run of method {entry['method']!r} in the results: run it, or take it out of the "
            f"baseline with {again}"
        )
    return (
        f"the baseline was made with fingerprint {entry['fingerprint']}, the results have "
        f"{', '.join(others)}: other settings or weights. Run with the baseline's settings, or "
        f"accept the new ones with {again}"
    )


def _compare_task(name: str, task: str, expected: dict[str, Any], run: Run) -> list[Comparison]:
    """The watched metrics of one task; `name` is the run's in the baseline."""
    found = run.tasks.get(task)
    obstacle = _obstacle(expected, found)
    if found is None or obstacle is not None:
        return [Comparison(name, task, "", UNCOMPARABLE, obstacle or "")]
    by_document: dict[str, dict[str, Any]] = {}
    lines: list[Comparison] = []
    for metric, limits in expected["metrics"].items():
        if "paired" in limits:
            by_document[metric] = limits
        else:
            lines.append(_compare_metric(name, task, metric, limits, found))
    if by_document:
        lines += _compare_documents(name, expected["values"], by_document, run, found)
    return lines


def _obstacle(expected: dict[str, Any], found: TaskResult | None) -> str | None:
    """Says why a task cannot be compared, and what to type; None where it can."""
    if found is None:
        return "the task is missing in the results: run it"
    if found.documents != expected["documents"]:
        return (
            f"{found.documents} documents, the baseline has {expected['documents']}: run with the "
            "same --limit"
        )
    shots = expected.get("shots")
    if None not in (shots, found.shots) and shots != found.shots:
        return (
            f"{found.shots} examples in the prompt, the baseline has {shots}: run with the same "
            "--num_fewshot"
        )
    return None


def _compare_documents(
    name: str,
    kept: dict[str, list[Any]],
    watched: dict[str, dict[str, Any]],
    run: Run,
    found: TaskResult,
) -> list[Comparison]:
    """The metrics of one task that are watched by a paired test; `kept` are the baseline's values.

    The samples file is read once for all of them.
    """
    frame, reason = logged_documents(run, found)
    lines: list[Comparison] = []
    for metric, limits in watched.items():
        status, message = UNCOMPARABLE, reason
        if frame is not None:
            fell, message = significantly_worse(
                metric, limits["better"], float(limits["paired"]), kept, frame
            )
            if fell is not None:
                status = FELL if fell else FINE
        value = found.scores[metric].value if metric in found.scores else math.nan
        expected = _expected(limits)
        lines.append(Comparison(name, found.task, metric, status, message, expected, value))
    return lines


def _compare_metric(
    run: str, task: str, metric: str, limits: dict[str, Any], found: TaskResult
) -> Comparison:
    """One number against its limits: it fell where it is worse by more than the tolerance."""
    expected = _expected(limits)
    if metric not in found.scores:
        message = "the metric is missing in the results"
        return Comparison(run, task, metric, UNCOMPARABLE, message, expected)
    value = found.scores[metric].value
    if math.isnan(expected):
        message = "was not defined in the baseline"
        return Comparison(run, task, metric, FINE, message, expected, value)
    if math.isnan(value):
        message = "is not defined any more (NaN)"
        return Comparison(run, task, metric, UNCOMPARABLE, message, expected, value)
    if "absolute" in limits:
        tolerance = float(limits["absolute"])
    else:
        tolerance = float(limits["relative"]) * abs(expected)
    worse = expected - value if limits["better"] == "higher" else value - expected
    # The tolerance itself is within it, whatever the last bit says.
    status = FELL if worse > tolerance + 1e-12 else FINE
    message = f"{_kind(worse)} by {abs(worse):.4g}, tolerated {tolerance:.4g}"
    return Comparison(run, task, metric, status, message, expected, value)


def _expected(limits: dict[str, Any]) -> float:
    """The baseline's value of a metric; NaN where it was not defined."""
    return math.nan if limits["value"] is None else float(limits["value"])


def _kind(worse: float) -> str:
    if worse == 0:
        return "equal"
    return "worse" if worse > 0 else "better"
