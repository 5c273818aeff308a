"""`average_regression`: the mean hidden states of prompt and canvas, through an MLP.

The MLP gives log(1 + length). Prompt and canvas are pooled apart; padding never enters. Of a canvas
of which step zero runs a part (`step_zero=grid:N`), that part is pooled.

Legend: B batch, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from eosbench.canvas_view import CanvasView
from eosbench.errors import ConfigurationError
from eosbench.predictors.heads import (
    USUAL_HIDDEN,
    LogLengthHead,
    LogLengthLoss,
    device_of,
    lengths,
    masked_mean,
)
from eosbench.predictors.protocol import Features, Kept
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero


POOLING = ("both", "canvas", "prompt")


class AverageRegression:
    """Regression on pooled hidden states.

    Args:
        canvas: C, the longest answer it predicts.
        width: D of the backbone.
        hidden: width of the MLP.
        depth: "mlp", or "linear" for a head without a hidden layer.
        pooling: the means that are read: "both", or that of the "canvas" or the "prompt" alone.
        loss, quantile: see eosbench.predictors.heads.LogLengthLoss.
        step_zero: the part of the canvas that the pass runs: full, grid:N, or prompt, which needs
            pooling="prompt".

    Raises:
        ConfigurationError: an unknown pooling, depth or loss, or a quantile outside (0, 1).
    """

    learning_rate = 2e-3

    def __init__(
        self,
        *,
        canvas: int,
        width: int,
        hidden: int = USUAL_HIDDEN,
        depth: str = "mlp",
        pooling: str = "both",
        loss: str = "smooth_l1",
        quantile: float = 0.9,
        step_zero: str = "full",
    ) -> None:
        if pooling not in POOLING:
            raise ConfigurationError(f"pooling {pooling!r}: expected one of {', '.join(POOLING)}")
        self.canvas, self.pooling, self.view = canvas, pooling, CanvasView.of(step_zero)
        self.log_length_loss = LogLengthLoss(loss, quantile)
        self.level = self.log_length_loss.level
        read = 2 * width if pooling == "both" else width
        self.module = LogLengthHead(read, hidden, canvas, depth)
        self.kept = {"pooled": Kept((2 * width,), torch.float32)}
        self.options: dict[str, Any] = {
            "hidden": hidden,
            "depth": depth,
            "pooling": pooling,
            "loss": loss,
            "quantile": quantile,
            "step_zero": str(self.view),
        }

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The predicted length of every prompt, from 0 to C."""
        with torch.no_grad():
            return lengths(self.log_length(self.features(batch)), self.canvas)

    def features(self, batch: StepZero) -> Features:
        """[B, 2D] float32: the mean of the prompt, then that of the canvas."""
        prompt_BD = masked_mean(
            batch.read("prompt_hidden_BPD").float(), batch.read("prompt_mask_BP")
        )
        if self.pooling == "prompt" and batch.canvas_hidden_BCD is None:
            # step_zero=prompt, or a model that attends causally between blocks.
            return {"pooled": torch.cat([prompt_BD, torch.zeros_like(prompt_BD)], dim=1)}
        canvas_BD = masked_mean(batch.read("canvas_hidden_BCD").float(), batch.read("scored_BC"))
        return {"pooled": torch.cat([prompt_BD, canvas_BD], dim=1)}

    def log_length(self, features: Features) -> torch.Tensor:
        """[B]: predicted log(1 + length)."""
        pooled_B2D = features["pooled"].to(device_of(self.module))
        prompt_BD, canvas_BD = pooled_B2D.chunk(2, dim=1)
        chosen = {"both": pooled_B2D, "canvas": canvas_BD, "prompt": prompt_BD}[self.pooling]
        output_B: torch.Tensor = self.module(chosen)
        return output_B

    def loss(self, features: Features, length_B: torch.Tensor) -> torch.Tensor:
        """The mean loss of the batch, a scalar."""
        return self.log_length_loss(self.log_length(features), length_B)
