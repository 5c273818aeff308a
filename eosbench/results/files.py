"""One results file of lm-eval, read as a `Run`.

A run of ours is known by the `eosbench` block that the adapter puts into the file's `config`
(block.py), never by the name of a folder or a file; a results file without the block is another
model's and serves as a baseline. A field that is needed and missing is named; a field that is not
known is kept. runs.py says which files belong together.
"""

from __future__ import annotations

import json
import re
from math import nan
from pathlib import Path
from typing import Any

from eosbench.results.block import BLOCK_SCHEMA, LATER_FIELDS, REQUIRED_FIELDS
from eosbench.results.run import Run, Score, TaskResult

# The field that marks a baseline file of eosbench/check, which may lie among the results.
BASELINE_MARK = "eosbench_baseline"
_DATE_IN_NAME = re.compile(r"_(\d{4}-\d\d-\d\dT[\d.-]+)\.json$")


class UnusableError(Exception):
    """Says why one file is skipped; the readers of whole folders catch it."""


def load_run(path: Path) -> Run | None:
    """The run of one results file, without a name; None for a baseline file of `eosbench check`.

    Raises:
        UnusableError: the file is cut off, foreign or of a newer version, or a field that is
            needed is missing or of another kind.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableError(f"not readable as JSON ({error}): a run that was cut off?") from error
    if isinstance(data, dict) and BASELINE_MARK in data:
        return None
    results, config = _need(data, "results", dict), _need(data, "config", dict)
    date = float(_need(data, "date", (int, float)))
    settings = config.get("eosbench")
    if settings is not None:
        _check_block(data)
        _complete_block(settings)
        fingerprint = settings["fingerprint"]
    else:
        source = str(data.get("model_source") or config.get("model") or "")
        fingerprint = f"{source}:{json.dumps(config.get('model_args'), sort_keys=True)}"
    members_of = _mapping(data, "group_subtasks")
    groups = {name for name, members in members_of.items() if members}
    groups |= set(_mapping(data, "groups"))
    tasks = {name: _task(path, date, data, name) for name in results if name not in groups}
    if not tasks:
        raise UnusableError("field 'results' holds no task")
    model = str(data.get("model_name") or config.get("model") or "unknown model")
    return Run("", fingerprint, model, settings, tasks).asked_with(_asked(data))


def _check_block(data: dict[str, Any]) -> None:
    """Refuses an `eosbench` block of a newer version, or without a field that is needed."""
    schema = _need(data, "config.eosbench.schema", int)
    if schema > BLOCK_SCHEMA:
        raise UnusableError(
            f"written by a newer eosbench (config.eosbench.schema {schema}, this one reads "
            f"{BLOCK_SCHEMA}): update eosbench"
        )
    for field, kind in REQUIRED_FIELDS.items():
        _need(data, f"config.eosbench.{field}", kind)


def _complete_block(settings: dict[str, Any]) -> None:
    """Fills in the fields that the version that wrote the block did not know."""
    for field, value in LATER_FIELDS.items():
        *parents, name = field.split(".")
        entry = settings
        for parent in parents:
            entry = entry[parent]
        entry.setdefault(name, value)


def _asked(data: dict[str, Any]) -> dict[str, Any]:
    """The changes that lm-eval made to every request of a file, as `Run.asked` has them."""
    asked: dict[str, Any] = {}
    for name in ("chat_template", "system_instruction"):
        digest = data.get(f"{name}_sha")
        if digest:
            asked[name] = str(digest)[:8]
    if data["config"].get("gen_kwargs"):
        asked["gen_kwargs"] = data["config"]["gen_kwargs"]
    return asked


def _shots(data: dict[str, Any], task: str) -> str | None:
    """The number of examples in a task's prompts, as `TaskResult.shots` has it.

    In a chat lm-eval gives each example a turn of its own unless it was told not to.
    """
    count = _mapping(data, "n-shot").get(task)
    if count is None:
        return None
    chat, turns = data.get("chat_template_sha"), data.get("fewshot_as_multiturn")
    return f"{count} in one turn" if count and chat and turns is False else str(count)


def _task(path: Path, date: float, data: dict[str, Any], name: str) -> TaskResult:
    """The results of one task in a results file."""
    entry = _need(data["results"], name, dict, parent="results")
    size = _mapping(_mapping(data, "n-samples"), name).get("effective", entry.get("sample_len"))
    if not isinstance(size, int):
        raise UnusableError(
            f"not a results file of lm-eval: neither 'n-samples.{name}.effective' nor "
            f"'results.{name}.sample_len'"
        )
    costs = _mapping(_mapping(_mapping(data["config"], "eosbench"), "costs"), name)
    for cost_name, cost in costs.items():
        if not _is_number(cost):
            raise UnusableError(
                f"field 'config.eosbench.costs.{name}.{cost_name}' holds {type(cost).__name__}, "
                "expected a number"
            )
    kind = _mapping(_mapping(data, "configs"), name).get("output_type")
    dated = _DATE_IN_NAME.search(path.name)
    samples = path.with_name(f"samples_{name}_{dated[1]}.jsonl") if dated else None
    return TaskResult(
        task=name,
        path=path,
        date=date,
        documents=size,
        scores=_scores(entry, size),
        higher_is_better=_mapping(_mapping(data, "higher_is_better"), name),
        costs=costs,
        samples=samples if samples and samples.is_file() else None,
        shots=_shots(data, name),
        output_type=None if kind is None else str(kind),
    )


def _scores(entry: dict[str, Any], size: int) -> dict[str, Score]:
    """The numbers of a task, keyed by metric, or by "metric,filter" under several filters.

    lm-eval lets a task report anything; what is no number has no place in a table of numbers.
    """
    filters = {key.split(",", 1)[1] for key in entry if "," in key}
    scores: dict[str, Score] = {}
    for key, value in entry.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        if value is None:  # not defined here: JSON has no NaN
            value = nan
        if not _is_number(value):
            continue
        stderr = entry.get(f"{metric}_stderr,{filter_name}")  # "N/A" where lm-eval has no estimate
        stderr = float(stderr) if isinstance(stderr, (int, float)) else nan
        scores[metric if len(filters) == 1 else key] = Score(float(value), stderr, size)
    return scores


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _mapping(data: dict[str, Any], field: str) -> dict[str, Any]:
    """An optional object: empty where the field is absent or null."""
    value = data.get(field)
    if value is not None and not isinstance(value, dict):
        raise UnusableError(f"field {field!r} holds {type(value).__name__}, expected an object")
    return value or {}


def _need(data: Any, field: str, kind: type | tuple[type, ...], parent: str = "") -> Any:
    """The value at a dotted field, of the kind expected; below `parent` the dots are no path."""
    value = data
    where = f"{parent}.{field}".strip(".")
    for part in [field] if parent else field.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UnusableError(f"not a results file of lm-eval: field {where!r} is missing")
        value = value[part]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UnusableError(
            f"field {where!r} holds {type(value).__name__}, which cannot be used there"
        )
    return value
