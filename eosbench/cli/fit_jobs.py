"""The predictors that `eosbench fit` is asked for: a job for each seed of each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from eosbench.cli.shared import names, text_pairs
from eosbench.errors import ConfigurationError

if TYPE_CHECKING:
    from eosbench.canvas_view import CanvasView
    from eosbench.fitting import FitJob

__all__ = ["asked_jobs", "asked_seeds"]


def asked_jobs(
    method: str,
    output: Path,
    seeds: Sequence[int],
    options: list[str],
    views: Sequence[CanvasView],
) -> list[FitJob]:
    """A job for each seed of each method that --method names.

    A method that reads the model has one for each part of the canvas.

    Args:
        method, output, options: as on the command line.
        seeds: those that --seed names.
        views: the parts of the canvas that --step_zero names.

    Raises:
        ConfigurationError: a method or an option that there is not, or --step_zero without a use.
    """
    from eosbench.canvas_view import FULL
    from eosbench.fitting import FitJob
    from eosbench.predictors import METHODS, STEP_ZERO, folder_name
    from eosbench.sweep import chosen_methods
    from model_adapters.varlen_dlm import method_options

    methods = chosen_methods(method, METHODS)
    if method == "all":
        methods = [name for name in methods if METHODS[name].fitting != "none"]
    given, said = text_pairs(options), ",".join(map(str, views))
    is_asked = said != str(FULL)
    if is_asked and not any(METHODS[name].needs for name in methods):
        raise ConfigurationError(
            f"--step_zero {said}: {', '.join(methods)} reads nothing of the model: leave it out"
        )
    if is_asked and STEP_ZERO in given:
        raise ConfigurationError(
            f"--step_zero {said} beside --option {STEP_ZERO}={given[STEP_ZERO]}: leave one out"
        )
    jobs = []
    for name in methods:
        own = method_options(name, given)
        for view in views if METHODS[name].needs else [FULL]:
            shown = own if view == FULL else {**own, STEP_ZERO: str(view)}
            jobs.append(FitJob(name, Path(folder_name(name, view)), shown))
    return [
        replace(job, output=_folder(output, job.output, seed, len(jobs), len(seeds)), seed=seed)
        for seed in seeds
        for job in jobs
    ]


def asked_seeds(text: str) -> list[int]:
    """The seeds that --seed names.

    Raises:
        ConfigurationError: something else than whole numbers with commas.

    >>> asked_seeds("0,1,2")
    [0, 1, 2]
    """
    if not names(text) or not all(name.isdigit() for name in names(text)):
        raise ConfigurationError(f"--seed {text}: expected whole numbers with commas")
    return [int(name) for name in names(text)]


def _folder(output: Path, own: Path, seed: int, several: int, seeds: int) -> Path:
    """The folder of one predictor, below --output where there are several of a seed, or seeds.

    >>> str(_folder(Path("heads"), Path("logit"), 1, several=2, seeds=3))
    'heads/seed-1/logit'
    """
    folder = output / f"seed-{seed}" if seeds > 1 else output
    return folder / own if several > 1 else folder
