"""`fixed`: the whole canvas, whatever the prompt.

This is what everybody does, and what saving is measured against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero


class Fixed:
    """Predicts C, the length of the canvas it is shown."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """C for every prompt."""
        return [LengthPrediction(float(len(prompt.canvas))) for prompt in batch.prompts]
