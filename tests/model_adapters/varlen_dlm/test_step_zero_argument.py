"""`step_zero=` among the model arguments: what it costs, what a run says of it, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eosbench
from benchmarks.made_runs import make_run
from eosbench.api import Model
from eosbench.bounds import Calibration
from eosbench.errors import ConfigurationError
from eosbench.forward import estimated_flops
from eosbench.predictors import load_predictor, save_folder, view_of
from eosbench.records import LengthRecord
from eosbench.results.runs import read_runs
from eosbench.sweep import Grid
from eosbench.sweep.plan import planned_runs
from model_adapters.varlen_dlm.parsing import parse_arguments
from tests.golden_files import GOLDEN
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, benchmark, model_of

TOP1 = {"method": "logit", "variant": "top1", "rounding": "none"}


def test_a_bound_at_a_grid_and_its_costs_by_hand() -> None:
    """The prompt has 3 tokens, and grid:4 of 16 is 0, 2, 7 and 15: EOS is the likeliest token at 7
    and 15, though it is from 5 on.
    """
    backbone = backbone_of({"q?": "abcde"}, takes_positions=True)
    model = model_of(backbone, **TOP1, step_zero="grid:4")
    assert model.generate_until([asked("q?", 0, task="gen")]) == ["abcde"]
    [first, *_] = backbone.passes
    assert first[0].shape == (1, 3 + 4)
    info = model.get_model_info()["eosbench"]
    assert info["method_options"]["step_zero"] == "grid:4"
    cost = info["costs"]["gen"]
    assert cost["mean_window"] == 7
    assert cost["token_positions"] - (3 + 7) * (cost["forward_passes"] - 1) == 3 + 4


def test_the_cost_of_a_prediction_alone() -> None:
    backbone = backbone_of({"q?": "abcde"}, takes_positions=True)
    costs = {}
    for step_zero in ("full", "grid:4", "grid:16"):
        model = Model(model_of(backbone, **TOP1, step_zero=step_zero))
        [length] = model.predict_lengths(["q?"])
        costs[step_zero] = length.cost
    spec = backbone.spec
    for step_zero, run in (("full", 16), ("grid:4", 4), ("grid:16", 16)):
        cost = costs[step_zero]
        assert (cost.forward_passes, cost.token_positions) == (1, 3 + run)
        assert cost.flops == estimated_flops(spec, 3 + run, 1, run)


def test_revealed_tokens_are_charged() -> None:
    """grid:2 of 16 runs 0 and 15, beside what is revealed."""
    backbone = backbone_of({"q?": "abcdefgh"}, takes_positions=True)
    model = model_of(backbone, **TOP1, step_zero="grid:2")
    answer = model.generate_until([benchmark("q?", "abcdefgh", 0.5)])
    found = LengthRecord.from_json(answer[0])
    run = {0, 15, *found.revealed}
    assert len(found.revealed) == 4
    assert backbone.passes[0][0].shape == (1, 3 + len(run))
    assert model.get_model_info()["eosbench"]["costs"]["task"]["token_positions"] == 3 + len(run)
    # What the model says at the end is not asked of a pass that may have left it out.
    assert (found.eos_rank, found.eos_prob, found.eos_false) == (None, None, None)
    assert len(found.eos_probability or []) == 16


def test_settings_of_another_view_have_another_fingerprint() -> None:
    backbone = backbone_of({"q?": "abcde"}, takes_positions=True)
    prints = {
        model_of(backbone, **TOP1, step_zero=step_zero).fingerprint
        for step_zero in ("full", "grid:4", "grid:5")
    }
    assert len(prints) == 3


def test_an_option_that_says_what_holds_anyway_changes_no_fingerprint(tmp_path: Path) -> None:
    """Neither a default nor what the predictor was fitted with: the answers are the same."""
    backbone = backbone_of({"q?": "abcde"}, takes_positions=True)
    plain = model_of(backbone, **TOP1).fingerprint
    assert model_of(backbone, **TOP1, step_zero="full").fingerprint == plain
    given: dict[str, Any] = {"variant": "threshold", "tau": 0.7, "step_zero": "grid:4"}
    fitted = load_predictor("logit", backbone=backbone, canvas=16, options=given)
    save_folder(tmp_path / "logit", fitted, backbone=backbone, canvas=16)
    folder = {"method": "logit", "predictor": str(tmp_path / "logit")}
    prints = {model_of(backbone, **folder, **more).fingerprint for more in ({}, given)}
    assert len(prints) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "logit", "step_zero": "half"}, r"step_zero='half': expected full, prompt, or"),
        ({"method": "logit", "step_zero": "prompt"}, "'logit' reads positions of the canvas"),
        ({"method": "classification", "step_zero": "prompt"}, "'classification' reads positions"),
        (
            {"method": "logit", "predictor": "heads/x", "step_zero": "prompt"},
            "'logit' reads positions of the canvas",
        ),
        ({"method": "fixed", "step_zero": "grid:4"}, "'fixed' has no option step_zero"),
        ({"method": "daedal", "step_zero": "grid:4"}, "'daedal' has no option step_zero"),
    ],
)
def test_what_is_refused_before_anything_is_loaded(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_arguments({"pretrained": "nowhere", **given})


def test_the_embedded_predictors_are_of_the_whole_canvas() -> None:
    with pytest.raises(ConfigurationError, match=r"step_zero='full', asked for is 'grid:31'"):
        eosbench.load(method="classification", step_zero="grid:31", device="cpu")
    bare = eosbench.load(method="logit", step_zero="grid:31", device="cpu").as_lm()
    assert bare.method.calibration is None  # type: ignore[union-attr]
    full = eosbench.load(method="logit", step_zero="full", device="cpu").as_lm()
    assert full.method.calibration is not None  # type: ignore[union-attr]


def test_a_folder_of_a_grid_is_used_as_it_was_fitted(tmp_path: Path) -> None:
    backbone = backbone_of({"q?": "abcde"}, takes_positions=True)
    options = {"variant": "top1", "step_zero": "grid:4"}
    rule = load_predictor("logit", backbone=backbone, canvas=16, options=options)
    table = Calibration({0.0: np.zeros(30)})
    save_folder(tmp_path, replace(rule, calibration=table), backbone=backbone, canvas=16)
    model = model_of(backbone, method="logit", predictor=str(tmp_path))
    assert str(view_of(model.method.predictor)) == "grid:4"  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match="asked for is 'full': leave the option out"):
        model_of(backbone, method="logit", predictor=str(tmp_path), step_zero="full")


def test_a_sweep_leaves_it_out_for_methods_that_do_not_read_the_model() -> None:
    runs = planned_runs(
        ["logit", "smartcrop", "fixed", "oracle", "blocks"],
        {"pretrained": str(GOLDEN / "llada-trained"), "step_zero": "grid:4"},
        flags={},
        predictors=None,
        grid=Grid(),
    )
    assert [run.arguments.options.get("step_zero") for run in runs] == [
        "grid:4",
        "grid:4",
        None,
        None,
        None,
    ]


def test_names_of_runs_tell_a_grid_from_the_whole_canvas(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "classification", method_options={"step_zero": "grid:31"})
    make_run(tmp_path / "b", "logit", fingerprint="b" * 16)  # of a version without the option
    make_run(tmp_path / "c", "logit", fingerprint="c" * 16, method_options={"step_zero": "grid:31"})
    assert [run.name for run in read_runs(tmp_path)] == [
        "classification step_zero=grid:31",
        "logit",
        "logit step_zero=grid:31",
    ]
