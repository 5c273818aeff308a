"""A mean shortfall: the expected number of tokens that a bound is too short is at most a level.

Conformal risk control (Angelopoulos et al., arXiv 2208.02814, theorem 1). The loss of a margin m is
max(0, L - bound(m)), which falls as m grows and is at most C; the smallest m for which the n
calibration documents' mean loss R satisfies n / (n + 1) R + C / (n + 1) <= level keeps the expected
loss of a new document at or below the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from eosbench.bounds.scores import Scored
from eosbench.errors import ConfigurationError

__all__ = ["Shortfall"]


@dataclass(frozen=True)
class Shortfall:
    """The promise that bounds are at most `level` tokens too short in the mean.

    Args:
        level: mean shortfall in tokens, E[max(0, L - bound)].

    Raises:
        ConfigurationError: a level that is not a finite number above 0.

    Example:
        >>> Shortfall(level=2.0).fewest(canvas=256)
        127
    """

    name: ClassVar[str] = "risk_control"
    remedy: ClassVar[str] = "raise it"

    level: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and self.level > 0):
            raise ConfigurationError(
                f"shortfall={self.level!r}: expected a number of tokens above 0, the mean that "
                "may be missing"
            )

    def fewest(self, canvas: int) -> int:
        """The smallest number of calibration documents that can promise it: C / level - 1."""
        return max(1, math.ceil(canvas / self.level - 1 - 1e-9))

    def margin(self, scored: Scored, canvas: int) -> float:
        """The smallest margin that keeps the level on a canvas of C tokens.

        The mean loss is piecewise linear in the margin (in its exponential, on the log scale),
        convex and falling, and at least as large as the line through any of its pieces: the margin
        is the largest of the points where those lines pass the target.

        Raises:
            CalibrationError: the predictor folder has no lengths.
        """
        length_N = scored.lengths("risk control")
        target = max(0.0, (len(scored) + 1) * self.level - canvas)
        order = np.argsort(-scored.score_N)
        score_N = scored.score_N[order]
        if scored.scale == "linear":
            slack_N, slope_N = score_N, np.ones(len(scored))
            return float(np.max((np.cumsum(slack_N) - target) / np.cumsum(slope_N)))
        # L - ((1 + prediction) t - 1) with t = exp(margin), where
        # 1 + prediction = (1 + L) exp(-score)
        slack_N = 1.0 + length_N[order]
        slope_N = slack_N * np.exp(-score_N)
        factor = float(np.max((np.cumsum(slack_N) - target) / np.cumsum(slope_N)))
        return math.log(max(factor, 1e-12))

    def settings(self) -> dict[str, Any]:
        """The model arguments that ask for this promise."""
        return {"shortfall": self.level}

    def in_words(self, canvas: int) -> str:
        """The promise as a message names it."""
        return f"a mean shortfall of {self.level:g} tokens on a canvas of {canvas}"
