"""From a prediction to a bound, the same way for all methods: calibrate, round up, clamp. No torch.

What calibration adds to a prediction, and which promise that keeps, is
eosbench/bounds/calibration.py's; rounding comes after it, so what it buys beyond the promise can be
told apart (`LengthBound.calibrated` against `.bound`).

Two choices that the numbers depend on:

- An answer's length is a whole number, so rounding up forgives `TOLERANCE` tokens: 64.0000001 is
  64, not 65 (nor 128). This never costs coverage: a value at or above a whole number L still rounds
  to at least L.
- Clamping to the canvas is the only step that can lose coverage. It is flagged when the calibrated
  value itself needed more than the canvas, not when merely its rounding did (70 tokens on a canvas
  of 100: pow2 says 128, the bound is 100, nothing lost).
"""

from __future__ import annotations

import math

from eosbench.bounds.calibration import Calibration, fewest_scores
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.metrics import ROUNDING_TOLERANCE
from eosbench.records import LengthBound, LengthPrediction

ROUNDINGS = ("pow2", "block", "none")
TOLERANCE = ROUNDING_TOLERANCE

__all__ = ["ROUNDINGS", "TOLERANCE", "round_up", "to_bound"]


def round_up(length: float, rounding: str = "pow2", block_length: int = 32) -> int:
    """The next power of two ("pow2"), multiple of `block_length` ("block") or whole number
    ("none"), at least 1.

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
    alpha: float | None = 0.05,
    shortfall: float | None = None,
    groups: str | None = None,
    prompt_length: int = 0,
    rounding: str = "pow2",
    block_length: int = 32,
) -> LengthBound:
    """The upper bound that a prediction stands for: calibrated, rounded up, clamped to [1, canvas].

    What the revealed tokens prove (`prediction.at_least`) holds after calibration too, which may
    lower a prediction.

    Args: prediction: what a predictor said. canvas: C. fraction: unmasked fraction u that the
        predictor saw; 0 in plain generation. calibration: scores of this predictor; None leaves the
        prediction as it is, as does alpha=None. alpha: share of answers that may be longer than the
        bound. shortfall: promise a mean shortfall of at most so many tokens instead of a coverage;
        alpha is not used then. groups: keep the promise within each group of "prompt" or
        "prediction" lengths; None keeps it over all documents. prompt_length: P, for
        groups="prompt". rounding: "pow2", "block" or "none". block_length: for rounding="block".

    Raises: CalibrationError: too few scores, or none for this fraction or group.
        ConfigurationError: canvas below 1, alpha outside (0, 1), a shortfall of 0, unknown rounding
        or groups,
            block_length below 1.
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
    if alpha is not None:
        fewest_scores(alpha)  # a wrong alpha is an error with or without a calibration
    calibrated = float(prediction.length)
    if calibration is not None and (alpha is not None or shortfall is not None):
        members_N = None
        if groups is not None:
            members_N = calibration.members(
                groups, fraction, prompt_length=prompt_length, prediction=prediction.length
            )
        if shortfall is not None:
            margin = calibration.shortfall_margin(fraction, shortfall, canvas, members_N)
        else:
            assert alpha is not None
            margin = calibration.quantile(fraction, alpha, members_N)
        calibrated = (
            math.expm1(math.log1p(calibrated) + margin)
            if calibration.scale == "log"
            else calibrated + margin
        )
    calibrated = max(calibrated, float(prediction.at_least), 0.0)
    clamped = calibrated - TOLERANCE > canvas
    return LengthBound(
        min(round_up(calibrated, rounding, block_length), canvas), calibrated, clamped
    )
