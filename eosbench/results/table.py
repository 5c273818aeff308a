"""lm-eval's output folders as one pandas table: a row per run x task x document, with declared
columns.

    from eosbench.results import read_results
    read_results("results/").groupby(["run", "fraction"])["coverage"].mean()

Which files are runs is decided in runs.py, whose names are exported here too. A file becomes
columns at once, never a row at a time, and several processes may read side by side: a hundred runs
of four thousand documents take well under a minute.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.metrics import each_document, of_rounding
from eosbench.records import LengthRecord
from eosbench.results.files import Run, Score, TaskResult, UnusableError
from eosbench.results.runs import Scan, Skipped, read_runs, scan

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "Run",
    "Scan",
    "Score",
    "Skipped",
    "TaskResult",
    "read_documents",
    "read_results",
    "read_runs",
    "scan",
]

logger = logging.getLogger(__name__)

COSTS = ("forward_passes", "token_positions", "flops", "seconds")
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
    "bound",
    "length",
    "prediction",
    "calibrated",
    "clamped",
    "canvas",
    "prompt_length",
    "revealed",
    "eos_probability",
    "prompt",
    "answer",
    "output",
    *COSTS,
)
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

# Of samples files: less than that is read by the time that a further process has started.
BYTES_A_WORKER = 50_000_000

Column = Any  # one value for all rows of a file, or a list or an array of one a row


def read_results(folder: str | Path, *, workers: int = 1) -> pd.DataFrame:
    """One row per run x task x document: `COLUMNS`, then one column per metric. What was skipped is
    in `.attrs["skipped"]`.

    Metrics of bound tasks are computed by `eosbench.metrics` from the recorded bound and length,
    others are taken as logged. The columns of cost are the mean over the requests of the run's
    task, as the results file has them. `workers` is that of `read_documents`.

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    found = scan(folder)
    frame, skipped = read_documents(found.runs, workers=workers)
    frame.attrs["skipped"] = [*found.skipped, *skipped]
    return frame


def read_documents(
    runs: Iterable[Run], advance: Callable[[], object] = lambda: None, *, workers: int = 1
) -> tuple[pd.DataFrame, list[Skipped]]:
    """The table of `read_results` for runs already scanned; a broken samples file is skipped as a
    whole, never read in part.

    Args: runs: in any order. advance: called after each samples file (for a progress bar). workers:
        processes that read, at most: never more than the machine has cores, and one alone where
        there is little to
            read. They are spawned, so a script that asks for several needs its `if __name__ ==
            "__main__":`.
    """
    import pandas as pd

    frames: list[pd.DataFrame] = []
    skipped: list[Skipped] = []
    for read in _read_all(
        [(run, task) for run in runs for task in run.tasks.values() if task.samples is not None],
        workers,
    ):
        if isinstance(read, Skipped):
            skipped.append(read)
            logger.warning("skipped %s: %s", read.path, read.reason)
        else:
            frames.append(read)
        advance()
    names = dict.fromkeys((*COLUMNS, *(name for frame in frames for name in frame.columns)))
    if not frames:
        return pd.DataFrame(columns=list(names)), skipped
    return pd.concat(frames, ignore_index=True)[list(names)], skipped


