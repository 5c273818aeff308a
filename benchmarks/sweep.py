"""Five methods in one sweep against one: the worth of sharing the backbone and step zero."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from lm_eval.tasks import TaskManager

import eosbench.plugin
from benchmarks.measure import Row, Setup, timed
from eosbench.predictors import THE_FIVE
from eosbench.sweep import sweep


def five_methods(setup: Setup, methods: Sequence[str] = THE_FIVE) -> list[Row]:
    """Two rows: from loading the model to the written results, without lm-eval's scan and with it.

    lm-eval's scan of its tasks takes longer than all the rest and is the same on both sides: it is
    timed once a round and added to both.
    """
    limit = 4 if setup.quick else 60
    eosbench.plugin.register()
    own_tasks = TaskManager(
        include_defaults=False, include_path=str(eosbench.plugin.tasks_folder())
    )

    def run(chosen: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            sweep(
                chosen,
                ["eos_upper_bound"],
                Path(folder),
                model_args={"pretrained": setup.pretrained, "max_gen_toks": setup.canvas},
                predictors=setup.predictors,
                task_manager=own_tasks,
                limit=limit,
            )

    run([setup.method])  # warm up
    alone, with_scan = [], []
    for _ in range(setup.runs):
        several, one, scan = (
            timed(call)[0]
            for call in (partial(run, methods), partial(run, [setup.method]), TaskManager)
        )
        alone.append(several / one)
        with_scan.append((several + scan) / (one + scan))
        setup.advance()
    slow, fast = f"{len(methods)} methods", setup.method
    shapes = f"eos_upper_bound, {limit} documents a task"
    return [
        Row("sweep", slow, fast, shapes, tuple(alone), "without lm-eval's scan of its tasks"),
        Row("sweep", slow, fast, shapes, tuple(with_scan), "with that scan, once on each side"),
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Runs its block without lm-eval's log lines and progress bars."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)
