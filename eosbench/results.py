"""lm-eval's output folders as one pandas table: a row per run x task x document, with declared columns.

    from eosbench.results import read_results
    read_results("results/").groupby(["run", "fraction"])["coverage"].mean()

Which files are runs is decided in runs.py, whose names are exported here too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosbench.metrics import per_document
from eosbench.records import LengthRecord
from eosbench.runs import Run, Scan, Score, Skipped, TaskResult, UnusableError, read_runs, scan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Run", "Scan", "Score", "Skipped", "TaskResult", "read_documents", "read_results", "read_runs", "scan"]

logger = logging.getLogger(__name__)

COLUMNS = (
    "run", "backbone", "method", "calibration", "rounding", "task", "benchmark", "fraction", "document", "family", "language",
    "bound", "length", "prediction", "calibrated", "clamped", "canvas", "prompt_length", "revealed", "prompt", "answer", "output",
)  # fmt: skip


def read_results(folder: str | Path) -> pd.DataFrame:
    """One row per run x task x document: `COLUMNS`, then one column per metric. What was skipped is in `.attrs["skipped"]`.

    Metrics of bound tasks are computed by `eosbench.metrics` from the recorded bound and length, others are taken as logged.

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    found = scan(folder)
    frame, skipped = read_documents(found.runs)
    frame.attrs["skipped"] = [*found.skipped, *skipped]
    return frame


def read_documents(runs: Iterable[Run]) -> tuple[pd.DataFrame, list[Skipped]]:
    """The table of `read_results` for runs already scanned; a broken samples file is skipped as a whole, never read in part."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    for run in runs:
        for task in run.tasks.values():
            if task.samples is None:
                continue
            try:
                rows.extend(_rows(run, task, task.samples))
            except UnusableError as error:
                skipped.append(Skipped(task.samples, str(error)))
                logger.warning("skipped %s: %s", task.samples, error)
    names = dict.fromkeys((*COLUMNS, *(name for row in rows for name in row)))
    return pd.DataFrame(rows, columns=list(names)), skipped


def _rows(run: Run, task: TaskResult, path: Path) -> list[dict[str, Any]]:
    """Rows of one samples file; the lines of one document under several filters become one row."""
    samples: list[Any] = []
    try:
        with path.open(encoding="utf-8") as lines:
            samples.extend(json.loads(line) for line in lines)
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableError(f"line {len(samples) + 1} is not JSON ({error}): a run that was cut off?") from error
    several = len({sample.get("filter") for sample in samples if isinstance(sample, dict)}) > 1
    rows: dict[Any, dict[str, Any]] = {}
    for number, sample in enumerate(samples, start=1):
        try:
            if sample["doc_id"] not in rows:
                rows[sample["doc_id"]] = _document(run, task, sample)
            if task.benchmark is None:
                suffix = f",{sample['filter']}" if several else ""
                values = {f"{name}{suffix}": sample[name] for name in sample["metrics"] if isinstance(sample[name], (int, float))}
                rows[sample["doc_id"]].update(values)
        except KeyError as error:
            raise UnusableError(f"line {number}: field {error} is missing") from error
        except (IndexError, TypeError, ValueError, AttributeError) as error:
            raise UnusableError(f"line {number} cannot be used: {type(error).__name__} {error}") from error
    if len(rows) != task.documents:
        raise UnusableError(f"holds {len(rows)} documents, {task.path.name} says {task.documents}: a run that was cut off?")
    return list(rows.values())


def _document(run: Run, task: TaskResult, sample: dict[str, Any]) -> dict[str, Any]:
    """The declared columns of one sample, and the metrics of its record where the task measures bounds."""
    doc = sample["doc"]
    answer = sample["filtered_resps"][0]
    answer = answer[0] if isinstance(answer, list) and answer else answer
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "run": run.name, "backbone": run.backbone, "method": run.method, "calibration": run.calibration,
        "rounding": (run.settings or {}).get("rounding"),
        "task": task.task, "benchmark": task.benchmark, "fraction": task.fraction,
        "document": str(doc.get("id", sample["doc_id"])), "family": doc.get("family"), "language": doc.get("language"),
        "prompt": str(doc.get("prompt", doc.get("question", ""))), "answer": str(doc.get("response", sample.get("target", ""))),
        "output": str(answer),
    }  # fmt: skip
    if task.benchmark is None:
        return row
    record = LengthRecord.from_json(answer)
    taken = ("bound", "length", "prediction", "calibrated", "clamped", "canvas", "prompt_length", "revealed", "fraction")
    return row | {name: getattr(record, name) for name in taken} | {"output": None} | dict(per_document(record))
