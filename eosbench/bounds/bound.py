"""From a prediction to a bound, the same way for all methods: calibrate, round up, clamp. No torch.

Rounding comes after calibration (calibration.py), so that what it buys beyond the promise can be
told apart (`LengthBound.calibrated` against `.bound`). Two choices that the numbers depend on:

- The length of an answer is a whole number, so rounding up forgives `TOLERANCE` tokens: 64.0000001
  is 64, not 65 (nor 128). This never costs coverage: a value at or above a whole number L still
  rounds to at least L.
- Clamping to the canvas is the only step that can lose coverage. It is flagged when the calibrated
  value itself needed more than the canvas, not when only its rounding did (70 tokens on a canvas of
  100: pow2 says 128, the bound is 100, and nothing is lost).
"""

from __future__ import annotations

import math

from eosbench.bounds.calibration import Calibration
from eosbench.bounds.promise import Promise
from eosbench.bounds.scores import add_margin
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.metrics import ROUNDING_TOLERANCE
from eosbench.records import LengthBound, LengthPrediction

ROUNDINGS = ("pow2", "block", "none")
TOLERANCE = ROUNDING_TOLERANCE
_USUAL = Promise()

__all__ = ["ROUNDINGS", "TOLERANCE", "round_up", "to_bound"]


def round_up(length: float, rounding: str = "pow2", block_length: int = 32) -> int:
    """A length in tokens, rounded up; at least 1.

    Args:
        length: in tokens.
        rounding: "pow2" for the next power of two, "block" for the next multiple of `block_length`,
            "none" for the next whole number.
        block_length: in tokens, for rounding="block".

    Raises:
        ConfigurationError: an unknown rounding, or a block length below 1.

    Example:
        >>> [round_up(length) for length in (0.2, 64.0000001, 65)]
        [1, 64, 128]
        >>> round_up(33, "block", block_length=32)
        64
    """
    if rounding not in ROUNDINGS:
        raise ConfigurationError(f"rounding {rounding!r}: expected one of {', '.join(ROUNDINGS)}")
    if block_length < 1:
        raise ConfigurationError(f"block_length={block_length!r}: expected at least 1")
    whole = max(1, math.ceil(length - TOLERANCE))
    if rounding == "pow2":
        return 1 << (whole - 1).bit_length()
    if rounding == "block":
        return -(-whole // block_length) * block_length
    return whole


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
