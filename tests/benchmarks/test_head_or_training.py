"""Overshoot at equal coverage, by hand and by brute force, and the head against training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from benchmarks.ablation_results import Model
from benchmarks.equal_coverage import draws, overshoot_at
from benchmarks.head_or_training import HEADS, as_markdown, head_or_training
from eosbench.bounds import Calibration, to_bound
from eosbench.metrics import coverage, overshoot
from eosbench.records import LengthPrediction

CANVAS = 64


def made(seed: int, documents: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and lengths."""
    rng = np.random.default_rng(seed)
    length_N = rng.integers(1, 30, size=documents).astype(float)
    return length_N * np.exp(rng.normal(0.1, 0.5, size=documents)), length_N


def test_both_cover_as_many_documents_as_were_asked_for() -> None:
    for seed in range(20):
        for share in (0.5, 0.8, 0.95):
            over_R, covered_R = overshoot_at(
                *made(seed), np.ones((1, 40)), canvas=CANVAS, share=share
            )
            assert covered_R[0] == math.ceil(share * 40) / 40
            assert over_R[0] >= 0


def test_the_margin_is_the_least_one_that_covers_enough() -> None:
    """Every margin of a fine grid, through the library's own bounds, against the one found."""
    prediction_N, length_N = made(3)
    found, _ = overshoot_at(prediction_N, length_N, np.ones((1, 40)), canvas=CANVAS)
    for margin in np.arange(-1.0, 3.0, 0.005):
        scores, bound_N = Calibration({0.0: np.full(40, margin)}), []
        for one in prediction_N:
            said = LengthPrediction(one)
            bound = to_bound(said, canvas=CANVAS, calibration=scores, rounding="none")
            bound_N.append(bound.bound)
        if coverage(bound_N, length_N) >= 0.95:
            break
    assert found[0] == pytest.approx(overshoot(bound_N, length_N), abs=0.05)


def test_a_resample_is_the_sample_of_its_documents() -> None:
    prediction_N, length_N = made(5)
    counts_RN = draws(40)[:30]
    over_R, covered_R = overshoot_at(prediction_N, length_N, counts_RN, canvas=CANVAS)
    for counts_N, over, covered in zip(counts_RN, over_R, covered_R, strict=True):
        chosen = np.repeat(np.arange(40), counts_N.astype(int))
        again = overshoot_at(
            prediction_N[chosen], length_N[chosen], np.ones((1, 40)), canvas=CANVAS
        )
        assert (over, covered) == (pytest.approx(again[0][0]), pytest.approx(again[1][0]))


def model(recipe: str, seed: int, predictions: dict[str, Sequence[float]]) -> Model:
    """A model whose methods say these lengths; the answers have 1, 2, 3, ... tokens."""
    frames = []
    for method, said in predictions.items():
        count = len(said)
        table = {"document": [f"d{n:03}" for n in range(count)], "method": method}
        table |= {"prediction": said, "length": range(1, count + 1), "canvas": CANVAS}
        frames.append(pd.DataFrame(table))
    shuffled = pd.concat(frames).sample(frac=1.0, random_state=seed)
    return Model(recipe, seed, {}, pd.DataFrame(), shuffled)


def test_training_is_compared_with_the_head_on_the_same_documents_at_equal_coverage() -> None:
    """The right length less one, and 7 tokens for all: margins make them L and 20 of 20 tokens."""
    right, blind = list(range(1, 21)), [7.0] * 20
    head = {"classification": blind, "smartcrop": right}
    trained = [
        model("hazard", 0, {"smartcrop": right, "classification": right}),
        model("hazard", 1, {"smartcrop": right, "classification": right}),
        model("eoseos", 0, {"smartcrop": blind, "classification": right}),
    ]
    table = head_or_training([model("text", 0, head), *trained], "classification")
    hazard, eoseos = (table.set_index("recipe").loc[name] for name in ("hazard", "eoseos"))
    # 19 of 20 answers are covered: of the blind ones by a bound of 19, whose overshoot is 18 to 0.
    assert hazard["head_overshoot"] == pytest.approx(9.0)
    assert hazard["smartcrop_overshoot"] == pytest.approx(0.0)
    assert hazard["difference"] == pytest.approx(-9.0)
    assert hazard["low"] < -9.0 < hazard["high"] < 0
    assert hazard["p_holm"] < 0.001 and (hazard["seeds"], hazard["deviation"]) == (2, 0.0)
    assert (
        eoseos["difference"] == 0.0 and eoseos["p_holm"] == 1.0 and math.isnan(eoseos["deviation"])
    )
    assert (hazard["head_coverage"], eoseos["smartcrop_coverage"]) == (0.95, 0.95)
    lines = as_markdown(table).splitlines()
    assert lines[2].startswith("| hazard | 2 | 9.0 | 0.0 ± 0.0 | -9.0 [")
    assert lines[3].startswith("| eoseos | 1 | 9.0 | 9.0 | +0.0 [")


def test_nothing_is_compared_without_the_base_or_a_recipe() -> None:
    base = model("text", 0, {"classification": [1.0], "smartcrop": [1.0]})
    recipe = model("hazard", 0, {"classification": [1.0], "smartcrop": [1.0]})
    assert head_or_training([base], HEADS[0]).empty
    assert head_or_training([recipe], HEADS[0]).empty
