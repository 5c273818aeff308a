"""The weights of all predictors of a fit: a store of features, and one training each.

Predictors that read the same part of the canvas share a store.

Of several processes the first one trains, and gives its weights to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from eosbench.fitting.examples import Example
from eosbench.fitting.features import filled_store
from eosbench.fitting.jobs import FitJob
from eosbench.fitting.passes import Passes, by_view, one_fraction_each
from eosbench.fitting.train import Training, TrainingSettings, train_weights
from eosbench.predictors import METHODS, FittedPredictor, LearnedPredictor

__all__ = ["learn"]


def learn(
    jobs: Sequence[FitJob],
    predictors: Mapping[str, FittedPredictor],
    train: Sequence[Example],
    *,
    passes: Passes,
    fractions: Sequence[float],
    settings: TrainingSettings,
    store: Path | None,
) -> dict[str, Training]:
    """Trains the predictors that have weights, in place.

    Args:
        jobs: all jobs of the fit.
        predictors: the predictor of each job, by `FitJob.key`.
        train: the training documents.
        passes: how documents go through the backbone.
        fractions: unmasked fractions u that are trained for.
        settings: how weights are trained.
        store: folder of feature stores; None keeps features in a temporary folder.

    Returns:
        `FitJob.key` -> how its training went, on the first process; nothing on the others.
    """
    learners = {
        job.key: predictors[job.key] for job in jobs if METHODS[job.method].fitting == "weights"
    }
    if not learners:
        return {}
    trainings: dict[str, Training] = {}
    samples = one_fraction_each(train, fractions)
    for one in learners.values():
        cast(LearnedPredictor, one.predictor).module.to(passes.backbone.device)
    for view_passes, readers in by_view(learners, passes):
        with filled_store(store, samples, list(readers.values()), view_passes) as features:
            for job in jobs:
                if job.key not in readers or passes.workers.rank != 0:
                    continue
                learner = cast(LearnedPredictor, learners[job.key].predictor)
                trainings[job.key] = train_weights(
                    learner,
                    partial(features.read, tuple(learner.kept)),
                    [example.length for example in train],
                    settings=settings,
                    seed=job.seed,
                    label=f"training {job.key}",
                )
    _share_weights(learners, passes)
    return trainings


def _share_weights(learners: Mapping[str, FittedPredictor], passes: Passes) -> None:
    """Gives every process the weights that the first one trained."""
    if passes.workers.world_size == 1:
        return
    modules = {key: cast(LearnedPredictor, one.predictor).module for key, one in learners.items()}
    own = {}
    if passes.workers.rank == 0:
        for key, module in modules.items():
            own[key] = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    trained = passes.workers.everyones(own)[0]
    for key, module in modules.items():
        module.load_state_dict(trained[key])
        module.to(passes.backbone.device).eval()
