"""Runs in lm-eval's output folders: which model with which settings scored what, and at what cost.

lm-eval writes `results_<date>.json` and, with `--log_samples`, `samples_<task>_<date>.jsonl` beside it. A run of ours is known by
the `eosbench` block that the adapter puts into the file's `config`, never by a folder or file name; a results file without it is
another model's and serves as a baseline. Runs with equal settings (one fingerprint) are one `Run`, wherever their tasks lie.

Nothing that is found is dropped silently: what cannot be used becomes a `Skipped(path, reason)` and a logged warning, and a
folder with nothing to read is a `ResultsError`. Fields that are needed and missing are named; fields not known are kept.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

from eosbench.errors import ResultsError

logger = logging.getLogger(__name__)

SCHEMA = 1  # of the config block; a file with a higher one was written by a newer eosbench
BASELINE_MARK = "eosbench_baseline"  # names a file of regression.py, which may lie among the results and is no run
_EOS_TASK = re.compile(r"(?P<benchmark>.+)_u(?P<percent>\d{2,3})")
_DATE_IN_NAME = re.compile(r"_(\d{4}-\d\d-\d\dT[\d.-]+)\.json$")
_NAMING = (  # which settings tell runs of one method apart, the first that do
    "method_options", "predictor", "canvas", "rounding", "overflow", "calibration", "backbone", "decoding", "fingerprint",
)  # fmt: skip


@dataclass(frozen=True)
class Skipped:
    """A file, or a part of it, that is not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Score:
    """One aggregated metric: NaN is "not defined here" (value) or "not known" (stderr, the ends of the 95 % interval)."""

    value: float
    stderr: float = nan
    count: int = 0
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class TaskResult:
    """One task of one run. `scores` is keyed by metric, or by "metric,filter" where a task has several filters."""

    task: str
    path: Path
    date: float
    documents: int
    scores: dict[str, Score]
    higher_is_better: dict[str, bool]
    costs: dict[str, float]
    samples: Path | None

    @property
    def benchmark(self) -> str | None:
        """`eos_upper_bound` for the task `eos_upper_bound_u25`; None for a task that does not measure bounds."""
        match = _EOS_TASK.fullmatch(self.task)
        return match["benchmark"] if match and "coverage" in self.scores else None

    @property
    def fraction(self) -> float | None:
        match = _EOS_TASK.fullmatch(self.task)
        return int(match["percent"]) / 100 if match and self.benchmark else None


@dataclass(frozen=True)
class Run:
    """One model with one set of settings: the `eosbench` block as written, None for another model's run (a baseline)."""

    name: str
    fingerprint: str
    model: str
    settings: dict[str, Any] | None
    tasks: dict[str, TaskResult]

    @property
    def method(self) -> str | None:
        return None if self.settings is None else str(self.settings["method"])

    @property
    def backbone(self) -> str:
        return self.model if self.settings is None else str(self.settings["backbone"]["name"])

    @property
    def promise(self) -> float | None:
        """The share of documents that calibration promises to cover, 1 - alpha; None for a run that is not calibrated."""
        calibration = (self.settings or {}).get("calibration")
        alpha = calibration.get("alpha") if isinstance(calibration, dict) else None
        return 1 - float(alpha) if isinstance(alpha, (int, float)) else None

    @property
    def calibration(self) -> str:
        """In words, e.g. "split_conformal alpha=0.05 samples=1000", or "none"."""
        calibration = (self.settings or {}).get("calibration")
        return _in_words(calibration) if calibration else "none"


@dataclass(frozen=True)
class Scan:
    """What a folder holds: runs that can be used, and what cannot."""

    folder: Path
    runs: list[Run]
    skipped: list[Skipped]


class UnusableError(Exception):
    """Why one file is skipped; caught by the readers."""


def read_runs(folder: str | Path) -> list[Run]:
    """Runs below `folder`, sorted by name; what is skipped is logged (`scan` returns it).

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    return scan(folder).runs


def scan(folder: str | Path) -> Scan:
    """Reads every results file below `folder`; of repeated runs (one fingerprint, one task) the newest is used.

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultsError(
            f"no results folder {str(folder)!r}: expected lm-eval's output, made with lm_eval --model varlen_dlm --tasks "
            f"eos_upper_bound --output_path {folder} --log_samples"
        )
    loaded: list[Run] = []
    skipped: list[Skipped] = []
    for path in sorted(folder.rglob("*.json")):
        try:
            run = _load(path)
        except UnusableError as error:
            skipped.append(Skipped(path, str(error)))
        else:
            loaded.extend([run] if run else [])
    used = {task.samples for run in loaded for task in run.tasks.values()}
    for path in sorted(set(folder.rglob("samples_*.jsonl")) - used):
        skipped.append(Skipped(path, "no readable results file of the same date and task lies beside it"))
    runs = _named(_newest(loaded, skipped))
    for item in skipped:
        logger.warning("skipped %s: %s", item.path, item.reason)
    if not runs:
        reasons = "".join(f"\n  {item.path}: {item.reason}" for item in skipped[:20]) or " (it holds no .json file)"
        raise ResultsError(
            f"nothing to read in {str(folder)!r}: looked for results_<date>.json files as lm-eval writes them; make some with "
            f"lm_eval --model varlen_dlm --tasks eos_upper_bound --output_path {folder} --log_samples. What was found:{reasons}"
        )
    return Scan(folder, runs, skipped)