def _read_all(
    jobs: Sequence[tuple[Run, TaskResult]], workers: int
) -> Iterator[pd.DataFrame | Skipped]:
    """What `_read` says of every job, in order."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    size = sum(
        task.samples.stat().st_size for _, task in jobs if task.samples and task.samples.is_file()
    )
    workers = min(workers, os.cpu_count() or 1, size // BYTES_A_WORKER)
    done = 0
    if workers > 1:
        interrupts = (signal.SIGINT, signal.SIG_IGN)  # are for this process to answer
        with ProcessPoolExecutor(workers, get_context("spawn"), signal.signal, interrupts) as pool:
            try:
                for read in pool.map(_read, *zip(*jobs, strict=True)):
                    yield read
                    done += 1
            except BrokenProcessPool:
                logger.warning(
                    "a process that read samples was ended from outside (no memory left?): this one reads the rest"
                )
    yield from starmap(_read, jobs[done:])


def _read(run: Run, task: TaskResult) -> pd.DataFrame | Skipped:
    """One samples file, in whichever process."""
    assert task.samples is not None
    try:
        with _no_collection():
            return _frame(run, task, task.samples)
    except UnusableError as error:
        return Skipped(task.samples, str(error))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Parsed JSON holds no cycles: looking for some in every file again and again takes a fifth of
    the time.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _frame(run: Run, task: TaskResult, path: Path) -> pd.DataFrame:
    """One samples file; the lines of one document under several filters become one row."""
    import pandas as pd

    samples: list[Any] = []
    try:
        with path.open(encoding="utf-8") as lines:
            samples.extend(json.loads(line) for line in lines)
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableError(
            f"line {len(samples) + 1} is not JSON ({error}): a run that was cut off?"
        ) from error
    number = 0  # of the line that an error is about
    firsts: dict[Any, dict[str, Any]] = {}
    records: list[LengthRecord] = []
    scores: dict[Any, dict[str, float]] = {}
    several = len({sample.get("filter") for sample in samples if isinstance(sample, dict)}) > 1
    try:
        bounds = task.benchmark is not None
        for number, sample in enumerate(samples, start=1):  # noqa: B007
            key = sample["doc_id"]
            if key not in firsts:
                firsts[key] = _texts(task, sample)
                if bounds:
                    records.append(_record(sample))
            if not bounds:
                scores.setdefault(key, {}).update(_scores(sample, several))
    except KeyError as error:
        raise UnusableError(f"line {number}: field {error} is missing") from error
    except (IndexError, TypeError, ValueError, AttributeError) as error:
        raise UnusableError(
            f"line {number} cannot be used: {type(error).__name__} {error}"
        ) from error
    if len(firsts) != task.documents:
        raise UnusableError(
            f"holds {len(firsts)} documents, {task.path.name} says {task.documents}: a run that was cut off?"
        )

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
    columns |= {name: [row[name] for row in firsts.values()] for name in TEXTS}
    if task.benchmark is None:
        metrics = dict.fromkeys(name for values in scores.values() for name in values)
        columns |= {
            name: [values.get(name, np.nan) for values in scores.values()] for name in metrics
        }
    else:
        try:
            columns |= {name: [getattr(record, name) for record in records] for name in RECORDED}
            columns |= {
                "eos_probability": _curves(records),
                **each_document(records),
                **of_rounding(records),
            }
        except (TypeError, ValueError, IndexError) as error:
            raise UnusableError(
                f"a length record cannot be used: {type(error).__name__} {error}"
            ) from error
    return pd.DataFrame({name: _filled(values, len(firsts)) for name, values in columns.items()})


def _texts(task: TaskResult, sample: dict[str, Any]) -> dict[str, str | None]:
    """What stands in a sample as text, whatever lm-eval's task calls it."""
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


def _record(sample: dict[str, Any]) -> LengthRecord:
    return LengthRecord.from_json(_answer(sample))


def _scores(sample: dict[str, Any], several: bool) -> dict[str, float]:
    """A sample's numbers, by "metric" or, under several filters, "metric,filter"."""
    suffix = f",{sample['filter']}" if several else ""
    return {
        f"{name}{suffix}": sample[name]
        for name in sample["metrics"]
        if isinstance(sample[name], (int, float))
    }


def _costs(task: TaskResult) -> dict[str, float]:
    requests = task.costs.get("requests", task.documents)
    return {
        name: task.costs[name] / requests if requests and name in task.costs else np.nan
        for name in COSTS
    }


def _curves(records: list[LengthRecord]) -> list[Any]:
    return [
        None if (curve := one.eos_probability) is None else np.asarray(curve, dtype=np.float32)
        for one in records
    ]


def _filled(values: Column, size: int) -> Column:
    """A column of `size` rows."""
    return values if isinstance(values, (list, np.ndarray)) else [values] * size
