"""`random`: a length drawn evenly from 1 to that of the longest training answer.

This is what knowing nothing scores. The draw is seeded by the token ids of the prompt, so a prompt
gets the same length in every batch, process and run.
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
    """Predicts a whole number from 1 to `longest`.

    Args:
        longest: the length of the longest training answer, in tokens.

    Raises:
        ConfigurationError: `longest` is below 1.
    """

    def __init__(self, *, longest: int) -> None:
        if longest < 1:
            raise ConfigurationError(f"longest={longest!r}: expected at least 1")
        self.longest = int(longest)
        self.options: dict[str, Any] = {"longest": self.longest}

    @classmethod
    def from_lengths(cls, length_N: NDArray[np.int64]) -> Random:
        """The predictor of these N training answers, whose lengths are in tokens."""
        return cls(longest=int(np.max(length_N)))

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """A draw for every prompt."""
        return [LengthPrediction(float(self._draw(prompt))) for prompt in batch.prompts]

    def _draw(self, prompt: Prompt) -> int:
        seed = hashlib.sha256(" ".join(map(str, prompt.ids)).encode()).digest()
        return Generator(seed).randint(1, self.longest)
