"""`eosbench check`: have the results become worse than a committed baseline?

The baseline is a JSON file to be read and edited by people: per run and task the metrics that
matter, each with its value, which way is better and what is tolerated: an absolute or a relative
change, or any that a paired test over the documents (paired.py) does not find significant.
`update=True` writes it from the results; tolerances that somebody edited stay as they are. Exit
codes follow diff and grep: 0 fine, 1 something fell, 2 cannot be compared (2 outweighs 1).

    from eosbench.check import check_results
    check_results(Path("results"), Path("results/baseline.json")).exit_code
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from eosbench.check.outcomes import (
    FELL,
    FINE,
    UNCOMPARABLE,
    CheckOutcome,
    Comparison,
    write_junit,
    write_step_summary,
)
from eosbench.check.paired import LEVEL, kept_values, logged_documents, significantly_worse
from eosbench.errors import ResultsError
from eosbench.results import BASELINE_MARK, Run, TaskResult, scan

SCHEMA = 1
NEW_LINE = re.compile(r"\n\s*")
# What a new baseline watches; any other metric can be added to the file by hand.
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


def check_results(
    results: str | Path,
    baseline: str | Path,
    *,
    update: bool = False,
    paired: bool = False,
    junit: str | Path | None = None,
) -> CheckOutcome:
    """Compares a results folder with a baseline file, or writes the baseline from it.

    Nothing is raised for what a CI job may meet (no results, a missing or broken baseline, a run
    that is gone): it is an outcome with exit code 2 whose message says what to do. A summary is
    appended to the file that GITHUB_STEP_SUMMARY names.

    Args: results: a folder as lm-eval writes it. baseline: the JSON file. update: write `baseline`
        from `results` instead of comparing. paired: with `update`: watch by a paired test, and keep
        each document's values for it, wherever samples were logged. junit: where to write a JUnit
        XML report as well.
    """
    try:
        runs = [run for run in scan(results).runs if run.settings is not None]
        if not runs:
            raise ResultsError(
                f"{str(results)!r} holds no run of varlen_dlm, only other models': there is nothing to compare"
            )
        outcome = (
            _update(runs, Path(baseline), paired)
            if update
            else _compare(runs, _read(Path(baseline)), Path(baseline))
        )
    except ResultsError as error:
        failed = Comparison("results", "", "", UNCOMPARABLE, str(error))
        outcome = CheckOutcome([failed], f"cannot compare: {error}", 2)
    if junit is not None:
        write_junit(outcome, Path(junit))
    write_step_summary(outcome)
    return outcome


def _read(path: Path) -> dict[str, Any]:
    """A baseline file, checked down to every number.

    Raises:
        ResultsError: it is missing, broken or of a newer version; the message names the field.
    """
    again = "write a new one with eosbench check RESULTS --baseline FILE --update"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultsError(f"no baseline {str(path)!r}: {again}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"baseline {str(path)!r} cannot be read ({error}): {again}") from error
    if not isinstance(data, dict) or BASELINE_MARK not in data:
        raise ResultsError(
            f"{str(path)!r} is not a baseline (field {BASELINE_MARK!r} is missing): {again}"
        )
    if data[BASELINE_MARK] != SCHEMA:
        raise ResultsError(
            f"baseline {str(path)!r} has version {data[BASELINE_MARK]!r}, this eosbench reads {SCHEMA}: {again}"
        )
    try:
        for run in data["runs"]:
            name = f"run {run['name']!r} ({run['method']}, {run['fingerprint']})"
            for task, entry in run["tasks"].items():
                int(entry["documents"])
                for metric, limits in entry["metrics"].items():
                    _check_limits(limits, f"{name}, {task}.{metric}")
                    if "paired" in limits and len(entry["values"][metric]) != len(
                        entry["values"]["document"]
                    ):
                        raise ValueError(
                            f"{name}, {task}.values: not one value of {metric} per document"
                        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ResultsError(
            f"baseline {str(path)!r} is broken ({type(error).__name__}: {error}): mend it, or {again}"
        ) from error
    return data


def _check_limits(limits: dict[str, Any], where: str) -> None:
    if limits["better"] not in ("higher", "lower"):
        raise ValueError(f"{where}: better is {limits['better']!r}, expected 'higher' or 'lower'")
    given = [kind for kind in ("absolute", "relative", "paired") if kind in limits]
    if len(given) != 1 or not float(limits[given[0]]) >= 0:
        raise ValueError(
            f"{where}: expected one of 'absolute', 'relative' and 'paired', a number from 0 on"
        )
    if limits["value"] is not None:
        float(limits["value"])


def _compare(runs: list[Run], baseline: dict[str, Any], path: Path) -> CheckOutcome:
    lines: list[Comparison] = []
    by_fingerprint = {run.fingerprint: run for run in runs}
    for entry in baseline["runs"]:
        run = by_fingerprint.pop(entry["fingerprint"], None)
        if run is None:
            lines.append(Comparison(entry["name"], "", "", UNCOMPARABLE, _absence(entry, runs)))
            continue
        for task, expected in entry["tasks"].items():
            lines += _compare_task(entry["name"], task, expected, run)
    if not lines:
        lines.append(
            Comparison(
                "baseline",
                "",
                "",
                UNCOMPARABLE,
                f"{str(path)!r} names no metric: write one with --update",
            )
        )
    fell, blocked = (
        sum(line.status == status for line in lines) for status in (FELL, UNCOMPARABLE)
    )
    new = (
        f"; not in the baseline: {', '.join(sorted(run.name for run in by_fingerprint.values()))}"
        if by_fingerprint
        else ""
    )
    counts = f"{len(lines)} compared: {len(lines) - fell - blocked} fine, {fell} fell, {blocked} cannot be compared{new}"
    return CheckOutcome(lines, counts, 2 if blocked else 1 if fell else 0)


def _absence(entry: dict[str, Any], runs: list[Run]) -> str:
    others = [run.fingerprint for run in runs if run.method == entry["method"]]
    if not others:
        return f"no run of method {entry['method']!r} in the results: run it, or take it out of the baseline with --update"
    return (
        f"the baseline was made with fingerprint {entry['fingerprint']}, the results have {', '.join(others)}: other settings or "
        "weights. Run with the baseline's settings, or accept the new ones with --update"
    )


def _compare_task(name: str, task: str, expected: dict[str, Any], run: Run) -> list[Comparison]:
    found = run.tasks.get(task)
    if found is None:
        return [
            Comparison(name, task, "", UNCOMPARABLE, "the task is missing in the results: run it")
        ]
    if found.documents != expected["documents"]:
        message = f"{found.documents} documents, the baseline has {expected['documents']}: run with the same --limit"
        return [Comparison(name, task, "", UNCOMPARABLE, message)]
    if None not in (shots := expected.get("shots"), found.shots) and shots != found.shots:
        message = f"{found.shots} examples in the prompt, the baseline has {shots}: run with the same --num_fewshot"
        return [Comparison(name, task, "", UNCOMPARABLE, message)]
    by_document = {
        metric: limits for metric, limits in expected["metrics"].items() if "paired" in limits
    }
    lines = [
        _compare_metric(name, task, metric, limits, found)
        for metric, limits in expected["metrics"].items()
        if metric not in by_document
    ]
    return lines + (
        _compare_documents(name, expected["values"], by_document, run, found) if by_document else []
    )


def _compare_documents(
    name: str,
    kept: dict[str, list[Any]],
    watched: dict[str, dict[str, Any]],
    run: Run,
    found: TaskResult,
) -> list[Comparison]:
    """The metrics of one task that are watched by a paired test."""
    frame, reason = logged_documents(run, found)
    lines = []
    for metric, limits in watched.items():
        fell, message = None, reason
        if frame is not None:
            fell, message = significantly_worse(
                metric, limits["better"], float(limits["paired"]), kept, frame
            )
        status = UNCOMPARABLE if fell is None else FELL if fell else FINE
        expected = math.nan if limits["value"] is None else float(limits["value"])
        value = found.scores[metric].value if metric in found.scores else math.nan
        lines.append(Comparison(name, found.task, metric, status, message, expected, value))
    return lines


def _compare_metric(
    run: str, task: str, metric: str, limits: dict[str, Any], found: TaskResult
) -> Comparison:
    """One number against its limits: a change for the worse beyond the tolerance is a fall, any
    change for the better is fine.
    """
    expected = math.nan if limits["value"] is None else float(limits["value"])
    if metric not in found.scores:
        return Comparison(
            run, task, metric, UNCOMPARABLE, "the metric is missing in the results", expected
        )
    value = found.scores[metric].value
    if math.isnan(expected) or math.isnan(value):
        if math.isnan(value) and not math.isnan(expected):
            return Comparison(
                run, task, metric, UNCOMPARABLE, "is not defined any more (NaN)", expected, value
            )
        return Comparison(
            run, task, metric, FINE, "was not defined in the baseline", expected, value
        )
    tolerance = (
        float(limits["absolute"])
        if "absolute" in limits
        else float(limits["relative"]) * abs(expected)
    )
    worse = expected - value if limits["better"] == "higher" else value - expected
    # The tolerance itself is within it, whatever the last bit says.
    status = FELL if worse > tolerance + 1e-12 else FINE
    kind = "worse" if worse > 0 else "better" if worse < 0 else "equal"
    return Comparison(
        run,
        task,
        metric,
        status,
        f"{kind} by {abs(worse):.4g}, tolerated {tolerance:.4g}",
        expected,
        value,
    )


def _update(runs: list[Run], path: Path, paired: bool) -> CheckOutcome:
    """Writes the baseline; what an earlier one says about tolerances and watched metrics is kept."""
    earlier = {run["name"]: run for run in _read(path)["runs"]} if path.exists() else {}
    entries: list[dict[str, Any]] = []
    for run in runs:
        known = earlier.get(run.name, {"tasks": {}})["tasks"]
        tasks = {
            name: _entry(run, task, known.get(name, {}).get("metrics"), paired)
            for name, task in sorted(run.tasks.items())
        }
        watched = {name: entry for name, entry in tasks.items() if entry["metrics"]}
        entries.append(
            {
                "name": run.name,
                "method": run.method,
                "fingerprint": run.fingerprint,
                "tasks": watched,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text({BASELINE_MARK: SCHEMA, "runs": entries}), encoding="utf-8")
    metrics = sum(len(task["metrics"]) for entry in entries for task in entry["tasks"].values())
    return CheckOutcome([], f"wrote {path}: {len(entries)} runs, {metrics} metrics", 0)


def _entry(
    run: Run, task: TaskResult, known: dict[str, Any] | None, paired: bool
) -> dict[str, Any]:
    """A task's metrics with their limits, and each document's values where a limit is a paired
    test.

    Raises:
        ResultsError: a limit is a paired test, and no document can be read.
    """
    metrics: dict[str, Any] = {}
    for metric, limits in (TOLERANCES if known is None else known).items():
        if metric in task.scores:
            value = task.scores[metric].value
            kept = {k: v for k, v in limits.items() if k != "value"}
            if paired and known is None and task.samples is not None:
                kept = {"better": limits["better"], "paired": LEVEL}
            metrics[metric] = {"value": None if math.isnan(value) else value, **kept}
    asked: dict[str, Any] = {
        "documents": task.documents,
        **({"shots": task.shots} if task.shots is not None else {}),
    }
    by_document = [metric for metric, limits in metrics.items() if "paired" in limits]
    if not by_document:
        return {**asked, "metrics": metrics}
    frame, reason = logged_documents(run, task)
    if frame is None:
        raise ResultsError(
            f"{run.name}, {task.task}: a paired test needs every document's value, but {reason}"
        )
    return {**asked, "metrics": metrics, "values": kept_values(frame, by_document)}


def _text(baseline: dict[str, Any]) -> str:
    """JSON to be read by people: indented, but a list of documents' values is one line."""
    text = json.dumps(baseline, indent=2, allow_nan=False) + "\n"
    return re.sub(
        r"\[\n\s+([^\[\]{}]*?)\n\s+\]", lambda match: f"[{re.sub(NEW_LINE, ' ', match[1])}]", text
    )
