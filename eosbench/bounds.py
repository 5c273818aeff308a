"""From a prediction to a bound, the same way for all methods: calibrate, round up, clamp. No torch.

Calibration is one-sided split conformal. On calibration documents, which no fit has seen, a score says how far the answer was
longer than predicted: L - prediction, or the same between logarithms (`scale="log"`, the default: a factor instead of a number
of tokens). Adding the ceil((n + 1)(1 - alpha))-th smallest of n scores to a new prediction gives a bound that covers the answer
with probability at least 1 - alpha, whatever the predictor is worth, as long as the new document is exchangeable with the
calibration documents. There is one table of scores per unmasked fraction; a fraction without a table takes the next smaller one
(less was known there), and where there is none it is an error.

Two choices that the numbers depend on:

- An answer's length is a whole number, so rounding up forgives `TOLERANCE` tokens: 64.0000001 is 64, not 65 (nor 128). This
  never costs coverage: a value at or above a whole number L still rounds to at least L.
- Clamping to the canvas is the only step that can lose coverage. It is flagged when the calibrated value itself needed more
  than the canvas, not when merely its rounding did (70 tokens on a canvas of 100: pow2 says 128, the bound is 100, nothing lost).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.errors import CalibrationError, ConfigurationError, PredictorError
from eosbench.records import LengthBound, LengthPrediction

Scale = Literal["log", "linear"]
ROUNDINGS = ("pow2", "block", "none")
TOLERANCE = 1e-4

__all__ = ["ROUNDINGS", "TOLERANCE", "Calibration", "calibration_scores", "fewest_scores", "round_up", "to_bound"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sorted calibration scores per unmasked fraction.

    Attributes:
        scores: fraction -> scores; sorted when the table is made, whatever order they come in.
        scale: on which scale they were taken, see `calibration_scores`.

    Raises:
        CalibrationError: no table, or a score that is not a finite number.
        ConfigurationError: unknown scale.

    Example:
        >>> table = Calibration({0.0: np.arange(1.0, 100.0)}, scale="linear")
        >>> table.quantile(0.0, alpha=0.05)
        95.0
    """

    scores: Mapping[float, NDArray[np.float64]]
    scale: Scale = "log"

    def __post_init__(self) -> None:
        _known_scale(self.scale)
        if not self.scores:
            raise CalibrationError("a calibration needs the scores of at least one unmasked fraction, got none")
        tables = {float(fraction): np.sort(np.asarray(scores, dtype=np.float64)) for fraction, scores in self.scores.items()}
        for fraction, scores in tables.items():
            if not np.isfinite(scores).all():
                raise CalibrationError(f"calibration scores at fraction {fraction:g}: all must be finite numbers")
        object.__setattr__(self, "scores", dict(sorted(tables.items())))

    def quantile(self, fraction: float, alpha: float) -> float:
        """What to add to a prediction so that it covers with probability at least 1 - alpha.

        Raises:
            CalibrationError: too few scores for this alpha, or no table at or below this fraction.
            ConfigurationError: alpha outside (0, 1).
        """
        needed = fewest_scores(alpha)
        tables = [known for known in self.scores if known <= fraction]
        if not tables:
            known = ", ".join(f"{fraction:g}" for fraction in self.scores)
            raise CalibrationError(
                f"no calibration scores at or below the unmasked fraction {fraction:g}: there are only {known}"
            )
        scores = self.scores[tables[-1]]
        if len(scores) < needed:
            raise CalibrationError(
                f"{len(scores)} calibration documents at fraction {tables[-1]:g} are too few for alpha={alpha:g}: "
                f"it takes at least {needed}; add documents or raise alpha"
            )
        return float(scores[_order(len(scores), alpha) - 1])


def calibration_scores(prediction_N: ArrayLike, length_N: ArrayLike, scale: Scale = "log") -> NDArray[np.float64]:
    """How far each answer was longer than predicted: L - prediction ("linear"), or log(1 + L) - log(1 + prediction) ("log").

    >>> calibration_scores([10.0, 20.0], [12, 15], scale="linear").tolist()
    [2.0, -5.0]
    """
    _known_scale(scale)
    prediction_N, length_N = np.asarray(prediction_N, dtype=np.float64), np.asarray(length_N, dtype=np.float64)
    if scale == "linear":
        return np.asarray(length_N - prediction_N)
    return np.asarray(np.log1p(length_N) - np.log1p(prediction_N))


def fewest_scores(alpha: float) -> int:
    """The smallest number of calibration documents for which the quantile exists.

    >>> fewest_scores(0.05)
    19
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigurationError(
            f"alpha={alpha!r}: expected a number above 0 and below 1, the share of answers that may be missed"
        )
    return math.ceil((1.0 - alpha) / alpha - 1e-9)


def round_up(length: float, rounding: str = "pow2", block_length: int = 32) -> int:
    """The next power of two ("pow2"), multiple of `block_length` ("block") or whole number ("none"), at least 1.

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
    rounding: str = "pow2",
    block_length: int = 32,
) -> LengthBound:
    """The upper bound that a prediction stands for: calibrated, rounded up, clamped to [1, canvas].

    What the revealed tokens prove (`prediction.at_least`) holds after calibration too, which may lower a prediction.

    Args:
        prediction: what a predictor said.
        canvas: C.
        fraction: unmasked fraction u that the predictor saw; 0 in plain generation.
        calibration: scores of this predictor; None leaves the prediction as it is, as does alpha=None.
        alpha: share of answers that may be longer than the bound.
        rounding: "pow2", "block" or "none".
        block_length: for rounding="block".

    Raises:
        CalibrationError: too few scores, or none for this fraction.
        ConfigurationError: canvas below 1, alpha outside (0, 1), unknown rounding, block_length below 1.
        PredictorError: the predicted length is negative or not a finite number.

    Example:
        >>> to_bound(LengthPrediction(40.3), canvas=256)
        LengthBound(bound=64, calibrated=40.3, clamped=False)
    """
    if canvas < 1:
        raise ConfigurationError(f"canvas={canvas!r}: expected at least 1")
    if not (math.isfinite(prediction.length) and prediction.length >= 0):
        raise PredictorError(f"predicted length {prediction.length!r}: expected a finite number of tokens, 0 or more")
    if alpha is not None:
        fewest_scores(alpha)  # a wrong alpha is an error with or without a calibration
    calibrated = float(prediction.length)
    if calibration is not None and alpha is not None:
        quantile = calibration.quantile(fraction, alpha)
        calibrated = math.expm1(math.log1p(calibrated) + quantile) if calibration.scale == "log" else calibrated + quantile
    calibrated = max(calibrated, float(prediction.at_least), 0.0)
    clamped = calibrated - TOLERANCE > canvas
    return LengthBound(min(round_up(calibrated, rounding, block_length), canvas), calibrated, clamped)


def _order(count: int, alpha: float) -> int:
    """ceil((n + 1)(1 - alpha)), safe from 19.000000000000004."""
    return math.ceil((count + 1) * (1.0 - alpha) - 1e-9)


def _known_scale(scale: str) -> None:
    if scale not in get_args(Scale):
        raise ConfigurationError(f"calibration scale {scale!r}: expected one of {', '.join(get_args(Scale))}")
