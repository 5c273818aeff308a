"""`smartcrop`: the canvas is cropped where the EOS has very probably come.

Rossi et al., Diffusion Language Models Are Natively Length-Aware, arXiv 2603.06123, method
SmartCrop. It goes by the model's own initial EOS probabilities. Read as if positions were
independent, p_i = P(EOS) at masked canvas position i of step zero says that no EOS has come up to i
with probability (1 - p_0) ... (1 - p_i). The canvas is cropped at the first i where the complement
of that product exceeds tau.

We know the rule from descriptions of the paper and not its published tau: 0.99 is ours. As for
every method, eosbench/bounds follows: `rounding=none` without a fitted folder is the bare crop.
Revealed tokens stand before the EOS, so the product runs over the masked positions after the last
of them. Where its complement never exceeds tau, the length is the whole canvas.
Between the positions of a grid (`step_zero=grid:N`) probabilities are on a straight line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from eosbench.canvas_view import CanvasView
from eosbench.predictors.protocol import check_share
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero


class SmartCrop:
    """The zero-shot crop.

    Args:
        tau: how probable it must be that the EOS has come.
        step_zero: the part of the canvas that the pass runs: full or grid:N.

    Raises:
        ConfigurationError: tau outside [0, 1].
    """

    def __init__(self, *, tau: float = 0.99, step_zero: str = "full") -> None:
        self.tau, self.view = check_share("tau", tau), CanvasView.of(step_zero)
        self.options: dict[str, Any] = {"tau": self.tau, "step_zero": str(self.view)}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The first position at which the EOS has very probably come.

        The probability that it has come, at every position [C], is the prediction's curve.
        """
        open_BC, masked_BC = batch.open_BC(), batch.read("masked_BC")
        probability_BC = batch.at_every_position(batch.read("eos_probability_BC"))
        probability_BC = probability_BC.double() * open_BC
        ended_BC = 1.0 - torch.exp(torch.log1p(-probability_BC.clamp(max=1.0)).cumsum(dim=1))
        predictions = []
        for row, prompt in enumerate(batch.prompts):
            crop_C = open_BC[row] & (ended_BC[row] > self.tau)
            first = int(crop_C.int().argmax()) if crop_C.any() else len(prompt.canvas)
            curve_C = (ended_BC[row] * masked_BC[row])[: len(prompt.canvas)]
            predictions.append(LengthPrediction(float(first), curve_C.float().cpu().numpy()))
        return predictions
