"""`oracle`: the reference length itself, the limit that no method can pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eosbench.errors import PredictorError
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero


class Oracle:
    """Predicts L; works on tasks whose requests carry a reference."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The reference length of every prompt.

        Raises:
            PredictorError: a prompt carries no reference.
        """
        lengths = [prompt.reference_length for prompt in batch.prompts]
        if any(length is None for length in lengths):
            raise PredictorError(
                "method 'oracle' reads the reference length, and this request carries none: "
                "use it on eos_upper_bound tasks, or choose another method"
            )
        return [LengthPrediction(float(length)) for length in lengths if length is not None]
