"""Names of runs: the method and, where that is ambiguous, the settings that tell runs apart.

A run whose step zero ran a part of the canvas always says so: `classification step_zero=grid:31`.
Models of `eosbench train` are told apart by recipe and seed, and not by their folders:
`smartcrop recipe=hazard training_seed=1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from eosbench.results.run import Run

# The settings that may enter a name, in the order in which they are tried.
_TELLING = (
    "recipe",
    "training_seed",
    "method_options",
    "seed",
    "predictor",
    "canvas",
    "rounding",
    "window_rounding",
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

_STEP_ZERO = ("method_options", "step_zero")
_SEEDS = ("seed", "training_seed")
# What is left out of the name of a run that does not tell it.
_UNTOLD = ("recipe", *_SEEDS)

# A setting, or one entry of a setting that is an object: ("canvas",), ("calibration", "alpha").
Leaf = tuple[str, ...]


def named(runs: Iterable[Run]) -> list[Run]:
    """The runs, each with its name, sorted by it: `logit`, or `logit canvas=512`.

    Where several runs share a method, the first settings that tell them apart follow it.
    """
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(run.method or run.model, []).append(run)
    made: list[Run] = []
    for method, group in by_method.items():
        names = _names(method, [_leaves(run) for run in group])
        made += [replace(run, name=name) for run, name in zip(group, names, strict=True)]
    return sorted(made, key=lambda run: run.name)


def _names(method: str, settings: Sequence[dict[Leaf, str]]) -> list[str]:
    """One name per run of a method; a setting enters where it tells more runs apart."""
    views = [leaves.get(_STEP_ZERO, "full") for leaves in settings]
    names = [method if view == "full" else f"{method} step_zero={view}" for view in views]
    for leaf in dict.fromkeys(_telling(settings)):
        values = [leaves.get(leaf) for leaves in settings]
        longer = _lengthened(names, ".".join(leaf).removeprefix("method_options."), values)
        if len(set(longer)) > len(set(names)):
            names = longer
    return names


def _telling(settings: Sequence[dict[Leaf, str]]) -> Iterator[Leaf]:
    """The settings of all runs that may enter a name, in the order in which they are tried."""
    for setting in _TELLING:
        for leaves in settings:
            yield from (leaf for leaf in leaves if leaf[0] == setting)


def _lengthened(names: Sequence[str], label: str, values: Sequence[str | None]) -> list[str]:
    """The names, each followed by its run's value of one setting.

    A seed that only some runs tell is nothing that they differ in. Neither it nor a recipe is said
    of a run that does not tell it.
    """
    if label in _SEEDS and len(set(values) - {None}) < 2:
        return list(names)
    longer = []
    for name, value in zip(names, values, strict=True):
        untold = label in _UNTOLD and value is None
        longer.append(name if untold else f"{name} {label}={value}")
    return longer


def _leaves(run: Run) -> dict[Leaf, str]:
    """The settings as text: {("canvas",): "256", ("calibration", "alpha"): "0.05", ...}."""
    leaves: dict[Leaf, str] = {}
    told = {
        "recipe": run.recipe,
        "training_seed": run.training_seed,
        "seed": run.predictor_seed,
    }
    leaves |= {(name,): str(value) for name, value in told.items() if value is not None}
    settings = (run.settings or {}) | run.asked | {"fingerprint": run.fingerprint}
    for name, value in settings.items():
        if isinstance(value, dict):
            leaves |= {(name, str(inner)): str(what) for inner, what in value.items()}
        else:
            leaves[(name,)] = str(value)
    return leaves
