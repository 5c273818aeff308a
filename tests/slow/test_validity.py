"""Calibrated bounds keep their promise: over hundreds of random calibration/test splits of
predictions that are made once.

Given any fixed set of documents, a random split is exchangeable by construction, so theory gives
the mean over splits exactly: with n calibration documents and k = ceil((n + 1)(1 - alpha)), the
share of test documents whose score is at most the k-th smallest is k / (n + 1) in the mean, or
more where scores are tied, and the share strictly below it is no more. Both sides are tested,
within four standard errors of the mean over the splits. The embedded model's predictors are
calibrated anew in each split, on the embedded test documents; the pinball heads are fitted in
the world of tests/eosbench/toy.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from eosbench import embedded
from eosbench.bounds.bound import to_bound
from eosbench.bounds.promise import Promise
from eosbench.fitting.calibrate import Lengths, calibrate, predicted_lengths
from eosbench.fitting.data import load_examples
from eosbench.fitting.examples import Example, FitData
from eosbench.fitting.fit import fit_all
from eosbench.fitting.jobs import FitJob
from eosbench.fitting.passes import Passes
from eosbench.fitting.train import TrainingSettings
from eosbench.predictors import METHODS, load_predictor
from eosbench.records import LengthBound, LengthPrediction
from model_adapters import load_backbone
from tests.eosbench import toy

pytestmark = pytest.mark.slow
SPLITS, DOCUMENTS, ALPHA = 250, 200, 0.1
FRACTIONS = (0.0, 0.5)
FITTED = [method for method in METHODS if embedded.predictor_folder(method) is not None]
PINBALL = ["concat_regression", "average_regression"]


@dataclass(frozen=True)
class World:
    """Documents, and what each predictor said of them at each fraction."""

    examples: Sequence[Example]
    others: Sequence[Example]
    canvas: int
    predicted: dict[str, Lengths]

    def splits(
        self, name: str, fraction: float, rounding: str, **promise: float | str | None
    ) -> Iterator[tuple[NDArray[np.int64], list[LengthBound], NDArray[np.int64]]]:
        """(test documents, their bounds from the other half's calibration, their lengths) of each
        split.
        """
        rng, length_N = (
            np.random.default_rng(7),
            np.array([example.length for example in self.examples]),
        )
        prediction_N = self.predicted[name][fraction]
        for _ in range(SPLITS):
            order = rng.permutation(len(self.examples))
            known, new = order[: len(order) // 2], order[len(order) // 2 :]
            table = calibrate(
                {fraction: prediction_N[known]},
                [self.examples[row] for row in known],
                "log",
                self.others,
            )
            bounds = [
                to_bound(
                    LengthPrediction(float(prediction_N[row])),
                    canvas=self.canvas,
                    fraction=fraction,
                    calibration=table,
                    prompt_length=len(self.examples[row].prompt_ids),
                    promise=Promise.of(**promise),  # type: ignore[arg-type]
                    rounding=rounding,
                )
                for row in new
            ]
            yield new, bounds, length_N[new]


@pytest.fixture(scope="module")
def embedded_world() -> World:
    backbone = load_backbone(str(embedded.MODEL))
    examples = load_examples("instruct:test", backbone, limit=2 * DOCUMENTS)
    fitted = {
        method: load_predictor(
            method, embedded.predictor_folder(method), backbone=backbone, canvas=embedded.CANVAS
        )
        for method in FITTED
    }
    asked, others = examples[:DOCUMENTS], examples[DOCUMENTS:]
    return World(
        asked,
        others,
        embedded.CANVAS,
        predicted_lengths(fitted, asked, FRACTIONS, passes=Passes(backbone, embedded.CANVAS)),
    )


@pytest.fixture(scope="module")
def toy_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    backbone, folder = toy.toy_backbone(), tmp_path_factory.mktemp("pinball")
    train, asked = toy.toy_examples(300, seed=0), toy.toy_examples(DOCUMENTS, seed=2)
    jobs = [
        FitJob(method, folder / method, {"loss": "pinball", "quantile": 0.9}) for method in PINBALL
    ]
    fit_all(
        jobs,
        passes=Passes(backbone, toy.CANVAS),
        data=FitData(train, toy.toy_examples(40, seed=1)),
        training=TrainingSettings(epochs=10),
        fractions=FRACTIONS,
    )
    fitted = {
        method: load_predictor(method, Path(folder / method), backbone=backbone, canvas=toy.CANVAS)
        for method in PINBALL
    }
    return World(
        asked,
        train,
        toy.CANVAS,
        predicted_lengths(fitted, asked, FRACTIONS, passes=Passes(backbone, toy.CANVAS)),
    )


def mean_and_error(share_S: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(share_S)), float(np.std(share_S, ddof=1) / math.sqrt(len(share_S)))


def covers_as_promised(world: World, name: str, fraction: float) -> None:
    at_least, beyond, rounded = [], [], []
    for _, bounds, length_N in world.splits(name, fraction, alpha=ALPHA, rounding="pow2"):
        calibrated_N = np.array([bound.calibrated for bound in bounds])
        at_least.append(float(np.mean(calibrated_N >= length_N - 1e-6)))
        beyond.append(float(np.mean(calibrated_N > length_N + 1e-6)))
        rounded.append(float(np.mean(np.array([bound.bound for bound in bounds]) >= length_N)))
    n = len(world.examples) // 2
    promised = math.ceil((n + 1) * (1 - ALPHA)) / (n + 1)
    covered, error = mean_and_error(at_least)
    assert covered >= promised - 4 * error
    strictly, error = mean_and_error(beyond)
    assert strictly <= promised + 4 * error
    assert all(after >= before for after, before in zip(rounded, at_least, strict=True))


def test_every_method_that_is_calibrated_is_here() -> None:
    assert [method for method, row in METHODS.items() if row.fitting in ("weights", "lengths")] == [
        method for method in FITTED if METHODS[method].fitting in ("weights", "lengths")
    ]


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("method", FITTED)
def test_mean_coverage_is_the_promised_one(
    method: str, fraction: float, embedded_world: World
) -> None:
    covers_as_promised(embedded_world, method, fraction)


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("method", PINBALL)
def test_conformalised_quantile_regression_too(
    method: str, fraction: float, toy_world: World
) -> None:
    covers_as_promised(toy_world, method, fraction)


@pytest.mark.parametrize("groups", ["prompt", "prediction"])
def test_each_group_is_covered(groups: str, embedded_world: World) -> None:
    """Within every group, not only over all: each group's mean coverage is at least 1 - alpha."""
    world, alpha, name = embedded_world, 0.25, "average_regression"
    prediction_N = world.predicted[name][0.0]
    table = calibrate({0.0: prediction_N}, world.examples, "log", world.others)
    value_N = (
        prediction_N
        if groups == "prediction"
        else np.array([len(example.prompt_ids) for example in world.examples])
    )
    group_N = np.searchsorted(table.edges[groups], value_N)
    shares: dict[int, list[float]] = {int(group): [] for group in np.unique(group_N)}
    for new, bounds, length_N in world.splits(
        name, 0.0, alpha=alpha, groups=groups, rounding="none"
    ):
        covered_N = np.array([bound.calibrated for bound in bounds]) >= length_N - 1e-6
        for group, found in shares.items():
            found.append(float(np.mean(covered_N[group_N[new] == group])))
    assert len(shares) >= 2
    for found in shares.values():
        covered, error = mean_and_error(found)
        assert covered >= 1 - alpha - 4 * error


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("method", ["average_regression", "logit", "mean"])
def test_the_mean_shortfall_stays_at_the_level(
    method: str, fraction: float, embedded_world: World
) -> None:
    level = 4.0
    losses = [
        float(np.mean(np.maximum(0, length_N - np.array([bound.calibrated for bound in bounds]))))
        for _, bounds, length_N in embedded_world.splits(
            method, fraction, shortfall=level, rounding="none"
        )
    ]
    lost, error = mean_and_error(losses)
    assert lost <= level + 4 * error
