"""The cost of an answer, and the runs that one may be compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eosbench.results import Run, TaskResult

ALREADY_PER_ANSWER = ("mean_window", "truncated", "retries")  # means and counts, shown as they are
UNITS = {"flops": 1e9}  # of one unit in the tables; 1 for any other cost


def per_answer(task: TaskResult, cost: str) -> float:
    """A task's cost by answer, except for a cost that is a mean or a count already.

    FLOPs are in 10^9; NaN where the cost was not reported.
    """
    if cost in ALREADY_PER_ANSWER:
        return float(task.costs[cost])
    requests = float(task.costs.get("requests", task.documents)) * UNITS.get(cost, 1.0)
    return float(task.costs.get(cost, math.nan)) / requests if requests else math.nan


def reference_run(run: Run, task: str, runs: Sequence[Run], method: str) -> Run | None:
    """The run of `method` on the same ground as `run`, rather one with the same decoding.

    Args:
        run: the run to be compared.
        task: the name of a task that it has.
        runs: where to look; the first that fits is taken.
        method: `fixed` or `oracle`.

    Returns:
        None where there is no such run.
    """
    if run.settings is None:
        return None
    same = [
        other
        for other in runs
        if other.method == method
        and task in other.tasks
        and ground(other, task) == ground(run, task)
    ]
    alike = [other for other in same if _decoding(other) == _decoding(run)]
    return next(iter([*alike, *same]), None)


def ground(run: Run, task: str) -> tuple[Any, ...]:
    """The settings that two runs must share for their costs on a task to be compared.

    They are the weights, the canvas, and how prompts are made.
    """
    settings = run.settings or {}
    backbone = settings.get("backbone", {})
    return (
        str(backbone.get("fingerprint", backbone.get("name"))),
        int(settings.get("canvas", 0)),
        run.asked.get("chat_template"),
        run.asked.get("system_instruction"),
        run.tasks[task].shots,
    )


def _decoding(run: Run) -> tuple[Any, ...]:
    return (run.settings or {}).get("decoding"), run.asked.get("gen_kwargs")
