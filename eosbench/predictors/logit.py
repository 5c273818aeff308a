"""`logit`: the length read off the model's own EOS probabilities, without any fitting.

p_i is the probability of EOS at masked canvas position i. EOS is never revealed and stands after
every revealed token, so the rules look for a first position among the masked ones that follow the
last revealed token; quantiles are taken over all masked ones. Where no position satisfies the rule,
the length is the whole canvas. Between the positions of a grid (`step_zero=grid:N`) probabilities
are on a straight line, and EOS is the most likely token where it is so at the points on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from eosbench.canvas_view import CanvasView
from eosbench.errors import ConfigurationError
from eosbench.predictors.protocol import check_share
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero

VARIANTS = ("quantile", "threshold", "top1")


class Logit:
    """The zero-shot baseline: the first position whose EOS probability passes a rule.

    Args:
        variant: "quantile" (first i whose p_i exceeds the q-quantile of p), "threshold" (first i
            with p_i >= tau) or "top1" (first i from which on EOS is the most likely token at every
            masked position).
        q: for variant="quantile"; 0.25, 0.5 and 0.75 are those of the seed paper.
        tau: for variant="threshold".
        step_zero: the part of the canvas that the pass runs: full or grid:N.

    Raises:
        ConfigurationError: an unknown variant, or q or tau outside [0, 1].
    """

    def __init__(
        self,
        *,
        variant: str = "quantile",
        q: float = 0.5,
        tau: float = 0.5,
        step_zero: str = "full",
    ) -> None:
        if variant not in VARIANTS:
            raise ConfigurationError(
                f"logit variant {variant!r}: expected one of {', '.join(VARIANTS)}"
            )
        self.variant, self.q, self.tau = variant, check_share("q", q), check_share("tau", tau)
        self.view = CanvasView.of(step_zero)
        self.options: dict[str, Any] = {
            "variant": variant,
            "q": self.q,
            "tau": self.tau,
            "step_zero": str(self.view),
        }

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The first position that passes; the EOS probabilities [C] are the prediction's curve."""
        probability_BC = batch.at_every_position(batch.read("eos_probability_BC"))
        rank_BC = batch.at_every_position(batch.read("eos_rank_BC"))
        masked_BC, open_BC = batch.read("masked_BC"), batch.open_BC()
        predictions = []
        for row, prompt in enumerate(batch.prompts):
            candidate_C = open_BC[row] & self._satisfied(
                probability_BC[row], rank_BC[row], masked_BC[row]
            )
            first = int(candidate_C.int().argmax()) if candidate_C.any() else len(prompt.canvas)
            probabilities = probability_BC[row, : len(prompt.canvas)].cpu().numpy()
            predictions.append(LengthPrediction(float(first), probabilities))
        return predictions

    def _satisfied(
        self, probability_C: torch.Tensor, rank_C: torch.Tensor, masked_C: torch.Tensor
    ) -> torch.Tensor:
        """[C]: True at positions where the rule holds.

        The values at positions that are not masked have no meaning.
        """
        if self.variant == "threshold":
            return probability_C >= self.tau
        if self.variant == "quantile":
            masked = probability_C[masked_C]
            limit = masked.quantile(self.q) if len(masked) else torch.inf
            return probability_C > limit
        broken_C = masked_C & (rank_C != 1)
        return broken_C.flip(0).cumsum(0).flip(0) == 0
