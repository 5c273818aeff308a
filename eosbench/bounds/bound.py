"""From a prediction to a bound, the same way for all methods: calibrate, round up, clamp. No torch.

Rounding (rounding.py) comes after calibration (calibration.py), so that what it buys beyond the
promise can be told apart (`LengthBound.calibrated` against `.bound`).

Clamping to the canvas is the only step that can lose coverage. It is flagged when the calibrated
value itself needed more than the canvas, not when only its rounding did (70 tokens on a canvas of
100: pow2 says 128, the bound is 100, and nothing is lost).
"""

from __future__ import annotations

import math

from eosbench.bounds.calibration import Calibration
from eosbench.bounds.promise import Promise
from eosbench.bounds.rounding import TOLERANCE, round_up
from eosbench.bounds.scores import add_margin
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.records import LengthBound, LengthPrediction

_USUAL = Promise()

__all__ = ["to_bound"]


def to_bound(
    prediction: LengthPrediction,
    *,
    canvas: int,
    fraction: float = 0.0,
    calibration: Calibration | None = None,
    promise: Promise | None = _USUAL,
    prompt_length: int = 0,
    rounding: str = "pow2",
    block_length: int = 32,
) -> LengthBound:
    """The upper bound that a prediction stands for: calibrated, rounded up, clamped to [1, canvas].

    What the revealed tokens prove (`prediction.at_least`) holds after calibration too, which may
    lower a prediction.

    Args:
        prediction: what a predictor said.
        canvas: C, in tokens.
        fraction: unmasked fraction u that the predictor saw; 0 in plain generation.
        calibration: scores of this predictor; None leaves the prediction as it is.
        promise: what the bound is to keep, by default a coverage of 95 %; None leaves the
            prediction as it is.
        prompt_length: P, in tokens, for a promise within groups of prompts.
        rounding: "pow2", "block" or "none".
        block_length: in tokens, for rounding="block".

    Raises:
        CalibrationError: too few scores for the promise, or none for this fraction or group.
        ConfigurationError: a canvas or block length below 1, or an unknown rounding.
        PredictorError: the predicted length is negative or not a finite number.

    Example:
        >>> to_bound(LengthPrediction(40.3), canvas=256)
        LengthBound(bound=64, calibrated=40.3, clamped=False)
    """
    if canvas < 1:
        raise ConfigurationError(f"canvas={canvas!r}: expected at least 1")
    if not (math.isfinite(prediction.length) and prediction.length >= 0):
        raise PredictorError(
            f"predicted length {prediction.length!r}: expected a finite number of tokens, 0 or more"
        )
    calibrated = float(prediction.length)
    if calibration is not None and promise is not None:
        margin = calibration.margin(
            promise,
            canvas=canvas,
            fraction=fraction,
            prompt_length=prompt_length,
            prediction=prediction.length,
        )
        calibrated = add_margin(calibrated, margin, calibration.scale)
    calibrated = max(calibrated, float(prediction.at_least), 0.0)
    clamped = calibrated - TOLERANCE > canvas
    bound = min(round_up(calibrated, rounding, block_length), canvas)
    return LengthBound(bound, calibrated, clamped)
