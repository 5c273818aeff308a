"""`eosbench fit`: from documents to folders with fitted and calibrated length predictors.

Every method goes the same way: step zero over the training documents (one pass for all methods,
each document at one unmasked fraction), training where a method has weights, step zero over the
calibration documents at every fraction (again one pass for all), scores, folder. The backbone stays
as it is. Of several processes each takes its share of the passes, the first one trains.

    train, calibration = load_examples("instruct:train", backbone), load_examples("instruct:calibration", backbone)
    fit_all([FitJob("classification", Path("heads/cls"))], backbone=backbone, train=train, calibration=calibration, canvas=256)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch

from eosbench.backbone import Backbone
from eosbench.bounds import USUAL_ALPHA, Coverage, Scale
from eosbench.documents import FRACTIONS
from eosbench.errors import CalibrationError, ConfigurationError
from eosbench.fitting.calibrate import calibrate, predicted_lengths, scores_of
from eosbench.fitting.data import Example, cut_prompts, data_digest, within
from eosbench.fitting.features import extract, one_fraction_each
from eosbench.fitting.store import FeatureStore
from eosbench.fitting.train import Training, train_weights
from eosbench.fitting.workers import ALONE, Workers
from eosbench.predictors import (
    METHODS,
    FittedPredictor,
    LearnedPredictor,
    LengthsPredictor,
    Predictor,
    build,
    row_of,
    save_folder,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitJob:
    """One predictor to fit: method, options, folder, and the seed of its weights and training."""

    method: str
    output: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class FitReport:
    """What a fit did; also written into the predictor's config.json.

    Attributes: job: what was asked for. scores: unmasked fraction -> metrics on the calibration
        documents, see eosbench.fitting.calibrate.scores_of. training: epochs and held-out loss,
        where the method has weights. train_documents, calibration_documents: how many were used.
        censored: how many of both were left out because their answer exceeds the canvas. seconds:
        from the first pass to the folder, for all predictors that were fitted together.
    """

    job: FitJob
    scores: dict[str, dict[str, float]]
    training: Training | None
    train_documents: int
    calibration_documents: int
    censored: int
    seconds: float


def fit_all(
    jobs: Sequence[FitJob],
    *,
    backbone: Backbone,
    train: Sequence[Example],
    calibration: Sequence[Example],
    canvas: int,
    fractions: Sequence[float] = FRACTIONS,
    epochs: int = 60,
    batch_size: int = 64,
    backbone_batch_size: int = 16,
    scale: Scale = "log",
    mixed_precision: str = "no",
    source: str = "",
    store: Path | None = None,
    workers: Workers = ALONE,
) -> list[FitReport]:
    """Fits and calibrates several predictors on shared passes, and writes their folders.

    Args: jobs: what to fit; each has its own folder, a method may occur several times with other
        options or seeds. backbone: frozen; the folders are bound to it. train: documents that
        weights are trained on. calibration: documents that nothing else has seen; at least 19 for
        the usual alpha of 0.05. canvas: C; answers longer than it are left out and counted.
        fractions: unmasked fractions u that are trained for and calibrated at. epochs: at most this
        many; early stopping usually ends it before. batch_size: documents per training step.
        backbone_batch_size: documents per pass over the backbone. scale: of the calibration scores.
        mixed_precision: of the training: no, bf16 or fp16. source: where the documents come from,
        in words, for config.json and the model card. store: folder of feature stores, which later
        fits on the same documents read instead of running the backbone, and a
            killed one goes on from; None keeps features in a temporary folder.
        workers: the processes that share the passes.

    Raises: ConfigurationError: unknown method or option, a method that fits nothing, two jobs for
        one folder, too few documents, or
            hidden states that are no finite numbers.
        CalibrationError: no calibration documents.
        PredictorError: a pretrained encoder that cannot be loaded.
    """
    started = time.monotonic()
    _check_jobs(jobs)
    (kept_train, cut_train), (kept_calibration, cut_calibration) = (
        within(train, canvas),
        within(calibration, canvas),
    )
    kept_train, kept_calibration = (
        cut_prompts(kept, backbone, canvas) for kept in (kept_train, kept_calibration)
    )
    _check_calibration(len(kept_calibration), canvas)
    predictors = {str(job.output): _start(job, kept_train, backbone, canvas) for job in jobs}
    learners = {
        str(job.output): cast(LearnedPredictor, predictors[str(job.output)])
        for job in jobs
        if METHODS[job.method].fitting == "weights"
    }
    unfinished = {
        str(job.output): FittedPredictor(job.method, predictors[str(job.output)]) for job in jobs
    }
    trainings: dict[str, Training] = {}
    if learners:
        with _features(
            store,
            backbone,
            kept_train,
            canvas,
            fractions,
            {key: unfinished[key] for key in learners},
            backbone_batch_size,
            workers,
        ) as features:
            for job in jobs:
                key = str(job.output)
                if key in learners and workers.rank == 0:
                    trainings[key] = train_weights(
                        learners[key],
                        partial(features.read, tuple(learners[key].kept)),
                        [example.length for example in kept_train],
                        seed=job.seed,
                        epochs=epochs,
                        batch_size=batch_size,
                        mixed_precision=mixed_precision,
                        label=f"training {key}",
                    )
        _share_weights(learners, backbone, workers)
    predicted = predicted_lengths(
        backbone,
        unfinished,
        kept_calibration,
        fractions,
        canvas=canvas,
        batch_size=backbone_batch_size,
        workers=workers,
    )
    data = {
        "source": source,
        "train": {"documents": len(kept_train), "digest": data_digest(kept_train)},
        "calibration": {
            "documents": len(kept_calibration),
            "digest": data_digest(kept_calibration),
        },
        "censored": cut_train + cut_calibration,
    }
    reports = []
    for job in jobs:
        key = str(job.output)
        scores = scores_of(
            predicted[key], kept_calibration, canvas=canvas, alpha=USUAL_ALPHA, scale=scale
        )
        report = FitReport(
            job,
            scores,
            trainings.get(key),
            len(kept_train),
            len(kept_calibration),
            cut_train + cut_calibration,
            time.monotonic() - started,
        )
        reports.append(report)
        if workers.rank == 0:
            table = calibrate(predicted[key], kept_calibration, scale, kept_train)
            how = {
                "epochs": epochs,
                "batch_size": batch_size,
                "mixed_precision": mixed_precision,
                "fractions": list(fractions),
            }
            info = {
                "data": data,
                "fit": {**_training_of(report, how), "alpha": USUAL_ALPHA, "scores": scores},
            }
            save_folder(
                job.output,
                FittedPredictor(job.method, predictors[key], table, info),
                backbone=backbone,
                canvas=canvas,
            )
            logger.info(
                "%s: written to %s, rmse at u=%g is %.1f tokens",
                job.method,
                job.output,
                fractions[0],
                scores[f"{fractions[0]:g}"]["rmse"],
            )
    workers.wait()
    return reports


def _training_of(report: FitReport, how: Mapping[str, Any]) -> dict[str, Any]:
    """For config.json: the seed, how training was asked for, and how it went; all null where a
    method trains nothing, so that
    the folders of its seeds are equal and count as one predictor."""
    if report.training is None:
        return {"seed": None, "settings": None, "training": None}
    return {"seed": report.job.seed, "settings": dict(how), "training": asdict(report.training)}


def _check_jobs(jobs: Sequence[FitJob]) -> None:
    folders = [str(job.output) for job in jobs]
    if not jobs or len(set(folders)) != len(folders):
        raise ConfigurationError(
            f"expected at least one predictor to fit, each with a folder of its own, got {folders}"
        )
    for job in jobs:
        if job.output.exists() and not job.output.is_dir():
            raise ConfigurationError(
                f"{job.output} is a file: expected the name of a folder for the predictor"
            )
        if row_of(job.method).fitting == "none":
            raise ConfigurationError(
                f"method {job.method!r} has nothing to fit: use it without a predictor folder"
            )


def _check_calibration(documents: int, canvas: int) -> None:
    if documents == 0:
        raise CalibrationError(
            "no calibration documents whose answer fits the canvas: expected documents that training has not seen"
        )
    needed = Coverage(USUAL_ALPHA).fewest(canvas)
    if documents < needed:
        logger.warning(
            "%d calibration documents cannot serve alpha=%g: that takes %d",
            documents,
            USUAL_ALPHA,
            needed,
        )


def _start(job: FitJob, train: Sequence[Example], backbone: Backbone, canvas: int) -> Predictor:
    """The predictor before training; weights are drawn from the seed."""
    row = row_of(job.method)
    if row.fitting == "lengths":
        if job.options or not train:
            raise ConfigurationError(
                f"method {job.method!r} takes no options and at least one training document"
            )
        lengths_kind = cast("type[LengthsPredictor]", row.load())
        return lengths_kind.from_lengths(np.array([example.length for example in train]))
    with torch.random.fork_rng():
        torch.manual_seed(job.seed)
        return build(job.method, backbone=backbone, canvas=canvas, options=job.options)


@contextmanager
def _features(
    root: Path | None,
    backbone: Backbone,
    examples: Sequence[Example],
    canvas: int,
    fractions: Sequence[float],
    learners: Mapping[str, FittedPredictor],
    batch_size: int,
    workers: Workers,
) -> Iterator[FeatureStore]:
    """The filled store. One that stays on disk also gets what every method keeps by default, so
    that one pass serves them all.
    """
    wanted = list(learners.values())
    if root is not None:
        standard = [name for name, row in METHODS.items() if row.fitting == "weights" and row.needs]
        with torch.random.fork_rng():
            wanted += [
                FittedPredictor(name, build(name, backbone=backbone, canvas=canvas))
                for name in standard
            ]
    with TemporaryDirectory(prefix="eosbench-features-") as temporary:
        folder = Path(workers.everyones(temporary)[0]) if root is None else root
        features = FeatureStore(
            folder, backbone=backbone, samples=one_fraction_each(examples, fractions), canvas=canvas
        )
        extract(backbone, features, wanted, canvas=canvas, batch_size=batch_size, workers=workers)
        for learner in learners.values():
            cast(LearnedPredictor, learner.predictor).module.to(backbone.device)
        yield features
        workers.wait()


def _share_weights(
    learners: Mapping[str, LearnedPredictor], backbone: Backbone, workers: Workers
) -> None:
    """Gives every process the weights that the first one trained."""
    if workers.world_size == 1:
        return
    own = {
        key: {name: t.cpu() for name, t in learner.module.state_dict().items()}
        for key, learner in learners.items()
    }
    trained = workers.everyones(own if workers.rank == 0 else None)[0]
    for key, learner in learners.items():
        learner.module.load_state_dict(trained[key])
        learner.module.to(backbone.device).eval()
