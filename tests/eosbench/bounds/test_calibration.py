"""Margins for a mean shortfall, against the definition of conformal risk control (arXiv 2208.02814,
theorem 1), and groups.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eosbench.bounds.bound import to_bound
from eosbench.bounds.calibration import Calibration
from eosbench.bounds.coverage import Coverage, least_alpha
from eosbench.bounds.promise import Promise
from eosbench.bounds.scores import Scale, calibration_scores
from eosbench.bounds.shortfall import Shortfall
from eosbench.errors import CalibrationError, ConfigurationError
from eosbench.records import LengthPrediction

C = 256


def raised(prediction_N: np.ndarray, margin: float, scale: Scale) -> np.ndarray:
    return (1 + prediction_N) * np.exp(margin) - 1 if scale == "log" else prediction_N + margin


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_margin_is_the_smallest_that_keeps_the_level(scale: Scale) -> None:
    rng = np.random.default_rng(0)
    length_N = rng.integers(1, 120, 400).astype(float)
    prediction_N = length_N * np.exp(rng.normal(0, 0.4, 400))
    table = Calibration(
        {0.0: calibration_scores(prediction_N, length_N, scale)}, scale, length_N=length_N
    )
    margin = table.margin(Promise(Shortfall(2.0)), canvas=C)

    def promised(at: float) -> float:
        loss_N = np.maximum(0, length_N - raised(prediction_N, at, scale))
        return float((loss_N.sum() + C) / 401)

    assert promised(margin) == pytest.approx(2.0)
    assert promised(margin - 1e-3) > 2.0


def test_too_few_documents_for_a_level() -> None:
    table = Calibration({0.0: np.zeros(126)}, length_N=np.ones(126))
    with pytest.raises(CalibrationError, match="at least 127"):
        table.margin(Promise(Shortfall(2.0)), canvas=C)


def of_two_kinds() -> Calibration:
    """Twenty short prompts (5 tokens) whose answers are predicted as 10 and have 11, twenty long
    ones (50): 20 and 40.
    """
    length_N, predicted_N = np.repeat([11.0, 40.0], 20), np.repeat([10.0, 20.0], 20)
    return Calibration(
        {0.0: calibration_scores(predicted_N, length_N, "linear")},
        "linear",
        length_N=length_N,
        prompt_length_N=np.repeat([5.0, 50.0], 20),
        edges={"prompt": [10.0], "prediction": [15.0]},
    )


@pytest.mark.parametrize("groups", ["prompt", "prediction"])
def test_groups_have_margins_of_their_own(groups: str) -> None:
    """By hand: over all the margin is 20 tokens; among the short prompts, and among the short
    predictions, it is 1.
    """

    def bound(length: float, prompt_length: int, groups: str | None) -> int:
        return to_bound(
            LengthPrediction(length),
            canvas=C,
            calibration=of_two_kinds(),
            promise=Promise(groups=groups),
            prompt_length=prompt_length,
            rounding="none",
        ).bound

    assert (bound(12, 8, None), bound(30, 40, None)) == (32, 50)
    assert (bound(12, 8, groups), bound(30, 40, groups)) == (13, 50)


def test_a_shortfall_becomes_a_bound() -> None:
    """By hand: 199 documents are 10 tokens longer than predicted; (199 (10 - m) + 100) / 200 = 2
    for m = 10 - 300 / 199.
    """
    table = Calibration({0.0: np.full(199, 10.0)}, "linear", length_N=np.full(199, 30.0))
    found = to_bound(
        LengthPrediction(20),
        canvas=100,
        calibration=table,
        promise=Promise(Shortfall(2.0)),
        rounding="none",
    )
    assert found.calibrated == pytest.approx(20 + 10 - 300 / 199)


def test_what_is_promised() -> None:
    """A shortfall takes the place of a coverage; groups alone promise nothing."""
    assert Promise.of() == Promise(Coverage(0.05)) == Promise()
    assert Promise.of(alpha=None, groups="prompt") is None
    both = Promise.of(alpha=0.1, shortfall=2.0, groups="prediction")
    assert both == Promise(Shortfall(2.0), "prediction")
    assert both.settings() == {"shortfall": 2.0, "groups": "prediction"}
    for level in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigurationError, match=r"shortfall=.*expected a number of tokens"):
            Shortfall(level)


def test_what_groups_need() -> None:
    table = of_two_kinds()

    def margin(table: Calibration, groups: str, alpha: float = 0.05) -> float:
        return table.margin(
            Promise(Coverage(alpha), groups), canvas=C, prompt_length=5, prediction=1.0
        )

    with pytest.raises(
        CalibrationError,
        match=r"20 calibration documents in this document's group are too few for alpha=0\.01: "
        "it takes",
    ):
        margin(table, "prompt", alpha=0.01)
    with pytest.raises(
        ConfigurationError, match="groups='family': expected one of prompt, prediction"
    ):
        Promise(groups="family")
    with pytest.raises(
        CalibrationError, match="no edges between groups of prediction lengths: fit it again"
    ):
        margin(replace(table, edges={"prompt": [10.0]}), "prediction")
    with pytest.raises(CalibrationError, match="no calibration documents for groups: fit it again"):
        margin(Calibration({0.0: np.zeros(20)}), "prompt")


@pytest.mark.parametrize(
    ("promise", "message"),
    [
        (
            {"alpha": 0.01},
            r"40 calibration documents are too few for alpha=0\.01: it takes at least 99; "
            r"add documents or raise alpha",
        ),
        (
            {"shortfall": 2.0},
            r"40 calibration documents are too few for a mean shortfall of 2 tokens .* 256: "
            r"it takes at least 127",
        ),
        (
            {"alpha": 0.04, "groups": "prompt"},
            r"20 calibration documents in the largest group .*alpha=0\.04: "
            r"it takes at least 24; .*groups",
        ),
    ],
)
def test_a_promise_that_no_prompt_could_have_is_known_before_the_first(
    promise: dict[str, Any], message: str
) -> None:
    asked = Promise.of(**promise)
    assert asked is not None
    with pytest.raises(CalibrationError, match=message):
        of_two_kinds().check(asked, canvas=C)


@pytest.mark.parametrize("groups", ["prompt", "prediction"])
def test_a_promise_by_groups_needs_groups_at_the_start(groups: str) -> None:
    table = of_two_kinds()
    with pytest.raises(
        CalibrationError, match=f"no edges between groups of {groups} lengths: fit it again"
    ):
        replace(table, edges={}).check(Promise(groups=groups), canvas=C)
    with pytest.raises(CalibrationError, match="no calibration documents for groups: fit it again"):
        replace(table, length_N=None).check(Promise(groups=groups), canvas=C)


def test_what_can_be_kept_passes_and_a_group_that_is_too_small_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = of_two_kinds()
    with caplog.at_level(logging.WARNING):
        table.check(Promise(groups="prompt"), canvas=C)  # 20 documents in each group, 19 needed
        table.check(Promise(groups="prediction"), canvas=C)
        Calibration({0.0: np.zeros(19)}).check(Promise(), canvas=C)
        assert not caplog.messages
        replace(table, edges={"prompt": [4.0, 10.0]}).check(Promise(groups="prompt"), canvas=C)
    (message,) = caplog.messages
    assert "have 0, 20, 20 calibration documents and alpha=0.05 takes 19" in message


@pytest.mark.parametrize("documents", range(1, 200))
def test_the_least_alpha_is_one_that_so_few_documents_can_keep(documents: int) -> None:
    alpha = least_alpha(documents)
    assert Coverage(alpha).fewest(canvas=256) <= documents
    if alpha > 0.01:
        assert Coverage(alpha - 0.01).fewest(canvas=256) > documents
