"""`mean`: the mean length of the training answers, whatever the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero


class Mean:
    """Predicts one length for every prompt.

    Args:
        length: the mean over the training answers, in tokens.
    """

    def __init__(self, *, length: float) -> None:
        self.length = float(length)
        self.options: dict[str, Any] = {"length": self.length}

    @classmethod
    def from_lengths(cls, length_N: NDArray[np.int64]) -> Mean:
        """The predictor of these N training answers, whose lengths are in tokens."""
        return cls(length=float(np.mean(length_N)))

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """`length` for every prompt."""
        return [LengthPrediction(self.length) for _ in batch.prompts]
