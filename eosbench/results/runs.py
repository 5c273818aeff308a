"""Runs in lm-eval's output folders: which model with which settings scored what, and at what cost.

lm-eval writes `results_<date>.json` and, with `--log_samples`, `samples_<task>_<date>.jsonl` beside
it; run_files.py reads them. Runs with equal settings (one fingerprint) are one `Run`, wherever
their tasks lie. Few-shot examples are a task's own setting, so they divide such a run only where
one of its tasks was run with several numbers of them: then by that number.

Nothing that is found is dropped silently: what cannot be used becomes a `Skipped(path, reason)` and
a logged warning, and a folder with nothing to read is a `ResultsError`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from eosbench.errors import ResultsError
from eosbench.results.files import Run, UnusableError, load_run, with_asked

logger = logging.getLogger(__name__)

_NAMING = (  # which settings tell runs of one method apart, the first that do
    "method_options",
    "seed",
    "predictor",
    "canvas",
    "rounding",
    "overflow",
    "calibration",
    "backbone",
    "decoding",
    "chat_template",
    "system_instruction",
    "gen_kwargs",
    "num_fewshot",
    "fingerprint",
)


@dataclass(frozen=True)
class Skipped:
    """A file, or a part of it, that is not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a folder holds: runs that can be used, and what cannot."""

    folder: Path
    runs: list[Run]
    skipped: list[Skipped]


def read_runs(folder: str | Path) -> list[Run]:
    """Runs below `folder`, sorted by name; what is skipped is logged (`scan` returns it).

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    return scan(folder).runs


def scan(folder: str | Path) -> Scan:
    """Reads every results file below `folder`; of repeated runs (one fingerprint, one task) the
    newest is used.

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
            run = load_run(path)
        except UnusableError as error:
            skipped.append(Skipped(path, str(error)))
        else:
            loaded.extend([run] if run else [])
    used = {task.samples for run in loaded for task in run.tasks.values()}
    for path in sorted(set(folder.rglob("samples_*.jsonl")) - used):
        skipped.append(
            Skipped(path, "no readable results file of the same date and task lies beside it")
        )
    runs = named(_newest(_by_shots(loaded), skipped))
    for item in skipped:
        logger.warning("skipped %s: %s", item.path, item.reason)
    if not runs:
        reasons = (
            "".join(f"\n  {item.path}: {item.reason}" for item in skipped[:20])
            or " (it holds no .json file)"
        )
        raise ResultsError(
            f"nothing to read in {str(folder)!r}: looked for results_<date>.json files as lm-eval writes them; make some with "
            f"lm_eval --model varlen_dlm --tasks eos_upper_bound --output_path {folder} --log_samples. What was found:{reasons}"
        )
    return Scan(folder, runs, skipped)


def _by_shots(runs: list[Run]) -> list[Run]:
    """The runs, each divided by number of examples where the runs of its fingerprint disagree about
    that of a task.
    """
    numbers: dict[tuple[str, str], set[str | None]] = {}
    for run in runs:
        for task in run.tasks.values():
            numbers.setdefault((run.fingerprint, task.task), set()).add(task.shots)
    several = {fingerprint for (fingerprint, _), shots in numbers.items() if len(shots) > 1}
    divided: list[Run] = []
    for run in runs:
        if run.fingerprint not in several:
            divided.append(run)
            continue
        for shots in dict.fromkeys(task.shots for task in run.tasks.values()):
            tasks = {name: task for name, task in run.tasks.items() if task.shots == shots}
            divided.append(
                with_asked(replace(run, tasks=tasks), {"num_fewshot": shots or "unknown"})
            )
    return divided


def _newest(runs: list[Run], skipped: list[Skipped]) -> list[Run]:
    """One run per fingerprint, its tasks each from the newest file that has them."""
    merged: dict[str, Run] = {}
    repeated: dict[tuple[Path, Path, str], list[str]] = {}
    for run in sorted(
        runs,
        key=lambda run: (
            next(iter(run.tasks.values())).date,
            str(next(iter(run.tasks.values())).path),
        ),
    ):
        older = merged.get(run.fingerprint)
        for task in run.tasks.values():
            if older and task.task in older.tasks:
                previous = older.tasks[task.task]
                fewer = f", of {task.documents} documents instead of {previous.documents}"
                fewer = fewer if task.documents < previous.documents else ""
                repeated.setdefault((previous.path, task.path, fewer), []).append(task.task)
        merged[run.fingerprint] = replace(
            run, tasks={**(older.tasks if older else {}), **run.tasks}
        )
    for (path, newer, fewer), tasks in repeated.items():
        skipped.append(
            Skipped(path, f"{', '.join(tasks)}: {newer} is newer and has the same settings{fewer}")
        )
    return list(merged.values())


def named(runs: Iterable[Run]) -> list[Run]:
    """The runs, sorted by their names: the method, and where that is ambiguous the first settings
    that tell them apart.
    """
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(run.method or run.model, []).append(run)
    made = []
    for base, group in by_method.items():
        settings = [_leaves(run) for run in group]
        names = [base] * len(group)
        for setting in dict.fromkeys(
            leaf
            for setting in _NAMING
            for leaves in settings
            for leaf in leaves
            if leaf[0] == setting
        ):
            values = [leaves.get(setting) for leaves in settings]
            label = ".".join(setting).removeprefix("method_options.")
            longer = [f"{name} {label}={value}" for name, value in zip(names, values, strict=True)]
            if label == "seed":
                # Known of some runs only, it is nothing that they differ in.
                if len(set(values) - {None}) < 2:
                    continue
                longer = [
                    name if value is None else one
                    for one, name, value in zip(longer, names, values, strict=True)
                ]
            if len(set(longer)) > len(set(names)):
                names = longer
        made += [replace(run, name=name) for run, name in zip(group, names, strict=True)]
    return sorted(made, key=lambda run: run.name)


def _leaves(run: Run) -> dict[tuple[str, ...], str]:
    """The settings as text, objects taken apart: {("canvas",): "256", ("calibration", "alpha"):
    "0.05", ...}.
    """
    leaves: dict[tuple[str, ...], str] = (
        {} if run.predictor_seed is None else {("seed",): str(run.predictor_seed)}
    )
    for name, value in (
        (run.settings or {}) | run.asked | {"fingerprint": run.fingerprint}
    ).items():
        inner = value if isinstance(value, dict) else {None: value}
        leaves |= {
            (name,) if key is None else (name, str(key)): str(what) for key, what in inner.items()
        }
    return leaves
