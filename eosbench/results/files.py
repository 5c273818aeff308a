"""One results file of lm-eval as a `Run`: what was scored, with which settings, at what cost, and
how lm-eval asked.

A run of ours is known by the `eosbench` block that the adapter puts into the file's `config`,
never by a folder or file name; a results file without it is another model's and serves as a
baseline. Fields that are needed and missing are named; fields not known are kept. Which files
belong together is said in runs.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from typing import Any

from eosbench.digest import digest_of_json

SCHEMA = 1  # of the config block; a file with a higher one was written by a newer eosbench
# Names a file of regression.py, which may lie among the results and is no run.
BASELINE_MARK = "eosbench_baseline"
_EOS_TASK = re.compile(r"(?P<benchmark>.+)_u(?P<percent>\d{2,3})")
_DATE_IN_NAME = re.compile(r"_(\d{4}-\d\d-\d\dT[\d.-]+)\.json$")


@dataclass(frozen=True)
class Score:
    """One aggregated metric: NaN is "not defined here" (value) or "not known" (stderr, the ends of
    the 95 % interval). Where runs
    are joined across seeds `spread` is their standard deviation."""

    value: float
    stderr: float = nan
    count: int = 0
    low: float = nan
    high: float = nan
    spread: float = nan


@dataclass(frozen=True)
class TaskResult:
    """One task of one run.

    `scores` is keyed by metric, or by "metric,filter" where a task has several filters. `shots`
    counts the examples in each prompt, "5" or, in a single turn of a chat, "5 in one turn"; None
    where the file does not say.
    """

    task: str
    path: Path
    date: float
    documents: int
    scores: dict[str, Score]
    higher_is_better: dict[str, bool]
    costs: dict[str, float]
    samples: Path | None
    shots: str | None = None

    @property
    def benchmark(self) -> str | None:
        """`eos_upper_bound` for the task `eos_upper_bound_u25`; None for a task that does not
        measure bounds.
        """
        match = _EOS_TASK.fullmatch(self.task)
        return match["benchmark"] if match and "coverage" in self.scores else None

    @property
    def fraction(self) -> float | None:
        match = _EOS_TASK.fullmatch(self.task)
        return int(match["percent"]) / 100 if match and self.benchmark else None


@dataclass(frozen=True)
class Run:
    """One model with one set of settings: the `eosbench` block as written, None for another model's
    run (a baseline).

    `asked` is what lm-eval changed of the requests: `chat_template` and `system_instruction` (the
    start of their hashes) and `gen_kwargs`, each where there is one; `num_fewshot` where a task ran
    with several (runs.py). It is part of the fingerprint.
    """

    name: str
    fingerprint: str
    model: str
    settings: dict[str, Any] | None
    tasks: dict[str, TaskResult]
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str | None:
        return None if self.settings is None else str(self.settings["method"])

    @property
    def backbone(self) -> str:
        return self.model if self.settings is None else str(self.settings["backbone"]["name"])

    @property
    def predictor_seed(self) -> int | None:
        """The seed that the predictor's weights were trained with; None for one without weights, or
        where it is not known.
        """
        fit = (self.settings or {}).get("predictor_fit")
        seed = fit.get("seed") if isinstance(fit, dict) else None
        return seed if isinstance(seed, int) and not isinstance(seed, bool) else None

    @property
    def promise(self) -> float | None:
        """The share of documents that calibration promises to cover, 1 - alpha; None for a run that
        is not calibrated.
        """
        calibration = (self.settings or {}).get("calibration")
        alpha = calibration.get("alpha") if isinstance(calibration, dict) else None
        return 1 - float(alpha) if isinstance(alpha, (int, float)) else None

    @property
    def calibration(self) -> str:
        """In words, e.g. "split_conformal alpha=0.05 samples=1000", or "none"."""
        calibration = (self.settings or {}).get("calibration")
        return _in_words(calibration) if calibration else "none"


class UnusableError(Exception):
    """Why one file is skipped; caught by the readers."""


def load_run(path: Path) -> Run | None:
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
        for field, kind in (
            ("method", str),
            ("fingerprint", str),
            ("canvas", int),
            ("backbone.name", str),
            ("costs", dict),
        ):
            _need(data, f"config.eosbench.{field}", kind)
    model = str(data.get("model_name") or config.get("model") or "unknown model")
    source = str(data.get("model_source") or config.get("model") or "")
    fingerprint = (
        settings["fingerprint"]
        if settings
        else f"{source}:{json.dumps(config.get('model_args'), sort_keys=True)}"
    )
    asked = _asked(data)
    groups = {name for name, members in _mapping(data, "group_subtasks").items() if members} | set(
        _mapping(data, "groups")
    )
    tasks = {name: _task(path, date, data, name) for name in results if name not in groups}
    if not tasks:
        raise UnusableError("field 'results' holds no task")
    return with_asked(Run("", fingerprint, model, settings, tasks), asked)


def with_asked(run: Run, asked: dict[str, Any]) -> Run:
    """The run that these requests make of it: with another fingerprint, unless there is nothing to
    say of them.
    """
    if not asked:
        return run
    digest = digest_of_json(asked, digits=8)
    return replace(run, fingerprint=f"{run.fingerprint}-{digest}", asked={**run.asked, **asked})


def _asked(data: dict[str, Any]) -> dict[str, Any]:
    """What lm-eval changed of every request of a file; see `Run`."""
    hashes = {
        name: data.get(f"{name}_sha") or "" for name in ("chat_template", "system_instruction")
    }
    asked: dict[str, Any] = {name: str(digest)[:8] for name, digest in hashes.items() if digest}
    given = data["config"].get("gen_kwargs")
    return asked | ({"gen_kwargs": given} if given else {})


def _shots(data: dict[str, Any], task: str) -> str | None:
    """How many examples a task's prompts hold; lm-eval gives each a turn of its own in a chat
    unless it was told not to.
    """
    count = _mapping(data, "n-shot").get(task)
    one_turn = count and data.get("chat_template_sha") and data.get("fewshot_as_multiturn") is False
    return None if count is None else f"{count} in one turn" if one_turn else str(count)


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
        if (
            not comma
            or metric.endswith("_stderr")
            or isinstance(value, bool)
            or not isinstance(value, (int, float))
        ):
            # Lm-eval lets a task report anything; what is no number has no place in a table of
            # numbers.
            continue
        stderr = entry.get(f"{metric}_stderr,{filter_name}")  # "N/A" where lm-eval has no estimate
        scores[metric if len(filters) == 1 else key] = Score(
            float(value), float(stderr) if isinstance(stderr, (int, float)) else nan, size
        )
    dated = _DATE_IN_NAME.search(path.name)
    samples = path.with_name(f"samples_{name}_{dated[1]}.jsonl") if dated else None
    costs = _mapping(_mapping(_mapping(data["config"], "eosbench"), "costs"), name)
    for cost_name, cost in costs.items():
        if isinstance(cost, bool) or not isinstance(cost, (int, float)):
            raise UnusableError(
                f"field 'config.eosbench.costs.{name}.{cost_name}' holds {type(cost).__name__}, expected a number"
            )
    better = _mapping(_mapping(data, "higher_is_better"), name)
    samples = samples if samples and samples.is_file() else None
    return TaskResult(name, path, date, size, scores, better, costs, samples, _shots(data, name))


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
            raise UnusableError(
                f"not a results file of lm-eval: field {f'{parent}.{field}'.strip('.')!r} is missing"
            )
        value = value[part]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UnusableError(
            f"field {f'{parent}.{field}'.strip('.')!r} holds {type(value).__name__}, which cannot be used there"
        )
    return value


def _in_words(mapping: dict[str, Any]) -> str:
    kind = [str(mapping["kind"])] if "kind" in mapping else []
    return " ".join(kind + [f"{key}={value}" for key, value in mapping.items() if key != "kind"])
