"""The baseline file: read and checked, and written so that people can read and edit it.

Per run and task it holds the metrics that are watched, each with its value, which way is better,
and one tolerance: an `absolute` change, a `relative` one, or `paired`, the level at which a paired
test over the documents must find a change significant (paired.py). docs/report.md shows a file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from eosbench.errors import ResultsError
from eosbench.results import BASELINE_MARK

SCHEMA = 1
TOLERANCE_KINDS = ("absolute", "relative", "paired")
_LIST_OF_VALUES = re.compile(r"\[\n\s+([^\[\]{}]*?)\n\s+\]")
_NEW_LINE = re.compile(r"\n\s*")


def read_baseline(path: Path, again: str) -> dict[str, Any]:
    """A baseline file, checked down to every number.

    Args:
        path: the file.
        again: says how to get a new one; it ends the message of every error.

    Raises:
        ResultsError: it is missing, broken or of a newer version; the message names the field.
    """
    name = f"baseline {str(path)!r}"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResultsError(f"no {name}: {again}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{name} cannot be read ({error}): {again}") from error
    if not isinstance(data, dict) or BASELINE_MARK not in data:
        raise ResultsError(
            f"{str(path)!r} is not a baseline (field {BASELINE_MARK!r} is missing): {again}"
        )
    if data[BASELINE_MARK] != SCHEMA:
        raise ResultsError(
            f"{name} has version {data[BASELINE_MARK]!r}, this eosbench reads {SCHEMA}: {again}"
        )
    try:
        for run in data["runs"]:
            _check_run(run)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ResultsError(
            f"{name} is broken ({type(error).__name__}: {error}): mend it, or {again}"
        ) from error
    return data


def write_baseline(path: Path, runs: list[dict[str, Any]]) -> None:
    """Writes the runs as JSON: indented, but a list of documents' values is one line."""
    text = json.dumps({BASELINE_MARK: SCHEMA, "runs": runs}, indent=2, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_LIST_OF_VALUES.sub(_on_one_line, text), encoding="utf-8")


def _check_run(run: dict[str, Any]) -> None:
    """Raises what reading a broken run raises; a ValueError names the place."""
    name = f"run {run['name']!r} ({run['method']}, {run['fingerprint']})"
    for task, entry in run["tasks"].items():
        int(entry["documents"])
        for metric, limits in entry["metrics"].items():
            _check_limits(limits, f"{name}, {task}.{metric}")
            if "paired" in limits:
                values = entry["values"]
                if len(values[metric]) != len(values["document"]):
                    raise ValueError(
                        f"{name}, {task}.values: not one value of {metric} per document"
                    )


def _check_limits(limits: dict[str, Any], where: str) -> None:
    """Raises a ValueError unless a metric has a direction, one tolerance, and a number or null."""
    if limits["better"] not in ("higher", "lower"):
        raise ValueError(f"{where}: better is {limits['better']!r}, expected 'higher' or 'lower'")
    given = [kind for kind in TOLERANCE_KINDS if kind in limits]
    if len(given) != 1 or not float(limits[given[0]]) >= 0:
        raise ValueError(
            f"{where}: expected one of 'absolute', 'relative' and 'paired', a number from 0 on"
        )
    if limits["value"] is not None:
        float(limits["value"])


def _on_one_line(found: re.Match[str]) -> str:
    return f"[{_NEW_LINE.sub(' ', found[1])}]"
