"""lm-eval's output folders as one pandas table: a row per run x task x document.

    from eosbench.results import read_results
    read_results("results/").groupby(["run", "fraction"])["coverage"].mean()

samples.py declares the columns and reads one samples file; here several processes may read side
by side.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

from eosbench.results.run import Run, TaskResult
from eosbench.results.runs import Skipped, scan
from eosbench.results.samples import COLUMNS, read_samples

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

# Of samples files: fewer bytes are read by the time that a further process has started.
BYTES_A_WORKER = 50_000_000


def read_results(folder: str | Path, *, workers: int = 1) -> pd.DataFrame:
    """One row per run x task x document: `COLUMNS`, then a column per metric.

    Metrics of bound tasks are computed by `eosbench.metrics` from the recorded bound and length,
    others are taken as logged. The columns of cost are the mean over the requests of the run's
    task, as the results file has them. What was skipped is in `.attrs["skipped"]`.

    Args:
        folder: lm-eval's output, searched with everything below it.
        workers: as `read_documents` takes it.

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
    """The table of `read_results` for runs already scanned, and the samples files left out of it.

    A broken samples file is skipped as a whole, never read in part.

    Args:
        runs: in any order.
        advance: called after each samples file (for a progress bar).
        workers: how many processes read at most: never more than the machine has cores, and one
            alone where there is little to read. They are spawned, so a script that asks for several
            needs its `if __name__ == "__main__":`.
    """
    import pandas as pd

    jobs: list[tuple[Run, TaskResult]] = []
    for run in runs:
        jobs += [(run, task) for task in run.tasks.values() if task.samples is not None]
    frames: list[pd.DataFrame] = []
    skipped: list[Skipped] = []
    for read in _read_all(jobs, workers):
        if isinstance(read, Skipped):
            skipped.append(read)
            logger.warning("skipped %s: %s", read.path, read.reason)
        else:
            frames.append(read)
        advance()
    names = dict.fromkeys(COLUMNS)
    for frame in frames:
        names |= dict.fromkeys(frame.columns)
    if not frames:
        return pd.DataFrame(columns=list(names)), skipped
    return pd.concat(frames, ignore_index=True)[list(names)], skipped


def _read_all(
    jobs: Sequence[tuple[Run, TaskResult]], workers: int
) -> Iterator[pd.DataFrame | Skipped]:
    """`read_samples` of every job, in order."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    paths = [task.samples for _, task in jobs]
    size = sum(path.stat().st_size for path in paths if path is not None and path.is_file())
    workers = min(workers, os.cpu_count() or 1, size // BYTES_A_WORKER)
    done = 0
    if workers > 1:
        interrupts = (signal.SIGINT, signal.SIG_IGN)  # are for this process to answer
        with ProcessPoolExecutor(workers, get_context("spawn"), signal.signal, interrupts) as pool:
            try:
                for read in pool.map(read_samples, *zip(*jobs, strict=True)):
                    yield read
                    done += 1
            except BrokenProcessPool:
                logger.warning(
                    "a process that read samples was ended from outside (no memory left?): "
                    "this one reads the rest"
                )
    yield from starmap(read_samples, jobs[done:])
