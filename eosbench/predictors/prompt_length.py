"""`prompt_length`: the length that the number of the prompt's tokens alone makes likely.

log(1 + length) is a linear function of n and log(1 + n), n the number of tokens of the prompt,
fitted by ridge regression (Hoerl and Kennard 1970) in closed form. It looks at no word of the
prompt and at no state of the model: a method that does not beat it has read nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero

# Of the penalty on the two coefficients, each of a feature of variance 1; the squared errors of all
# documents stand beside it, so that it matters where documents are few.
PENALTY = 1.0


class PromptLength:
    """Predicts exp(intercept + per_token n + per_log_token log(1 + n)) - 1 tokens.

    Args:
        intercept, per_token, per_log_token: the coefficients.
        longest: the length of the longest training answer, which no prediction exceeds.
    """

    def __init__(
        self, *, intercept: float, per_token: float, per_log_token: float, longest: int
    ) -> None:
        self.intercept, self.longest = float(intercept), int(longest)
        self.per_token, self.per_log_token = float(per_token), float(per_log_token)
        self.options: dict[str, Any] = {
            "intercept": self.intercept,
            "per_token": self.per_token,
            "per_log_token": self.per_log_token,
            "longest": self.longest,
        }

    @classmethod
    def from_prompts(
        cls, prompt_length_N: NDArray[np.int64], length_N: NDArray[np.int64]
    ) -> PromptLength:
        """The predictor of N training documents.

        Args:
            prompt_length_N: tokens of their prompts.
            length_N: tokens of their answers.
        """
        from sklearn.linear_model import Ridge

        features_N2 = _features(prompt_length_N)
        mean_2, deviation_2 = features_N2.mean(axis=0), features_N2.std(axis=0)
        # Prompts of one length say nothing, and their coefficients become 0.
        scale_2 = np.where(deviation_2 > 0, deviation_2, 1.0)
        ridge = Ridge(alpha=PENALTY, solver="cholesky")
        ridge.fit((features_N2 - mean_2) / scale_2, np.log1p(length_N))
        coefficient_2 = ridge.coef_ / scale_2
        return cls(
            intercept=float(ridge.intercept_ - coefficient_2 @ mean_2),
            per_token=float(coefficient_2[0]),
            per_log_token=float(coefficient_2[1]),
            longest=int(np.max(length_N)),
        )

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The predicted length of every prompt, from 0 to that of the longest training answer."""
        coefficient_2 = np.array([self.per_token, self.per_log_token])
        features_B2 = _features(np.array([len(prompt.ids) for prompt in batch.prompts]))
        log_B = self.intercept + features_B2 @ coefficient_2
        length_B = np.expm1(log_B.clip(0.0, math.log1p(self.longest)))
        return [LengthPrediction(float(length)) for length in length_B]


def _features(prompt_length_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """[N, 2]: n and log(1 + n)."""
    return np.stack([prompt_length_N, np.log1p(prompt_length_N)], axis=1).astype(np.float64)