def _load(path: Path) -> Run | None:
    """One results file; None for a file of our own that is no run."""
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
        schema = _need(data, "config.eosbench.schema", int)
        if schema > SCHEMA:
            raise UnusableError(
                f"written by a newer eosbench (config.eosbench.schema {schema}, this one reads {SCHEMA}): update eosbench"
            )
        for field, kind in (("method", str), ("fingerprint", str), ("canvas", int), ("backbone.name", str), ("costs", dict)):
            _need(data, f"config.eosbench.{field}", kind)
    model = str(data.get("model_name") or config.get("model") or "unknown model")
    source = str(data.get("model_source") or config.get("model") or "")
    fingerprint = settings["fingerprint"] if settings else f"{source}:{json.dumps(config.get('model_args'), sort_keys=True)}"
    groups = {name for name, members in _mapping(data, "group_subtasks").items() if members} | set(_mapping(data, "groups"))
    tasks = {name: _task(path, date, data, name) for name in results if name not in groups}
    if not tasks:
        raise UnusableError("field 'results' holds no task")
    return Run("", fingerprint, model, settings, tasks)


def _task(path: Path, date: float, data: dict[str, Any], name: str) -> TaskResult:
    entry = _need(data["results"], name, dict, parent="results")
    filters = {key.split(",", 1)[1] for key in entry if "," in key}
    size = _mapping(_mapping(data, "n-samples"), name).get("effective", entry.get("sample_len"))
    if not isinstance(size, int):
        raise UnusableError(
            f"not a results file of lm-eval: neither 'n-samples.{name}.effective' nor 'results.{name}.sample_len'"
        )
    scores: dict[str, Score] = {}
    for key, value in entry.items():
        metric, comma, filter_name = key.partition(",")
        if not comma or metric.endswith("_stderr") or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue  # lm-eval lets a task report anything; what is no number has no place in a table of numbers
        stderr = entry.get(f"{metric}_stderr,{filter_name}")  # "N/A" where lm-eval has no estimate
        scores[metric if len(filters) == 1 else key] = Score(
            float(value), float(stderr) if isinstance(stderr, (int, float)) else nan, size
        )
    dated = _DATE_IN_NAME.search(path.name)
    samples = path.with_name(f"samples_{name}_{dated[1]}.jsonl") if dated else None
    costs = _mapping(_mapping(_mapping(data["config"], "eosbench"), "costs"), name)
    for field, cost in costs.items():
        if isinstance(cost, bool) or not isinstance(cost, (int, float)):
            raise UnusableError(f"field 'config.eosbench.costs.{name}.{field}' holds {type(cost).__name__}, expected a number")
    better = _mapping(_mapping(data, "higher_is_better"), name)
    return TaskResult(name, path, date, size, scores, better, costs, samples if samples and samples.is_file() else None)


def _mapping(data: dict[str, Any], field: str) -> dict[str, Any]:
    """An optional object: empty where the field is absent or null."""
    value = data.get(field)
    if value is not None and not isinstance(value, dict):
        raise UnusableError(f"field {field!r} holds {type(value).__name__}, expected an object")
    return value or {}


def _need(data: Any, field: str, kind: type | tuple[type, ...], parent: str = "") -> Any:
    """The value at a dotted field, checked."""
    value = data
    for part in field.split(".") if not parent else [field]:
        if not isinstance(value, dict) or part not in value:
            raise UnusableError(f"not a results file of lm-eval: field {f'{parent}.{field}'.strip('.')!r} is missing")
        value = value[part]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UnusableError(f"field {f'{parent}.{field}'.strip('.')!r} holds {type(value).__name__}, which cannot be used there")
    return value


def _newest(runs: list[Run], skipped: list[Skipped]) -> list[Run]:
    """One run per fingerprint, its tasks each from the newest file that has them."""
    merged: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: (next(iter(run.tasks.values())).date, str(next(iter(run.tasks.values())).path))):
        older = merged.get(run.fingerprint)
        for task in run.tasks.values():
            if older and task.task in older.tasks:
                previous = older.tasks[task.task]
                skipped.append(Skipped(previous.path, f"task {task.task}: {task.path} is newer and has the same settings"))
        merged[run.fingerprint] = replace(run, tasks={**(older.tasks if older else {}), **run.tasks})
    return list(merged.values())


def _named(runs: list[Run]) -> list[Run]:
    """Names runs by method; where that is ambiguous, by the first settings that tell them apart."""
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(run.method or run.model, []).append(run)
    named = []
    for base, group in by_method.items():
        settings = [_leaves(run) for run in group]
        names = [base] * len(group)
        for setting in dict.fromkeys(leaf for setting in _NAMING for leaves in settings for leaf in leaves if leaf[0] == setting):
            values = [leaves.get(setting) for leaves in settings]
            if len(set(names)) < len(group) and len(set(values)) > 1:
                label = ".".join(setting).removeprefix("method_options.")
                names = [f"{name} {label}={value}" for name, value in zip(names, values, strict=True)]
        named += [replace(run, name=name) for run, name in zip(group, names, strict=True)]
    return sorted(named, key=lambda run: run.name)


def _leaves(run: Run) -> dict[tuple[str, ...], str]:
    """The settings as text, objects taken apart: {("canvas",): "256", ("calibration", "alpha"): "0.05", ...}."""
    leaves: dict[tuple[str, ...], str] = {}
    for name, value in ((run.settings or {}) | {"fingerprint": run.fingerprint}).items():
        inner = value if isinstance(value, dict) else {None: value}
        leaves |= {(name,) if key is None else (name, str(key)): str(what) for key, what in inner.items()}
    return leaves


def _in_words(mapping: dict[str, Any]) -> str:
    kind = [str(mapping["kind"])] if "kind" in mapping else []
    return " ".join(kind + [f"{key}={value}" for key, value in mapping.items() if key != "kind"])
