"""`random`: a length drawn evenly from 1 to the longest training answer: what knowing nothing
scores.

The draw is seeded by the prompt's token ids, so a prompt gets the same length in every batch,
process and run.
"""

from __future__ import annotations

import hashlib
from random import Random as Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eosbench.errors import ConfigurationError
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero
    from eosbench.records import Prompt


class Random:
    """Predicts a whole number from 1 to `longest`, taken from the training answers by
    `from_lengths`.
    """

    def __init__(self, *, longest: int) -> None:
        if longest < 1:
            raise ConfigurationError(f"longest={longest!r}: expected at least 1")
        self.longest = int(longest)
        self.options: dict[str, Any] = {"longest": self.longest}

    @classmethod
    def from_lengths(cls, length_N: NDArray[np.int64]) -> Random:
        return cls(longest=int(np.max(length_N)))

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        return [LengthPrediction(float(self._draw(prompt))) for prompt in batch.prompts]

    def _draw(self, prompt: Prompt) -> int:
        seed = hashlib.sha256(" ".join(map(str, prompt.ids)).encode()).digest()
        return Generator(seed).randint(1, self.longest)
