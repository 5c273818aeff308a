"""The jobs and the reports of a fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eosbench.backbone import BackboneSpec
from eosbench.errors import ConfigurationError
from eosbench.fitting.train import Training
from eosbench.places import CACHE_REMEDY, check_folder, is_there
from eosbench.predictors import (
    check_step_zero,
    needs_whole_canvas,
    refuse_whole_canvas,
    row_of,
)

logger = logging.getLogger(__name__)

__all__ = ["FitJob", "FitReport", "check_jobs", "check_model", "check_places", "possible_jobs"]


@dataclass(frozen=True)
class FitJob:
    """One predictor to fit.

    Attributes:
        method: a name of METHODS.
        output: the folder of the predictor.
        options: of the method.
        seed: of its weights and training.
    """

    method: str
    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def key(self) -> str:
        """Its name among the jobs of one fit: a method may occur several times, a folder not."""
        return str(self.output)


@dataclass(frozen=True)
class FitReport:
    """The outcome of one job; most of it also stands in config.json of the predictor.

    Attributes:
        job: what was asked for.
        scores: unmasked fraction -> metrics on the calibration documents, see
            eosbench.fitting.calibrate.scores_of.
        training: epochs and held-out loss, where the method has weights.
        train_documents, calibration_documents: how many were used.
        censored: how many of both were left out because their answer exceeds the canvas.
        seconds: from the first pass to the folder, for all predictors that were fitted together.
    """

    job: FitJob
    scores: dict[str, dict[str, float]]
    training: Training | None
    train_documents: int
    calibration_documents: int
    censored: int
    seconds: float


def check_places(jobs: Sequence[FitJob], store: Path | None = None) -> None:
    """Tries the places that a fit will write to, before anything is loaded or computed.

    Args:
        jobs: with the folder of each predictor.
        store: the folder of feature stores, None where there is none.

    Raises:
        ConfigurationError: one of them cannot be written.
    """
    for job in jobs:
        check_folder(job.output.parent, f"--output {job.output}")
        check_folder(job.output, f"--output {job.output}")
    if store is not None:
        remedy = f"say --feature_store none, or {CACHE_REMEDY}"
        check_folder(store.expanduser(), f"the feature store {store}", remedy)


def check_jobs(jobs: Sequence[FitJob]) -> None:
    """Refuses jobs that cannot be done, before anything is computed.

    Raises:
        ConfigurationError: no job, two jobs for one folder, a folder that is a file, an unknown
            method or option, a method that has nothing to fit, or one that cannot read its part of
            the canvas.
        PredictorError: a pretrained encoder that cannot be had.
    """
    folders = [job.key for job in jobs]
    if not jobs or len(set(folders)) != len(folders):
        raise ConfigurationError(
            f"expected at least one predictor to fit, each with a folder of its own, got {folders}"
        )
    for job in jobs:
        if is_there(job.output) and not job.output.is_dir():
            raise ConfigurationError(
                f"{job.output} is a file: expected the name of a folder for the predictor"
            )
        row = row_of(job.method)
        if row.fitting == "none":
            raise ConfigurationError(
                f"method {job.method!r} has nothing to fit: use it without a predictor folder"
            )
        row.check_options(job.method, job.options)
        check = getattr(row.load(), "check", None)
        if check is not None:
            check(job.options)
        check_step_zero(job.method, job.options)


def check_model(jobs: Sequence[FitJob], spec: BackboneSpec) -> None:
    """Refuses methods that look at a whole canvas, on a model that never shows one.

    Args:
        jobs: of a fit.
        spec: of the model.

    Raises:
        ConfigurationError: the first such method, why, and what to take.
    """
    for job in jobs:
        if not _works(job, spec):
            refuse_whole_canvas(job.method, spec)


def possible_jobs(jobs: Sequence[FitJob], spec: BackboneSpec) -> list[FitJob]:
    """The jobs that a model can do, with a warning about the others.

    Args:
        jobs: of a fit of all methods.
        spec: of the model.
    """
    kept = [job for job in jobs if _works(job, spec)]
    left_out = dict.fromkeys(job.method for job in jobs if not _works(job, spec))
    if left_out:
        logger.warning(
            "left out: %s look at the whole canvas, and %s attends causally between blocks",
            ", ".join(left_out),
            spec.family,
        )
    return kept


def _works(job: FitJob, spec: BackboneSpec) -> bool:
    return spec.attention != "block" or not needs_whole_canvas(job.method, job.options)
