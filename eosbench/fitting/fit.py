"""`eosbench fit`: from documents to folders with fitted and calibrated length predictors.

Every method goes the same way: step zero over the training documents (one pass for all methods,
each document at one unmasked fraction), training where a method has weights, step zero over the
calibration documents at every fraction (again one pass for all), scores, folder. The backbone stays
as it is. Of several processes each takes its share of the passes, and the first one trains.

    train = load_examples("instruct:train", backbone)
    calibration = load_examples("instruct:calibration", backbone)
    fit_all(
        [FitJob("classification", Path("heads/cls"))],
        passes=Passes(backbone, canvas=256),
        data=FitData(train, calibration),
    )
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from eosbench.bounds import USUAL_ALPHA, Coverage, Scale
from eosbench.documents import FRACTIONS
from eosbench.errors import CalibrationError, ConfigurationError
from eosbench.fitting.calibrate import calibrate, predicted_lengths, scores_of
from eosbench.fitting.examples import Example, FitData
from eosbench.fitting.jobs import FitJob, FitReport, check_jobs, check_model, check_places
from eosbench.fitting.learn import learn
from eosbench.fitting.passes import Passes
from eosbench.fitting.train import USUAL, TrainingSettings
from eosbench.predictors import (
    FittedPredictor,
    LengthsPredictor,
    Predictor,
    PromptsPredictor,
    build,
    row_of,
    save_folder,
)

logger = logging.getLogger(__name__)

__all__ = ["fit_all"]


def fit_all(
    jobs: Sequence[FitJob],
    *,
    passes: Passes,
    data: FitData,
    training: TrainingSettings = USUAL,
    fractions: Sequence[float] = FRACTIONS,
    scale: Scale = "log",
    store: Path | None = None,
) -> list[FitReport]:
    """Fits and calibrates several predictors on shared passes, and writes their folders.

    Args:
        jobs: what to fit; each has its own folder, and a method may occur several times with other
            options or seeds.
        passes: the backbone, to which the folders are bound, and how documents go through it.
        data: the documents; those whose answer is longer than the canvas are left out and counted.
        training: how weights are trained.
        fractions: unmasked fractions u that are trained for and calibrated at.
        scale: of the calibration scores.
        store: folder of feature stores, which later fits on the same documents read instead of
            running the backbone, and which a killed one goes on from; None keeps features in a
            temporary folder.

    Raises:
        ConfigurationError: an unknown method or option, a method that fits nothing or cannot work
            on the model, two jobs for one folder, too few documents, or hidden states that are not
            finite numbers.
        CalibrationError: no calibration documents.
        PredictorError: a pretrained encoder that cannot be loaded.
    """
    started = time.monotonic()
    check_jobs(jobs)
    check_places(jobs, store)
    check_model(jobs, passes.backbone.spec)
    data = data.on_canvas(passes.backbone, passes.canvas)
    _check_calibration(len(data.calibration), passes.canvas)
    predictors = {
        job.key: FittedPredictor(job.method, _start(job, data.train, passes)) for job in jobs
    }
    trainings = learn(
        jobs,
        predictors,
        data.train,
        passes=passes,
        fractions=fractions,
        settings=training,
        store=store,
    )
    cut = {key: _cut(fitted, data) for key, fitted in predictors.items()}
    predicted = predicted_lengths(predictors, data.calibration, fractions, passes=passes)
    facts = data.facts()
    reports = []
    for job in jobs:
        lengths = predicted[job.key]
        scores = scores_of(
            lengths, data.calibration, canvas=passes.canvas, alpha=USUAL_ALPHA, scale=scale
        )
        report = FitReport(
            job=job,
            scores=scores,
            training=trainings.get(job.key),
            train_documents=len(data.train),
            calibration_documents=len(data.calibration),
            censored=data.censored,
            seconds=time.monotonic() - started,
        )
        reports.append(report)
        if passes.workers.rank == 0:
            fitted = FittedPredictor(
                job.method,
                predictors[job.key].predictor,
                calibrate(lengths, data.calibration, scale, data.train),
                {
                    "data": facts,
                    "fit": {
                        **_facts_of(report, _written(training, predictors[job.key], fractions)),
                        **cut[job.key],
                    },
                },
            )
            save_folder(job.output, fitted, backbone=passes.backbone, canvas=passes.canvas)
            _log(report, fractions[0])
    passes.workers.wait()
    return reports


def _check_calibration(documents: int, canvas: int) -> None:
    """Refuses to fit without calibration documents, and warns where they are few.

    Raises:
        CalibrationError: none of them fits the canvas.
    """
    if documents == 0:
        raise CalibrationError(
            "no calibration documents whose answer fits the canvas: expected documents that "
            "training has not seen"
        )
    needed = Coverage(USUAL_ALPHA).fewest(canvas)
    if documents < needed:
        logger.warning(
            "%d calibration documents cannot serve alpha=%g: that takes %d",
            documents,
            USUAL_ALPHA,
            needed,
        )


def _start(job: FitJob, train: Sequence[Example], passes: Passes) -> Predictor:
    """The predictor before training; weights are drawn from the seed."""
    row = row_of(job.method)
    if row.fitting in ("lengths", "prompts"):
        if job.options or not train:
            raise ConfigurationError(
                f"method {job.method!r} takes no options and at least one training document"
            )
        length_N = np.array([example.length for example in train])
        if row.fitting == "lengths":
            return cast("type[LengthsPredictor]", row.load()).from_lengths(length_N)
        prompt_length_N = np.array([len(example.prompt_ids) for example in train])
        return cast("type[PromptsPredictor]", row.load()).from_prompts(prompt_length_N, length_N)
    with torch.random.fork_rng():
        torch.manual_seed(job.seed)
        return build(
            job.method, backbone=passes.backbone, canvas=passes.canvas, options=job.options
        )


def _written(
    training: TrainingSettings, fitted: FittedPredictor, fractions: Sequence[float]
) -> dict[str, Any]:
    """The settings that config.json names."""
    course = training.course(getattr(fitted.predictor, "fine_tuning", None))
    return {
        "epochs": course.epochs,
        "batch_size": course.batch_size,
        "mixed_precision": training.mixed_precision,
        "fractions": list(fractions),
    }


def _cut(fitted: FittedPredictor, data: FitData) -> dict[str, Any]:
    """The numbers of prompts that a method cannot read whole, for config.json; told in a warning.

    Nothing for a method that reads every prompt whole.
    """
    if not hasattr(fitted.predictor, "cut"):
        return {}
    cut = {}
    for name, examples in (("train", data.train), ("calibration", data.calibration)):
        texts = [example.prompt_text for example in examples]
        cut[name] = fitted.warn_of_cut(texts, f"{name} ")
    return {"cut_prompts": cut}


def _facts_of(report: FitReport, how: dict[str, Any]) -> dict[str, Any]:
    """The facts of a fit that stand in config.json.

    The seed and the training are null where a method trains nothing, so that the folders of its
    seeds are equal and count as one predictor.
    """
    learned: dict[str, Any] = {"seed": None, "settings": None, "training": None}
    if report.training is not None:
        learned = {
            "seed": report.job.seed,
            "settings": how,
            "training": asdict(report.training),
        }
    return {**learned, "alpha": USUAL_ALPHA, "scores": report.scores}


def _log(report: FitReport, fraction: float) -> None:
    """Tells where a predictor was written, and how good it is at one fraction."""
    logger.info(
        "%s: written to %s, rmse at u=%g is %.1f tokens",
        report.job.method,
        report.job.output,
        fraction,
        report.scores[f"{fraction:g}"]["rmse"],
    )
