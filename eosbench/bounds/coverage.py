"""A coverage: the answer is at most as long as the bound, with probability at least 1 - alpha.

One-sided split conformal prediction. Raising a new prediction by the ceil((n + 1)(1 - alpha))-th
smallest of n calibration scores covers its answer with probability at least 1 - alpha, whatever the
predictor is worth, as long as the new document is exchangeable with the calibration documents. For
a predictor that was trained with the pinball loss this is conformalised quantile regression (Romano
et al., arXiv 1905.03222, in its one-sided form).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from eosbench.bounds.scores import Scored
from eosbench.errors import ConfigurationError

__all__ = ["Coverage", "least_alpha"]


@dataclass(frozen=True)
class Coverage:
    """The promise that a share of at least 1 - alpha of the answers is covered.

    Args:
        alpha: share of answers that may be longer than their bound.

    Raises:
        ConfigurationError: alpha outside (0, 1).

    Example:
        >>> Coverage(alpha=0.05).fewest(canvas=256)
        19
        >>> Coverage(alpha=0.05).margin(Scored(np.arange(1.0, 100.0), "linear"), canvas=256)
        95.0
    """

    name: ClassVar[str] = "split_conformal"
    remedy: ClassVar[str] = "raise alpha"

    alpha: float

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise ConfigurationError(
                f"alpha={self.alpha!r}: expected a number above 0 and below 1, the share of "
                "answers that may be missed"
            )

    def fewest(self, canvas: int) -> int:
        """The smallest number of calibration documents for which the quantile exists."""
        return math.ceil((1.0 - self.alpha) / self.alpha - 1e-9)

    def margin(self, scored: Scored, canvas: int) -> float:
        """The ceil((n + 1)(1 - alpha))-th smallest score."""
        exact = (len(scored) + 1) * (1.0 - self.alpha)
        order = math.ceil(exact - 1e-9)  # 20 * 0.95 may come out as 19.000000000000004
        return float(np.partition(scored.score_N, order - 1)[order - 1])

    def settings(self) -> dict[str, Any]:
        """The model arguments that ask for this promise."""
        return {"alpha": self.alpha}

    def in_words(self, canvas: int) -> str:
        """The promise as a message names it."""
        return f"alpha={self.alpha:g}"


def least_alpha(documents: int) -> float:
    """The least alpha, in whole hundredths, that a number of calibration documents can keep.

    Args:
        documents: that calibrate, at least one.

    Example:
        >>> least_alpha(12), Coverage(least_alpha(12)).fewest(canvas=256)
        (0.08, 12)
    """
    return math.ceil(100 / (documents + 1) - 1e-9) / 100
