"""One samples file of lm-eval as a table with declared columns: a row per document.

A file becomes columns at once, never a row at a time: a hundred runs of four thousand documents
take well under a minute.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.metrics import each_document, of_rounding
from eosbench.records import LengthRecord
from eosbench.results.files import UnusableError
from eosbench.results.run import Run, TaskResult
from eosbench.results.runs import Skipped

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("forward_passes", "token_positions", "flops", "seconds")
TEXTS = ("document", "family", "language", "prompt", "answer", "output")
RECORDED = (
    "bound",
    "length",
    "prediction",
    "calibrated",
    "clamped",
    "canvas",
    "prompt_length",
    "revealed",
)
COLUMNS = (
    "run",
    "backbone",
    "method",
    "calibration",
    "rounding",
    "task",
    "benchmark",
    "fraction",
    "document",
    "family",
    "language",
    *RECORDED,
    "eos_probability",
    "prompt",
    "answer",
    "output",
    *COSTS,
)

Column = Any  # one value for all rows of a file, or a list or an array of one a row


@dataclass(frozen=True)
class _Logged:
    """The documents of a samples file, in its order.

    Attributes:
        texts: keyed by lm-eval's `doc_id`.
        records: of a bound task, one per document; else empty.
        scores: of any other task, keyed by `doc_id`; else empty.
    """

    texts: dict[Any, dict[str, str | None]] = field(default_factory=dict)
    records: list[LengthRecord] = field(default_factory=list)
    scores: dict[Any, dict[str, float]] = field(default_factory=dict)


def read_samples(run: Run, task: TaskResult) -> pd.DataFrame | Skipped:
    """The documents of one task of a run: `COLUMNS`, then a column per metric.

    A file is used whole or not at all; `task.samples` must name one.
    """
    assert task.samples is not None
    try:
        with _no_collection():
            return _frame(run, task, _by_document(task, _lines(task.samples)))
    except UnusableError as error:
        return Skipped(task.samples, str(error))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Runs its block without garbage collection.

    Parsed JSON holds no cycles, and looking for some in every file takes a fifth of the time.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _lines(path: Path) -> list[Any]:
    """The samples of a file, one a line."""
    samples: list[Any] = []
    try:
        with path.open(encoding="utf-8") as lines:
            samples.extend(json.loads(line) for line in lines)
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableError(
            f"line {len(samples) + 1} is not JSON ({error}): a run that was cut off?"
        ) from error
    return samples


def _by_document(task: TaskResult, samples: list[Any]) -> _Logged:
    """The documents of a task; the lines of one document under several filters are one."""
    logged = _Logged()
    filters = {sample.get("filter") for sample in samples if isinstance(sample, dict)}
    for number, sample in enumerate(samples, start=1):
        try:
            _add(logged, task, sample, several_filters=len(filters) > 1)
        except KeyError as error:
            raise UnusableError(f"line {number}: field {error} is missing") from error
        except (IndexError, TypeError, ValueError, AttributeError) as error:
            raise UnusableError(
                f"line {number} cannot be used: {type(error).__name__} {error}"
            ) from error
    if len(logged.texts) != task.documents:
        raise UnusableError(
            f"holds {len(logged.texts)} documents, {task.path.name} says {task.documents}: "
            "a run that was cut off?"
        )
    return logged


def _add(logged: _Logged, task: TaskResult, sample: Any, *, several_filters: bool) -> None:
    """Adds one line of a samples file."""
    key = sample["doc_id"]
    bounds = task.benchmark is not None
    if key not in logged.texts:
        logged.texts[key] = _texts(task, sample)
        if bounds:
            logged.records.append(LengthRecord.from_json(_answer(sample)))
    if not bounds:
        suffix = f",{sample['filter']}" if several_filters else ""
        scores = logged.scores.setdefault(key, {})
        for name in sample["metrics"]:
            value = nan if sample[name] is None else sample[name]  # JSON has no NaN
            if isinstance(value, (int, float)):
                scores[f"{name}{suffix}"] = value


def _texts(task: TaskResult, sample: dict[str, Any]) -> dict[str, str | None]:
    """The texts of a sample, whatever lm-eval's task calls them."""
    doc = sample["doc"]
    doc = doc if isinstance(doc, dict) else {"prompt": str(doc)}
    family, language = doc.get("family"), doc.get("language")
    return {
        "document": str(doc.get("id", sample["doc_id"])),
        "family": None if family is None else str(family),
        "language": None if language is None else str(language),
        "prompt": str(doc.get("prompt", doc.get("question", ""))),
        "answer": str(doc.get("response", sample.get("target", ""))),
        "output": None if task.benchmark is not None else str(_answer(sample)),
    }


def _answer(sample: dict[str, Any]) -> Any:
    answer = sample["filtered_resps"][0]
    return answer[0] if isinstance(answer, list) and answer else answer


def _frame(run: Run, task: TaskResult, logged: _Logged) -> pd.DataFrame:
    """The documents of one task of a run as columns."""
    import pandas as pd

    columns: dict[str, Column] = dict.fromkeys(COLUMNS)
    columns |= {
        "run": run.name,
        "backbone": run.backbone,
        "method": run.method,
        "calibration": run.calibration,
        "rounding": (run.settings or {}).get("rounding"),
        "task": task.task,
        "benchmark": task.benchmark,
        "fraction": task.fraction,
        **_costs(task),
    }
    for name in TEXTS:
        columns[name] = [texts[name] for texts in logged.texts.values()]
    columns |= _score_columns(logged) if task.benchmark is None else _bound_columns(logged)
    size = len(logged.texts)
    return pd.DataFrame({name: _filled(values, size) for name, values in columns.items()})


def _costs(task: TaskResult) -> dict[str, float]:
    """The mean cost of a request of the task; NaN where costs were not reported."""
    costs = dict.fromkeys(COSTS, np.nan)
    requests = task.costs.get("requests", task.documents)
    if requests:
        costs |= {name: task.costs[name] / requests for name in COSTS if name in task.costs}
    return costs


def _score_columns(logged: _Logged) -> dict[str, Column]:
    """The metrics of a task that measures no bound, as logged."""
    names: dict[str, None] = {}
    for scores in logged.scores.values():
        names |= dict.fromkeys(scores)
    columns: dict[str, Column] = {}
    for name in names:
        columns[name] = [scores.get(name, np.nan) for scores in logged.scores.values()]
    return columns


def _bound_columns(logged: _Logged) -> dict[str, Column]:
    """The records of a bound task, and the metrics that follow from them."""
    try:
        columns: dict[str, Column] = {}
        for name in RECORDED:
            columns[name] = [getattr(record, name) for record in logged.records]
        curves = (record.eos_probability for record in logged.records)
        columns["eos_probability"] = [
            None if curve is None else np.asarray(curve, dtype=np.float32) for curve in curves
        ]
        return columns | each_document(logged.records) | of_rounding(logged.records)
    except (TypeError, ValueError, IndexError) as error:
        raise UnusableError(
            f"a length record cannot be used: {type(error).__name__} {error}"
        ) from error


def _filled(values: Column, size: int) -> Column:
    """A column of `size` rows."""
    return values if isinstance(values, (list, np.ndarray)) else [values] * size
