"""`eosbench fit`: from documents to a folder with a fitted and calibrated length predictor.

Every method goes the same way: step zero over the training documents (one pass for all methods, each document at one unmasked
fraction), training where a method has weights, step zero over the calibration documents at every fraction (again one pass for
all), scores, folder. The backbone stays as it is.

    train, calibration = load_examples("instruct:train", backbone), load_examples("instruct:calibration", backbone)
    fit_predictor("classification", backbone=backbone, train=train, calibration=calibration, output=Path("heads/cls"), canvas=256)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from eosbench.backbone import Backbone
from eosbench.bounds import Calibration, Scale, fewest_scores
from eosbench.errors import CalibrationError, ConfigurationError
from eosbench.fitting.calibrate import Lengths, calibrate, predicted_lengths
from eosbench.fitting.data import Example, data_digest, within
from eosbench.fitting.features import extract, one_fraction_each
from eosbench.fitting.train import Training, train_weights
from eosbench.predictors import build, method_class
from eosbench.predictors.folder import save_folder
from eosbench.predictors.protocol import FittedPredictor, LearnedPredictor, LengthsPredictor, Predictor
from eosbench.reveal import FRACTIONS

logger = logging.getLogger(__name__)
USUAL_ALPHA = 0.05


@dataclass(frozen=True)
class FitReport:
    """What a fit did; also written into the predictor's config.json.

    Attributes:
        method, output: what was fitted, and where it lies.
        rmse: per unmasked fraction, of the uncalibrated prediction on the calibration documents (which trained nothing).
        training: epochs and held-out loss, where the method has weights.
        train_documents, calibration_documents: how many were used.
        censored: how many of both were left out because their answer exceeds the canvas.
        seconds: from the first pass to the folder, for all methods that were fitted together.
    """

    method: str
    output: Path
    rmse: dict[float, float]
    training: Training | None
    train_documents: int
    calibration_documents: int
    censored: int
    seconds: float


@dataclass(frozen=True)
class FitJob:
    """One predictor to fit: method, options and folder."""

    method: str
    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)


def fit_predictor(
    method: str,
    *,
    backbone: Backbone,
    train: Sequence[Example],
    calibration: Sequence[Example],
    output: Path,
    canvas: int,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    epochs: int = 60,
    batch_size: int = 64,
    backbone_batch_size: int = 16,
    scale: Scale = "log",
) -> FitReport:
    """Fits and calibrates one method and writes its folder; arguments and errors as in `fit_all`."""
    job = FitJob(method, output, options or {})
    (report,) = fit_all(
        [job],
        backbone=backbone,
        train=train,
        calibration=calibration,
        canvas=canvas,
        fractions=fractions,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        backbone_batch_size=backbone_batch_size,
        scale=scale,
    )
    return report


def fit_all(
    jobs: Sequence[FitJob],
    *,
    backbone: Backbone,
    train: Sequence[Example],
    calibration: Sequence[Example],
    canvas: int,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    epochs: int = 60,
    batch_size: int = 64,
    backbone_batch_size: int = 16,
    scale: Scale = "log",
) -> list[FitReport]:
    """Fits and calibrates several predictors on shared passes, and writes their folders.

    Args:
        jobs: what to fit; each has its own folder, a method may occur twice with different options.
        backbone: frozen; the folders are bound to it.
        train: documents that weights are trained on.
        calibration: documents that nothing else has seen; at least 19 for the usual alpha of 0.05.
        canvas: C; answers longer than it are left out and counted.
        fractions: unmasked fractions u that are trained for and calibrated at.
        seed: of the fractions, the weights and the training.
        epochs: at most this many; early stopping usually ends it before.
        batch_size: documents per training step.
        backbone_batch_size: documents per pass over the backbone.
        scale: of the calibration scores.

    Raises:
        ConfigurationError: unknown method or option, a method that fits nothing, two jobs for one folder, or too few documents.
        CalibrationError: no calibration documents.
        PredictorError: a pretrained encoder that cannot be loaded.
    """
    started = time.monotonic()
    _check_jobs(jobs)
    (kept_train, cut_train), (kept_calibration, cut_calibration) = within(train, canvas), within(calibration, canvas)
    _check_calibration(len(kept_calibration))
    predictors = {str(job.output): _start(job, kept_train, backbone, canvas, seed) for job in jobs}
    trainings = _train_all(
        predictors, backbone, kept_train, canvas=canvas, fractions=fractions, seed=seed, epochs=epochs, batch_size=batch_size,
        backbone_batch_size=backbone_batch_size,
    )  # fmt: skip
    unfinished = {str(job.output): FittedPredictor(job.method, predictors[str(job.output)]) for job in jobs}
    predicted = predicted_lengths(
        backbone, unfinished, kept_calibration, fractions, canvas=canvas, batch_size=backbone_batch_size
    )
    data = {
        "train": {"documents": len(kept_train), "digest": data_digest(kept_train)},
        "calibration": {"documents": len(kept_calibration), "digest": data_digest(kept_calibration)},
        "censored": cut_train + cut_calibration,
    }
    reports = []
    for job in jobs:
        key = str(job.output)
        report = FitReport(
            method=job.method,
            output=job.output,
            rmse=_rmse(predicted[key], kept_calibration),
            training=trainings.get(key),
            train_documents=len(kept_train),
            calibration_documents=len(kept_calibration),
            censored=cut_train + cut_calibration,
            seconds=time.monotonic() - started,
        )
        table: Calibration = calibrate(predicted[key], kept_calibration, scale)
        training = None if report.training is None else asdict(report.training)
        info = {"data": data, "fit": {"seed": seed, "training": training, "rmse": {f"{u:g}": e for u, e in report.rmse.items()}}}
        save_folder(job.output, FittedPredictor(job.method, predictors[key], table, info), backbone=backbone, canvas=canvas)
        logger.info(
            "%s: written to %s, rmse at u=%g is %.1f tokens", job.method, job.output, fractions[0], report.rmse[fractions[0]]
        )
        reports.append(report)
    return reports


def _check_jobs(jobs: Sequence[FitJob]) -> None:
    folders = [str(job.output) for job in jobs]
    if not jobs or len(set(folders)) != len(folders):
        raise ConfigurationError(f"expected at least one predictor to fit, each with a folder of its own, got {folders}")
    for job in jobs:
        if job.output.exists() and not job.output.is_dir():
            raise ConfigurationError(f"{job.output} is a file: expected the name of a folder for the predictor")
        if method_class(job.method).fitting == "none":
            raise ConfigurationError(f"method {job.method!r} has nothing to fit: use it without a predictor folder")


def _check_calibration(documents: int) -> None:
    if documents == 0:
        raise CalibrationError(
            "no calibration documents whose answer fits the canvas: expected documents that training has not seen"
        )
    if documents < fewest_scores(USUAL_ALPHA):
        logger.warning(
            "%d calibration documents cannot serve alpha=%g: that takes %d", documents, USUAL_ALPHA, fewest_scores(USUAL_ALPHA)
        )


def _start(job: FitJob, train: Sequence[Example], backbone: Backbone, canvas: int, seed: int) -> Predictor:
    """The predictor before training; weights are drawn from the seed."""
    kind = method_class(job.method)
    if kind.fitting == "lengths":
        if job.options or not train:
            raise ConfigurationError(f"method {job.method!r} takes no options and at least one training document")
        lengths_kind = cast("type[LengthsPredictor]", kind)
        return lengths_kind.from_lengths(np.array([example.length for example in train]))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(job.method, backbone=backbone, canvas=canvas, options=job.options)


def _train_all(
    predictors: Mapping[str, Predictor],
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    canvas: int,
    fractions: Sequence[float],
    seed: int,
    epochs: int,
    batch_size: int,
    backbone_batch_size: int,
) -> dict[str, Training]:
    """Trains every predictor with weights on the features of one shared pass."""
    learners = {key: cast(LearnedPredictor, predictor) for key, predictor in predictors.items() if predictor.fitting == "weights"}
    samples = one_fraction_each(examples, fractions, seed)
    features = extract(backbone, samples, learners, canvas=canvas, batch_size=backbone_batch_size, seed=seed)
    lengths = [example.length for example in examples]
    trainings = {}
    for key, learner in learners.items():
        learner.module.to(backbone.device)
        trainings[key] = train_weights(
            learner, features.pop(key), lengths, seed=seed, epochs=epochs, batch_size=batch_size, label=f"training {key}"
        )
    return trainings


def _rmse(predicted: Lengths, examples: Sequence[Example]) -> dict[float, float]:
    length_N = np.array([example.length for example in examples])
    return {u: float(np.sqrt(np.mean((prediction_N - length_N) ** 2))) for u, prediction_N in predicted.items()}
