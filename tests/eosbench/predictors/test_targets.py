"""`depth` of heads and `target` of classification: networks, kept positions, losses, bounds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eosbench.errors import ConfigurationError, PredictorError
from eosbench.fitting.examples import FitData
from eosbench.fitting.fit import fit_all
from eosbench.fitting.jobs import FitJob
from eosbench.fitting.passes import Passes, Sample, to_prompt
from eosbench.fitting.train import TrainingSettings
from eosbench.forward.step_zero import StepZero, run_step_zero
from eosbench.predictors import build, load_predictor
from eosbench.predictors.classification import Classification
from tests.eosbench.predictors.test_end_distribution import by_definition
from tests.eosbench.toy import CANVAS, MASK, toy_backbone, toy_examples

BACKBONE = toy_backbone()
WIDTH = BACKBONE.spec.width
EXAMPLES = toy_examples(8, seed=5)
REGRESSORS = ("average_regression", "concat_regression")


def step(fraction: float = 0.0, told: bool = False) -> StepZero:
    batch = [
        to_prompt(Sample(example, fraction), canvas=CANVAS, mask_id=MASK, told=told)
        for example in EXAMPLES
    ]
    return run_step_zero(BACKBONE, batch)


def classification(**options: Any) -> Classification:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classification(width=WIDTH, **options)


@pytest.mark.parametrize("method", [*REGRESSORS, "classification"])
def test_linear_has_no_hidden_layer(method: str) -> None:
    """Behind the norm (and the projection, of which each output is a sum of inputs) one layer."""

    def layers(**options: Any) -> list[str]:
        predictor: Any = build(method, backbone=BACKBONE, canvas=CANVAS, options=options)
        return [type(module).__name__ for module in predictor.module.modules()]

    projections = 1 if method == "concat_regression" else 0
    assert layers(depth="linear").count("Linear") == 1 + projections
    assert "GELU" not in layers(depth="linear")
    assert layers().count("Linear") == 2 + projections and "GELU" in layers()
    assert layers() == layers(depth="mlp")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("average_regression", {"depth": "linear", "hidden": 8}, "has no hidden layer"),
        ("classification", {"target": "at", "positive_weight": 2.0}, "has no classes"),
        ("classification", {"target": "end"}, "expected one of after, at, hazard"),
    ],
)
def test_options_that_do_not_fit(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(method, backbone=BACKBONE, canvas=CANVAS, options=options)


@pytest.mark.parametrize("target", ["at", "hazard"])
@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_probabilities_are_those_of_the_definition(target: str, fraction: float) -> None:
    """Over open positions alone; handed on is the probability that a position is at or after."""
    own, batch = classification(target=target, tau=0.4), step(fraction)
    logit_BC = own.module(batch.read("canvas_hidden_BCD").float()).squeeze(-1).detach()
    for row, prediction in enumerate(own.predict(batch)):
        start = batch.at_least_B[row]
        expected = np.cumsum(by_definition(target, logit_BC[row, start:].tolist())[:-1])
        assert prediction.eos_probability is not None
        assert prediction.eos_probability[start:] == pytest.approx(expected, abs=1e-6)
        assert not prediction.eos_probability[:start].any()
        reached = np.flatnonzero(expected >= 0.4)
        assert prediction.length == (start + reached[0] if len(reached) else CANVAS)


@pytest.mark.parametrize("target", ["at", "hazard"])
def test_the_loss_is_the_likelihood_of_the_first_eos(target: str) -> None:
    """With every position kept: -log of the definition's probability at L, and of an answer that
    fills the canvas or is longer, of the probability that none stands on it.
    """
    own = classification(target=target, positions=CANVAS)
    features = {
        name: value.to(own.kept[name].dtype)
        for name, value in own.features(step(told=True)).items()
    }
    logit_BC = own.module(features["ending32"].float()).squeeze(-1).detach()
    lengths = [example.length for example in EXAMPLES]
    for length_N in (lengths, [CANVAS] * 8, [CANVAS + 9] * 8):
        expected = [
            -math.log(by_definition(target, logit_BC[row].tolist())[min(length, CANVAS)])
            for row, length in enumerate(length_N)
        ]
        loss = own.loss(features, torch.tensor(length_N)).item()
        assert loss == pytest.approx(sum(expected) / 8, rel=1e-4)


def test_the_place_of_the_eos_is_always_kept() -> None:
    own = classification(target="hazard", positions=4)
    for fraction in (0.0, 0.5):
        batch = step(fraction, told=True)
        features = own.features(batch)
        index_BK = features["ending4_index"]
        for row, example in enumerate(EXAMPLES):
            kept = index_BK[row][index_BK[row] >= 0].tolist()
            assert example.length in kept and kept == sorted(kept)
            assert min(kept) >= batch.at_least_B[row]
        # All asked positions up to the last kept one are counted once.
        last_B = index_BK.max(dim=1).values
        start_B = torch.tensor(batch.at_least_B)
        assert features["ending4_since_last"].sum(dim=1).tolist() == (last_B - start_B + 1).tolist()
        assert features["ending4_asked"].squeeze(1).tolist() == (CANVAS - start_B).tolist()
    with pytest.raises(PredictorError, match="say the length of their answer"):
        own.features(step())


def test_kept_positions_stand_for_all_others() -> None:
    """Of 32 positions 4 are kept: the EOS's own counts once, the other three for 31."""
    own = classification(target="hazard", positions=4)
    kept = own.ending.read(own.features(step(told=True)), torch.device("cpu"))
    at_B, weight_BK = kept.of(torch.tensor([example.length for example in EXAMPLES]))
    for row, example in enumerate(EXAMPLES):
        at = int(at_B[row])
        assert int(kept.index_BK[row, at]) == example.length
        expected = [31 / 3] * 4
        expected[at] = 1.0
        assert weight_BK[row].tolist() == pytest.approx(expected)
    at_B, weight_BK = kept.of(torch.full((8,), CANVAS))
    assert at_B.tolist() == [4] * 8 and weight_BK.tolist() == [[8.0] * 4] * 8


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("classification", {"target": "at", "tau": 0.5}),
        ("classification", {"target": "hazard", "tau": 0.5, "positions": 8}),
        ("classification", {"target": "hazard", "tau": 0.5, "depth": "linear"}),
        ("classification", {"target": "after", "tau": 0.5, "depth": "linear"}),
        ("average_regression", {"depth": "linear"}),
        ("concat_regression", {"depth": "linear"}),
    ],
)
def test_they_learn_and_load_again(method: str, options: dict[str, Any], tmp_path: Path) -> None:
    """All but the noise of the lengths (standard deviation 1.4 of 7) can be read."""
    reports = fit_all(
        [FitJob(method, tmp_path / "p", options), FitJob("mean", tmp_path / "mean")],
        passes=Passes(BACKBONE, CANVAS),
        data=FitData(toy_examples(200, seed=0), toy_examples(60, seed=1)),
        fractions=(0.0, 0.5),
        training=TrainingSettings(epochs=25, batch_size=16),
    )
    assert reports[0].scores["0"]["rmse"] < 0.6 * reports[1].scores["0"]["rmse"]
    fitted = load_predictor(method, tmp_path / "p", backbone=BACKBONE, canvas=CANVAS)
    assert {name: fitted.predictor.options[name] for name in options} == options
    lengths = [prediction.length for prediction in fitted.predict(step())]
    assert np.corrcoef(lengths, [example.length for example in EXAMPLES])[0, 1] > 0.9
