"""Undefined metrics in lm-eval's groups and files, mended where our tasks run.

A metric may be undefined for a task: no bound was missed, so there is no shortfall. lm-eval makes
the mean of a group undefined then, and writes a bare NaN, which is no JSON. Once one of our tasks
is loaded, the mean of a group of our tasks is that over the tasks that define the metric, and
results files and sample logs are strict JSON, in which each group says over how many of its tasks
each metric is defined (`defined_tasks`). Groups of other tasks stay as they are.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

from lm_eval.api.group import Group
from lm_eval.loggers import EvaluationTracker

from eosbench.strict_json import without_nan

logger = logging.getLogger(__name__)

Metrics = dict[str, Any]


def mend_results(task_class_name: str) -> None:
    """Makes lm-eval do as the module says, once in a process.

    Args:
        task_class_name: the name of the class of our tasks.
    """
    if hasattr(Group.aggregate, "eosbench"):
        return
    original = Group.aggregate

    @functools.wraps(original)
    def aggregate(group: Group, task_metrics: Mapping[str, Metrics]) -> Metrics:
        found: Metrics = original(group, task_metrics)
        members = group.get_all_tasks()
        if all(task_class_name in names_of(type(task)) for task in members):
            parts = [task_metrics.get(task.task_name, {}) for task in members]
            leave_out_undefined(group.name, found, parts)
        return found

    aggregate.eosbench = True  # type: ignore[attr-defined]
    Group.aggregate = aggregate
    for method in ("save_results_aggregated", "save_results_samples"):
        setattr(EvaluationTracker, method, strict(getattr(EvaluationTracker, method)))


def names_of(task_class: type) -> set[str]:
    """The names of a class and of those that it is made from."""
    return {one.__name__ for one in task_class.__mro__}


def leave_out_undefined(name: str, found: Metrics, parts: list[Metrics]) -> None:
    """Puts the mean over those tasks that define a metric in the place of an undefined one.

    Its standard error is that of a mean of independent tasks.

    Args:
        name: of the group.
        found: what lm-eval made of the group.
        parts: the metrics of its tasks.
    """
    for key, value in found.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr") or not is_undefined(value):
            continue
        defined = [part for part in parts if is_defined(part.get(key))]
        if not defined:
            continue
        error = f"{metric}_stderr,{filter_name}"
        errors: list[Any] = [part.get(error) for part in defined]
        found[key] = sum(part[key] for part in defined) / len(defined)
        if all(is_defined(one) for one in errors):
            found[error] = math.sqrt(sum(one**2 for one in errors)) / len(errors)
        logger.info(
            "group %s: %s is the mean over the %d of its %d tasks that define it",
            name,
            metric,
            len(defined),
            len(parts),
        )


def is_defined(value: Any) -> bool:
    """Whether it is a number that is not NaN."""
    return isinstance(value, (int, float)) and not math.isnan(value)


def is_undefined(value: Any) -> bool:
    """Whether it is NaN."""
    return isinstance(value, float) and math.isnan(value)


def strict(save: Callable[..., None]) -> Callable[..., None]:
    """A method of lm-eval's tracker that saves null where a number is not defined."""

    @functools.wraps(save)
    def saved(self: EvaluationTracker, *args: Any, **kwargs: Any) -> None:
        args = tuple(counted(without_nan(value)) for value in args)
        kwargs = {name: counted(without_nan(value)) for name, value in kwargs.items()}
        save(self, *args, **kwargs)

    return saved


def counted(results: Any) -> Any:
    """Results in which every group says how many of its tasks define each of its metrics.

    Whatever is no results of lm-eval comes back as it is.
    """
    if not isinstance(results, dict) or "group_subtasks" not in results:
        return results
    entries = results.get("results", {})
    for name in results["group_subtasks"]:
        entry = entries.get(name, {})
        parts = [entries.get(task, {}) for task in leaves(name, results["group_subtasks"])]
        metrics = [key for key in entry if "," in key and "_stderr," not in key]
        if parts and metrics:
            entry["defined_tasks"] = {key: count_defined(key, parts) for key in metrics}
    return results


def count_defined(key: str, parts: list[Metrics]) -> int:
    """The number of tasks that define a metric."""
    return sum(is_defined(part.get(key)) for part in parts)


def leaves(name: str, members_of: Mapping[str, list[str]]) -> list[str]:
    """The tasks of a group and of the groups in it."""
    found: list[str] = []
    for member in members_of.get(name, []):
        found += leaves(member, members_of) if member in members_of else [member]
    return found
