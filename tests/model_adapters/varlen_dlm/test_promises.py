"""Promises that cannot be kept end a run before its first prompt, in one message that says what it
would take.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eosbench.bounds.calibration import Calibration
from eosbench.bounds.scores import calibration_scores
from eosbench.errors import CalibrationError, ConfigurationError
from eosbench.predictors import load_predictor
from eosbench.predictors.folder import save_folder
from eosbench.sweep import Grid, sweep
from model_adapters.varlen_dlm.block_models import on_model
from model_adapters.varlen_dlm.model import VarLenDLM
from model_adapters.varlen_dlm.parsing import parse_arguments
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, model_of


def folder_with(calibration: Calibration | None, folder: Path, backbone: Any) -> str:
    rule = load_predictor("logit", backbone=backbone, canvas=16, options={"variant": "top1"})
    save_folder(folder, replace(rule, calibration=calibration), backbone=backbone, canvas=16)
    return str(folder)


def test_too_few_calibration_documents_are_told_at_the_start(tmp_path: Path) -> None:
    """A predictor as `eosbench fit --calibration_limit 10` leaves it, which warns of this then."""
    backbone = backbone_of({"q?": "abc"})
    table = Calibration(
        {0.0: np.zeros(10), 0.5: np.zeros(10)}, length_N=np.ones(10), prompt_length_N=np.ones(10)
    )
    given = {"method": "logit", "predictor": folder_with(table, tmp_path / "ten", backbone)}
    with pytest.raises(
        CalibrationError,
        match=r"^10 calibration documents are too few for alpha=0\.05: it takes at least 19;",
    ):
        model_of(backbone, **given)
    with pytest.raises(
        CalibrationError,
        match=r"10 .* a mean shortfall of 1 tokens on a canvas of 16: it takes at least 15",
    ):
        model_of(backbone, **given, shortfall=1)
    with pytest.raises(
        CalibrationError, match="no edges between groups of prompt lengths: fit it again"
    ):
        model_of(backbone, **given, alpha=0.2, groups="prompt")
    assert backbone.passes == []
    assert model_of(backbone, **given, alpha=0.1) and model_of(backbone, **given, alpha="none")


@pytest.mark.parametrize(
    ("promise", "message"),
    [
        (
            {"alpha": 0.0005},
            r"^1000 calibration documents are too few for alpha=0\.0005: it takes at least 1999;",
        ),
        (
            {"shortfall": 0.2},
            r"^1000 calibration documents .* 0\.2 tokens on a canvas of 256: "
            "it takes at least 1279;",
        ),
    ],
)
def test_the_packaged_predictors_tell_it_too(promise: dict[str, Any], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        VarLenDLM(device="cpu", **promise)


def test_the_cheapest_margin_is_that_of_what_a_request_is_charged(tmp_path: Path) -> None:
    """Every answer has 10 tokens, as predicted. A canvas of 16 in one block, a prompt of P:
    windows of 1, 2, 4, 8, 16 cost (1 + 1 + 2 + 4 + 8) P + 1 + 2 + 8 + 32 + 128, and no start is
    cheaper than the smallest window.
    """
    backbone = backbone_of({"q?": "abcdefghij"})
    table = Calibration(
        {0.0: calibration_scores(np.full(30, 10.0), np.full(30, 10.0))},
        length_N=np.full(30, 10.0),
        prompt_length_N=np.full(30, 3.0),
    )
    given = {
        "method": "logit",
        "predictor": folder_with(table, tmp_path / "ten", backbone),
        "promise": "cheapest",
        "overflow": "retry",
        "rounding": "pow2",
    }
    dlm = model_of(backbone, **given, stop_at_eos=False)
    assert len(dlm.tok_encode("q?")) == 3
    assert dlm.generate_until([asked("q?")]) == ["abcdefghij"]
    block = dlm.get_model_info()["eosbench"]
    kept = {"kind": "expected_cost", "promise": "cheapest", "samples": 30}
    assert (block["calibration"], block["decoding"]["promise"]) == (kept, "cheapest")
    expected = {"token_positions": 16 * 3 + 171.0, "standard_error": 0, "whole_canvas": 16 * 19.0}
    assert block["expected_cost"] == expected
    charged = block["costs"]["task"]["token_positions"] - (3 + 16)  # without step zero
    assert (charged, block["costs"]["task"]["retries"]) == (expected["token_positions"], 4)
    assert "expected_cost" not in model_of(backbone).get_model_info()["eosbench"]


def test_what_the_cheapest_margin_needs(tmp_path: Path) -> None:
    backbone = backbone_of({"q?": "abc"})
    cheapest = {"method": "logit", "promise": "cheapest", "overflow": "retry"}
    table = Calibration({0.0: np.zeros(30)}, length_N=np.ones(30))
    older = folder_with(table, tmp_path / "older", backbone)
    with pytest.raises(
        CalibrationError, match="no calibration documents for promise=cheapest: fit it again"
    ):
        model_of(backbone, **cheapest, predictor=older)
    assert backbone.passes == []
    told = replace(backbone.spec, attention="block", block_length=4)
    with pytest.raises(
        ConfigurationError, match="promise=cheapest counts passes over whole windows of masks, and"
    ):
        on_model(parse_arguments({**cheapest, "device": "cpu"}), told)


@pytest.mark.parametrize("promise", [{"shortfall": 2}, {"groups": "prompt"}])
def test_a_predictor_without_calibration_scores_keeps_no_promise(
    promise: dict[str, Any], tmp_path: Path
) -> None:
    backbone = backbone_of({"q?": "abc"})
    predictor = folder_with(None, tmp_path / "bare", backbone)
    with pytest.raises(
        ConfigurationError, match=r"'logit' has no calibration scores here to keep .*leave that out"
    ):
        model_of(backbone, method="logit", predictor=predictor, **promise)
    with pytest.raises(
        ConfigurationError,
        match=r"'classification' has no calibration scores here .*without a rule of your own",
    ):
        VarLenDLM(device="cpu", tau=0.3, **promise)


def test_an_alpha_without_a_meaning_is_said(caplog: pytest.LogCaptureFixture) -> None:
    backbone = backbone_of({"q?": "abc"})
    with caplog.at_level(logging.WARNING):
        model_of(backbone)
        model_of(backbone, alpha="none")
        assert not caplog.messages
        model_of(backbone, alpha=0.1)
    assert caplog.messages == [
        "method fixed has no calibration scores here: alpha=0.1 has no meaning"
    ]


def test_a_sweep_tells_promises_to_those_methods_that_can_keep_them(tmp_path: Path) -> None:
    asked = {"tasks": ["eos_upper_bound_u00"], "limit": 1, "batch_size": 1}
    results = sweep(
        ["mean", "fixed", "logit"],
        output_path=tmp_path,
        model_args="shortfall=4,groups=prompt",
        grid=Grid(taus=[0.3]),
        **asked,
    )
    said = {
        label: outcome["config"]["eosbench"]["calibration"] for label, outcome in results.items()
    }
    kept = {"kind": "risk_control", "shortfall": 4.0, "groups": "prompt", "samples": 1000}
    assert said == {"mean": kept, "fixed": None, "logit": kept, "logit tau=0.3": None}
    with pytest.raises(CalibrationError, match="it takes at least 1999"):  # before fixed has run
        sweep(["fixed", "mean"], output_path=tmp_path / "none", grid=Grid(alphas=[0.0005]), **asked)
    assert not (tmp_path / "none").exists()
