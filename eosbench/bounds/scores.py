"""Scores of calibration documents: by how much each answer was longer than predicted.

A score is L - prediction (`scale="linear"`), or the same between logarithms (`scale="log"`, the
default: a factor instead of a number of tokens). A margin is a number on the same scale that raises
a prediction.

Legend: N calibration documents; L the length of an answer in tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.errors import CalibrationError, ConfigurationError

Scale = Literal["log", "linear"]

__all__ = [
    "Scale",
    "Scored",
    "add_margin",
    "calibration_scores",
    "check_scale",
    "predicted",
    "stored",
]


@dataclass(frozen=True, eq=False)
class Scored:
    """The calibration documents that a margin is taken from.

    Attributes:
        score_N: the score of each document at one unmasked fraction.
        scale: the scale of the scores.
        length_N: L of each document, None in a predictor folder of an older version.
        prompt_length_N: tokens of its prompt, likewise.
    """

    score_N: NDArray[np.float64]
    scale: Scale
    length_N: NDArray[np.float64] | None = None
    prompt_length_N: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.score_N)

    def lengths(self, purpose: str) -> NDArray[np.float64]:
        """The lengths [N] of the answers in tokens.

        Raises:
            CalibrationError: the predictor folder has none; `purpose` says what needs them.
        """
        return stored(self.length_N, purpose)

    def chosen(self, members_N: NDArray[np.bool_]) -> Scored:
        """The documents among them for which `members_N` is true."""
        length_N, prompt_N = (
            None if value_N is None else value_N[members_N]
            for value_N in (self.length_N, self.prompt_length_N)
        )
        return Scored(self.score_N[members_N], self.scale, length_N, prompt_N)


def calibration_scores(
    prediction_N: ArrayLike, length_N: ArrayLike, scale: Scale = "log"
) -> NDArray[np.float64]:
    """By how much each answer was longer than predicted, on a scale.

    Args:
        prediction_N: predicted lengths in tokens.
        length_N: true lengths in tokens.
        scale: "linear" for L - prediction, "log" for log(1 + L) - log(1 + prediction).

    Raises:
        ConfigurationError: an unknown scale.

    Example:
        >>> calibration_scores([10.0, 20.0], [12, 15], scale="linear").tolist()
        [2.0, -5.0]
    """
    check_scale(scale)
    prediction_N = np.asarray(prediction_N, dtype=np.float64)
    length_N = np.asarray(length_N, dtype=np.float64)
    if scale == "linear":
        return np.asarray(length_N - prediction_N)
    return np.asarray(np.log1p(length_N) - np.log1p(prediction_N))


def predicted(scored: Scored, purpose: str) -> NDArray[np.float64]:
    """The predictions [N] in tokens that the scores were taken of: `calibration_scores` undone.

    Raises:
        CalibrationError: the predictor folder has no lengths; `purpose` says what needs them.
    """
    length_N = scored.lengths(purpose)
    if scored.scale == "linear":
        return np.asarray(length_N - scored.score_N)
    return np.asarray(np.expm1(np.log1p(length_N) - scored.score_N))


def add_margin(prediction: float, margin: float, scale: Scale) -> float:
    """A prediction in tokens, raised by a margin on a scale.

    >>> add_margin(9.0, 1.0, "linear"), round(add_margin(9.0, math.log(2), "log"), 6)
    (10.0, 19.0)
    """
    if scale == "linear":
        return prediction + margin
    return math.expm1(math.log1p(prediction) + margin)


def stored(value_N: NDArray[np.float64] | None, purpose: str) -> NDArray[np.float64]:
    """The values that a predictor folder holds of its calibration documents.

    Raises:
        CalibrationError: it says nothing (None); `purpose` says what needs it.
    """
    if value_N is None:
        raise CalibrationError(
            f"this predictor's folder has no calibration documents for {purpose}: fit it again"
        )
    return np.asarray(value_N, dtype=np.float64)


def check_scale(scale: str) -> None:
    """Refuses a scale that does not exist.

    Raises:
        ConfigurationError: neither "log" nor "linear".
    """
    if scale not in get_args(Scale):
        raise ConfigurationError(
            f"calibration scale {scale!r}: expected one of {', '.join(get_args(Scale))}"
        )
