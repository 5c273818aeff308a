"""The option `step_zero`: what methods make of a grid, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eosbench.bounds import Calibration
from eosbench.canvas_view import FULL, PROMPT, CanvasView
from eosbench.errors import ConfigurationError
from eosbench.forward import StepZero, run_step_zero
from eosbench.predictors import (
    METHODS,
    FittedPredictor,
    LengthReader,
    build,
    check_step_zero,
    load_predictor,
    save_folder,
    view_of,
)
from eosbench.predictors.concat_regression import grid_positions
from eosbench.records import Prompt
from tests.eosbench.toy import CANVAS, FIRST_NUMBER, toy_backbone
from tests.fakes import BOS, EOS, MASK, SEP, ScriptedBackbone
from tests.golden_files import load_golden

READERS = [method for method, row in METHODS.items() if row.needs]
LEARNED = [method for method in READERS if METHODS[method].fitting == "weights"]
BACKBONE = toy_backbone()


def canvas_says(probability_C: list[float], revealed: tuple[int, ...] = ()) -> StepZero:
    """Step zero at grid:4 of a canvas of 12 (0, 1, 5 and 11) that says EOS with these values."""
    V = 8

    def script(ids_T: torch.Tensor) -> torch.Tensor:
        logits_TV = torch.full((len(ids_T), V), -30.0)
        logits_TV[:, 5] = 0.0
        for index, probability in enumerate(probability_C):
            logits_TV[2 + index, EOS] = float(np.log(probability / (1 - probability)))
        return logits_TV

    backbone = ScriptedBackbone(script, vocab_size=V, takes_positions=True)
    canvas = tuple(6 if index in revealed else MASK for index in range(12))
    prompt = Prompt("", (4, 5), canvas)
    return run_step_zero(backbone, [prompt], view=CanvasView.of("grid:4"))


# 0.9 where nothing runs: whoever reads a position that did not run finds an end there.
RISING = [0.1, 0.2, 0.9, 0.9, 0.9, 0.6, *[0.9] * 5, 0.9]


@pytest.mark.parametrize(("tau", "length"), [(0.05, 0), (0.15, 1), (0.45, 4), (0.58, 5), (0.71, 8)])
def test_a_threshold_is_passed_between_points(tau: float, length: int) -> None:
    """On the line 0.2, 0.3, 0.4, 0.5, 0.6 from index 1 to 5, then 0.05 more at every index."""
    logit = build(
        "logit",
        backbone=BACKBONE,
        canvas=12,
        options={"variant": "threshold", "tau": tau, "step_zero": "grid:4"},
    )
    [prediction] = logit.predict(canvas_says(RISING))
    assert prediction.length == length


def test_the_whole_canvas_where_no_point_passes() -> None:
    options = {"variant": "threshold", "tau": 0.95, "step_zero": "grid:4"}
    logit = build("logit", backbone=BACKBONE, canvas=12, options=options)
    assert [one.length for one in logit.predict(canvas_says(RISING))] == [12]


def test_top1_begins_at_a_point() -> None:
    """EOS is the likeliest token at indices 5 and 11 alone."""
    options = {"variant": "top1", "step_zero": "grid:4"}
    logit = build("logit", backbone=BACKBONE, canvas=12, options=options)
    assert [one.length for one in logit.predict(canvas_says(RISING))] == [5]


def test_smartcrop_multiplies_along_the_line() -> None:
    """1 - 0.9 * 0.8 * 0.7 * 0.6 is 0.6976 at index 3, and 0.8488 at index 4."""
    crop = build(
        "smartcrop", backbone=BACKBONE, canvas=12, options={"tau": 0.8, "step_zero": "grid:4"}
    )
    [prediction] = crop.predict(canvas_says(RISING))
    assert prediction.length == 4
    curve = prediction.eos_probability
    assert curve is not None and curve[3:5] == pytest.approx([0.6976, 0.8488], abs=1e-4)


def test_classification_asks_after_the_revealed_tokens() -> None:
    """Index 3 is revealed: a line from 0 there to what the head says at index 5."""
    step = canvas_says(RISING, revealed=(3,))
    backbone = ScriptedBackbone(lambda ids_T: ids_T, vocab_size=8, takes_positions=True)
    head = build("classification", backbone=backbone, canvas=12, options={"step_zero": "grid:4"})
    for parameter in head.module.parameters():  # type: ignore[attr-defined]
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(head.module[-1].bias, 30.0)  # type: ignore[attr-defined]
    [prediction] = head.predict(step)
    curve = prediction.eos_probability
    assert curve is not None
    assert curve == pytest.approx([0, 0, 0, 0, 0.5, 1, 1, 1, 1, 1, 1, 1])
    assert prediction.length == 5  # tau is 0.9


@pytest.mark.parametrize(
    ("target", "at_points"),
    [("hazard", [0.5, 0.75, 0.875, 0.9375]), ("at", [0.2, 0.4, 0.6, 0.8])],
)
def test_a_distribution_is_one_over_the_points(target: str, at_points: list[float]) -> None:
    """Logits of 0: each hazard is one half, or the four points and "none" share evenly."""
    backbone = ScriptedBackbone(lambda ids_T: ids_T, vocab_size=8, takes_positions=True)
    options = {"target": target, "step_zero": "grid:4", "tau": 0.5}
    head = build("classification", backbone=backbone, canvas=12, options=options)
    for parameter in head.module.parameters():  # type: ignore[attr-defined]
        torch.nn.init.zeros_(parameter)
    step = canvas_says(RISING)
    [prediction] = head.predict(step)
    curve = prediction.eos_probability
    assert curve is not None and curve[[0, 1, 5, 11]] == pytest.approx(at_points)
    assert curve[3] == pytest.approx((at_points[1] + at_points[2]) / 2)
    # An answer of 3 tokens ends behind index 1, and so at the point 5.
    told = replace(step, prompts=[replace(step.prompts[0], reference_length=3)])
    kept = head.features(told)  # type: ignore[attr-defined]
    assert kept["ending64_index"][0, :5].tolist() == [0, 1, 5, 11, -1]
    assert kept["ending64_asked"].tolist() == [[4]]
    loss = head.loss(kept, torch.tensor([3]))  # type: ignore[attr-defined]
    expected = 0.125 if target == "hazard" else 0.2
    assert loss.exp().item() == pytest.approx(1 / expected, rel=1e-4)


def test_fits_keep_positions_of_the_grid() -> None:
    step = canvas_says(RISING, revealed=(1,))
    head = build("classification", backbone=BACKBONE, canvas=12, options={"positions": 6})
    features = head.features(step)  # type: ignore[attr-defined]
    assert features["positions6_index"].tolist() == [[0, 5, 11, -1, -1, -1]]
    hidden_CD = step.read("canvas_hidden_BCD")[0]
    assert torch.equal(features["positions6"][0, :3], hidden_CD[[0, 5, 11]])


def test_the_average_is_that_of_the_positions_that_ran() -> None:
    step = canvas_says(RISING, revealed=(3,))
    options = {"step_zero": "grid:4"}
    head = build("average_regression", backbone=BACKBONE, canvas=12, options=options)
    pooled = head.features(step)["pooled"]  # type: ignore[attr-defined]
    hidden_CD = step.read("canvas_hidden_BCD")[0]
    torch.testing.assert_close(pooled[0, 8:], hidden_CD[[0, 1, 3, 5, 11]].mean(dim=0))


def test_concat_regression_reads_points_of_the_grid() -> None:
    grids = {points: CanvasView(points) for points in (16, 31, 64)}
    own = grid_positions(256, 16)
    assert grid_positions(256, 16, grids[16]) == own == grid_positions(256, 16, grids[31])
    among = grid_positions(256, 16, grids[64])
    assert set(among) <= set(grids[64].grid(256)) and len(set(among)) == 16
    assert (among[0], among[-1]) == (0, 255)
    options = {"step_zero": "grid:8"}
    with pytest.raises(
        ConfigurationError, match=r"grid=16 .* step_zero=grid:8 .* step_zero=grid:16"
    ):
        build("concat_regression", backbone=BACKBONE, canvas=CANVAS, options=options)
    assert build(
        "concat_regression", backbone=BACKBONE, canvas=CANVAS, options={**options, "grid": 8}
    )


@pytest.mark.parametrize(
    ("method", "more"),
    [*((method, {}) for method in READERS), ("classification", {"target": "hazard"})],
)
def test_as_many_points_as_positions_give_the_same_lengths(
    method: str, more: dict[str, str]
) -> None:
    backbone = load_golden("llada-trained").backbone
    prompts = [Prompt("", tuple(range(10, 14 + n)), (backbone.spec.mask_id,) * 32) for n in (0, 5)]
    found = []
    for view in (FULL, CanvasView(32)):
        torch.manual_seed(0)
        options: dict[str, Any] = {"step_zero": str(view), **more}
        predictor = build(method, backbone=backbone, canvas=32, options=options)
        fitted = FittedPredictor(method, predictor)
        step = run_step_zero(backbone, prompts, view=view_of(predictor))
        found.append([prediction.length for prediction in fitted.predict(step)])
    assert found[0] == found[1]


# Folders.


def saved(folder: Path, method: str, **options: Any) -> FittedPredictor:
    scores = Calibration({0.0: np.linspace(-1, 1, 30)})
    predictor = build(method, backbone=BACKBONE, canvas=CANVAS, options=options)
    fitted = FittedPredictor(method, predictor, scores)
    return save_folder(folder, fitted, backbone=BACKBONE, canvas=CANVAS)


@pytest.mark.parametrize("method", READERS)
def test_a_folder_brings_its_view(method: str, tmp_path: Path) -> None:
    saved(tmp_path / "p", method, step_zero="grid:20")
    config = json.loads((tmp_path / "p" / "config.json").read_text(encoding="utf-8"))
    assert config["options"]["step_zero"] == "grid:20"
    for options in ({}, {"step_zero": "grid:20"}):
        loaded = load_predictor(
            method, tmp_path / "p", backbone=BACKBONE, canvas=CANVAS, options=options
        )
        assert view_of(loaded.predictor) == CanvasView(20)
        assert loaded.calibration is not None


@pytest.mark.parametrize(("fitted", "asked"), [("grid:20", "full"), ("full", "grid:20")])
def test_another_view_than_the_fitted_one_is_refused(
    fitted: str, asked: str, tmp_path: Path
) -> None:
    saved(tmp_path / "p", "classification", step_zero=fitted)
    message = (
        rf"was fitted with step_zero='{fitted}', asked for is '{asked}': leave the option out, or "
        rf"fit again with it: eosbench fit --method classification --option step_zero={asked}"
    )
    with pytest.raises(ConfigurationError, match=message):
        load_predictor(
            "classification",
            tmp_path / "p",
            backbone=BACKBONE,
            canvas=CANVAS,
            options={"step_zero": asked},
        )


def test_a_folder_of_before_is_one_of_the_whole_canvas(tmp_path: Path) -> None:
    saved(tmp_path / "p", "classification")
    path = tmp_path / "p" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["options"]["step_zero"]
    path.write_text(json.dumps(config), encoding="utf-8")
    for options in ({}, {"step_zero": "full"}):
        loaded = load_predictor(
            "classification", tmp_path / "p", backbone=BACKBONE, canvas=CANVAS, options=options
        )
        assert view_of(loaded.predictor) == FULL


# The prompt alone.


@pytest.mark.parametrize("method", ["logit", "smartcrop", "classification", "concat_regression"])
def test_methods_that_read_a_canvas_need_one(method: str) -> None:
    message = rf"'{method}' reads positions of the canvas, and step_zero=prompt runs none: take"
    with pytest.raises(ConfigurationError, match=message):
        check_step_zero(method, {"step_zero": "prompt"})


def test_the_average_of_the_prompt_needs_none() -> None:
    options = {"step_zero": "prompt"}
    with pytest.raises(ConfigurationError, match=r"pooling=both .* take pooling=prompt beside it"):
        check_step_zero("average_regression", options)
    check_step_zero("average_regression", options, has_folder=True)
    options["pooling"] = "prompt"
    backbone = load_golden("llada-trained").backbone
    torch.manual_seed(0)
    head = build("average_regression", backbone=backbone, canvas=16, options=options)
    assert view_of(head) == PROMPT
    prompts = [Prompt("", ids, (backbone.spec.mask_id,) * 16) for ids in ((5, 6, 7), (8, 9))]
    pooled = head.features(run_step_zero(backbone, prompts, view=PROMPT))["pooled"]  # type: ignore[attr-defined]
    for row, prompt in enumerate(prompts):
        mean = backbone.hidden(torch.tensor([prompt.ids]))[0].mean(dim=0)
        torch.testing.assert_close(pooled[row, : len(mean)], mean, atol=1e-5, rtol=1e-5)


# Shared passes.


def asked(number: int) -> Prompt:
    return Prompt(f"n{number}", (BOS, FIRST_NUMBER + number, SEP), (MASK,) * CANVAS)


def test_methods_of_one_view_share_a_pass() -> None:
    backbone = toy_backbone()
    asked_of = {
        "logit": ("logit", {"variant": "top1"}),
        "grid logit": ("logit", {"variant": "top1", "step_zero": "grid:8"}),
        "grid crop": ("smartcrop", {"step_zero": "grid:8"}),
    }
    fitted = {
        name: load_predictor(method, backbone=backbone, canvas=CANVAS, options=options)
        for name, (method, options) in asked_of.items()
    }
    reader = LengthReader(backbone, fitted, keep=True)
    prompts = [asked(4), asked(4), asked(20)]
    found = {name: list(reader.read(name, prompts, 3, with_eos=True)) for name in fitted}
    # A pass for each view; equal prompts run once.
    assert [ids_BT.shape for ids_BT, _ in backbone.passes] == [(2, 3 + CANVAS), (2, 3 + 8)]
    for name, one in fitted.items():
        alone = list(LengthReader(backbone, {name: one}).read(name, prompts, 3, with_eos=True))
        assert [reading.predictions[name].length for reading in alone] == [
            reading.predictions[name].length for reading in found[name]
        ]
    # What the model says at each position is known where each of them ran.
    assert all(reading.eos_rank_C is not None for reading in found["logit"])
    assert all(reading.eos_rank_C is None for reading in found["grid crop"])


def test_a_model_that_leaves_out_no_position_says_so_when_it_is_asked() -> None:
    backbone = toy_backbone()
    backbone.spec = replace(backbone.spec, takes_positions=False)
    with pytest.raises(ConfigurationError, match=r"step_zero=grid:8: scripted cannot be told"):
        load_predictor("logit", backbone=backbone, canvas=CANVAS, options={"step_zero": "grid:8"})
