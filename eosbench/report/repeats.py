"""Repeats of one method: runs that differ in nothing but the seeds of predictor and training."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eosbench.report.evidence import in_order
from eosbench.results import Run, named

logger = logging.getLogger(__name__)

# Fields of the `eosbench` block that no setting is in: what a run ran on, where, and its costs.
NOT_COMPARED = ("version", "predictor", "fingerprint", "costs")


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in the seeds of their predictor and of their backbone's training alone.

    Attributes:
        run: what they share, under a name without the seed.
        members: the runs, by seed.
    """

    run: Run
    members: list[Run]


def seed_groups(runs: Iterable[Run]) -> list[SeedGroup]:
    """Every run of ours in one group, in the order of the tables; baselines are left out.

    A run without repeats is alone in its group.
    """
    by_recipe: dict[str, list[Run]] = {}
    for run in runs:
        if run.settings is not None:
            by_recipe.setdefault(_recipe(run), []).append(run)
    joined: dict[str, list[Run]] = {}
    for members in by_recipe.values():
        for group in _divided(members):
            joined[group[0].fingerprint] = group
    shared = in_order(named(map(_shared, joined.values())))
    return [SeedGroup(run, joined[run.fingerprint]) for run in shared]


def _divided(members: list[Run]) -> list[list[Run]]:
    """The runs of one recipe as one group by seed, or each alone where they are no repeats."""
    obstacle = _obstacle(members)
    if obstacle is None:
        return [sorted(members, key=lambda run: tuple(seed or 0 for seed in run.seeds))]
    names = ", ".join(sorted(run.name for run in members))
    logger.warning(
        "not joined across seeds, since of runs with equal settings %s: %s", obstacle, names
    )
    return [[run] for run in members]


def _recipe(run: Run) -> str:
    """All settings that repeats share; a run whose seed is not known is like no other."""
    if run.settings is None or run.seeds == (None, None):
        return run.fingerprint
    facts = {name: value for name, value in run.settings.items() if name not in NOT_COMPARED}
    facts["asked"] = run.asked
    facts["predictor_fit"] = _without(facts.get("predictor_fit") or {}, "seed")
    if "fingerprint" in facts["backbone"]:
        # One model may lie in several places.
        facts["backbone"] = _without(facts["backbone"], "name")
    if run.training_seed is not None:
        # Trained by one recipe on the same documents from the same start.
        trained = _without(facts["backbone"], "training_seed")
        facts["backbone"] = _without(trained, "fingerprint")
    return json.dumps(facts, sort_keys=True, default=str)


def _obstacle(members: Sequence[Run]) -> str | None:
    """Says why runs of one recipe are no repeats of each other; None where they are."""
    if len({run.seeds for run in members}) < len(members):
        return "two have one seed"
    shots: dict[str, set[str | None]] = {}
    for run in members:
        for task in run.tasks.values():
            shots.setdefault(task.task, set()).add(task.shots)
    if any(len(numbers) > 1 for numbers in shots.values()):
        return "one task has several numbers of examples"
    return None


def _shared(members: Sequence[Run]) -> Run:
    """The first of the runs, without those of its settings that the others do not share."""
    first = members[0]
    if len(members) == 1 or first.settings is None:
        return first
    folders = [str((run.settings or {}).get("predictor")) for run in members]
    shared = {
        "predictor": _pattern(folders),
        "predictor_fit": _without(first.settings.get("predictor_fit") or {}, "seed"),
    }
    if first.training_seed is not None:
        names = [str((run.settings or {})["backbone"].get("name")) for run in members]
        backbone = {**first.settings["backbone"], "name": _pattern(names)}
        shared["backbone"] = _without(backbone, "training_seed")
    return replace(first, settings={**first.settings, **shared})


def _pattern(folders: Sequence[str]) -> str:
    """One name for several folders, with a star for each part that differs.

    >>> _pattern(["heads/seed-0/logit", "heads/seed-1/logit"])
    'heads/*/logit'
    """
    parts = [folder.split("/") for folder in folders]
    if len({len(one) for one in parts}) > 1:
        return ", ".join(folders)
    return "/".join(names[0] if len(set(names)) == 1 else "*" for names in zip(*parts, strict=True))


def _without(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}
