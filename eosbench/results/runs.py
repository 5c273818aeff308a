"""The runs of a folder: which model with which settings scored what, and at what cost.

lm-eval writes `results_<date>.json` and, with `--log_samples`, `samples_<task>_<date>.jsonl`
beside it. files.py reads the former, samples.py the latter. Runs with equal settings (one
fingerprint) are one `Run`, wherever their tasks lie. Few-shot examples are a task's own setting,
so they divide such a run only where one of its tasks was run with several numbers of them: then
by that number.

Nothing that is found is dropped silently: what cannot be used becomes a `Skipped(path, reason)`
and a logged warning, and a folder with nothing to read is a `ResultsError`.
"""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from eosbench.errors import ResultsError
from eosbench.places import is_there
from eosbench.results.files import UnusableError, load_run
from eosbench.results.naming import named
from eosbench.results.run import Run, TaskResult

logger = logging.getLogger(__name__)

REASONS_SHOWN = 20  # of an error that says why nothing in a folder can be read


@dataclass(frozen=True)
class Skipped:
    """A file, or a part of it, that is not used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """The runs of a folder that can be used, and what cannot."""

    folder: Path
    runs: list[Run]
    skipped: list[Skipped]


def read_runs(folder: str | Path) -> list[Run]:
    """The runs below `folder`, sorted by name; what is skipped is logged (`scan` returns it).

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    return scan(folder).runs


def scan(folder: str | Path) -> Scan:
    """Every run below `folder`; of a task that was run twice (one fingerprint) the newest.

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    folder = Path(folder)
    command = (
        "lm_eval --model varlen_dlm --tasks eos_upper_bound "
        f"--output_path {shlex.quote(str(folder))} --log_samples"
    )
    if not (is_there(folder) and folder.is_dir()):
        raise ResultsError(
            f"no results folder {str(folder)!r}: expected lm-eval's output, made with {command}"
        )
    loaded, skipped = _load(folder)
    runs = named(_newest(_by_shots(loaded), skipped))
    for item in skipped:
        logger.warning("skipped %s: %s", item.path, item.reason)
    if not runs:
        shown = [f"\n  {item.path}: {item.reason}" for item in skipped[:REASONS_SHOWN]]
        reasons = "".join(shown) or " (it holds no .json file)"
        raise ResultsError(
            f"nothing to read in {str(folder)!r}: looked for results_<date>.json files as lm-eval "
            f"writes them; make some with {command}. What was found:{reasons}"
        )
    return Scan(folder, runs, skipped)


def _load(folder: Path) -> tuple[list[Run], list[Skipped]]:
    """One run per results file below `folder`, and the files that cannot be used."""
    loaded: list[Run] = []
    skipped: list[Skipped] = []
    for path in sorted(folder.rglob("*.json")):
        try:
            run = load_run(path)
        except UnusableError as error:
            skipped.append(Skipped(path, str(error)))
        else:
            loaded.extend([run] if run else [])
    used: set[Path | None] = set()
    for run in loaded:
        used.update(task.samples for task in run.tasks.values())
    reason = "no readable results file of the same date and task lies beside it"
    orphans = sorted(set(folder.rglob("samples_*.jsonl")) - used)
    return loaded, skipped + [Skipped(path, reason) for path in orphans]


def _by_shots(runs: list[Run]) -> list[Run]:
    """The runs, divided by number of examples where those of one fingerprint disagree about it."""
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
            part = replace(run, tasks=tasks)
            divided.append(part.asked_with({"num_fewshot": shots or "unknown"}))
    return divided


def _newest(runs: list[Run], skipped: list[Skipped]) -> list[Run]:
    """One run per fingerprint, each task from the newest file that has it.

    An older file of a task is added to `skipped`.
    """
    merged: dict[str, Run] = {}
    repeated: dict[tuple[Path, Path, str], list[str]] = {}
    for run in sorted(runs, key=_age):
        older = merged[run.fingerprint].tasks if run.fingerprint in merged else {}
        for task in run.tasks.values():
            if task.task in older:
                previous = older[task.task]
                key = (previous.path, task.path, _fewer(task, previous))
                repeated.setdefault(key, []).append(task.task)
        merged[run.fingerprint] = replace(run, tasks={**older, **run.tasks})
    for (path, newer, fewer), tasks in repeated.items():
        reason = f"{', '.join(tasks)}: {newer} is newer and has the same settings{fewer}"
        skipped.append(Skipped(path, reason))
    return list(merged.values())


def _age(run: Run) -> tuple[float, str]:
    """The key that sorts runs of single files from old to new."""
    task = next(iter(run.tasks.values()))
    return task.date, str(task.path)


def _fewer(task: TaskResult, previous: TaskResult) -> str:
    """A clause for a newer result on fewer documents; empty for one on as many or more."""
    if task.documents >= previous.documents:
        return ""
    return f", of {task.documents} documents instead of {previous.documents}"
