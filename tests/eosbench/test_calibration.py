"""Margins for a mean shortfall, against the definition of conformal risk control (arXiv 2208.02814, theorem 1)."""

from __future__ import annotations

import numpy as np
import pytest

from eosbench.calibration import Calibration, Scale, calibration_scores
from eosbench.errors import CalibrationError

C = 256


def raised(prediction_N: np.ndarray, margin: float, scale: Scale) -> np.ndarray:
    return (1 + prediction_N) * np.exp(margin) - 1 if scale == "log" else prediction_N + margin


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_margin_is_the_smallest_that_keeps_the_level(scale: Scale) -> None:
    rng = np.random.default_rng(0)
    length_N = rng.integers(1, 120, 400).astype(float)
    prediction_N = length_N * np.exp(rng.normal(0, 0.4, 400))
    table = Calibration({0.0: calibration_scores(prediction_N, length_N, scale)}, scale, length_N=length_N)
    margin = table.shortfall_margin(0.0, 2.0, C)

    def promised(at: float) -> float:
        loss_N = np.maximum(0, length_N - raised(prediction_N, at, scale))
        return float((loss_N.sum() + C) / 401)

    assert promised(margin) == pytest.approx(2.0)
    assert promised(margin - 1e-3) > 2.0


def test_too_few_documents_for_a_level() -> None:
    table = Calibration({0.0: np.zeros(126)}, length_N=np.ones(126))
    with pytest.raises(CalibrationError, match="at least 127"):
        table.shortfall_margin(0.0, 2.0, C)
