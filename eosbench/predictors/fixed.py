"""`fixed`: the whole canvas, whatever the prompt: what everybody does, and what saving is measured
against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from eosbench.predictors.protocol import Fitting, Reads
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import Need, StepZero


class Fixed:
    """Predicts C, the length of the canvas it is shown."""

    reads: ClassVar[Reads] = "nothing"
    needs: ClassVar[frozenset[Need]] = frozenset()
    fitting: ClassVar[Fitting] = "none"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        return [LengthPrediction(float(len(prompt.canvas))) for prompt in batch.prompts]
