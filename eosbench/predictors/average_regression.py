"""`average_regression`: the mean hidden states of prompt and canvas, through an MLP, to log(1 + length).

Prompt and canvas are pooled apart, padding never. Legend: B batch, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from eosbench.predictors.heads import LogLengthHead, device_of, lengths, log_length_loss, masked_mean
from eosbench.predictors.protocol import Features, Fitting, Reads
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.step_zero import Need, StepZero


class AverageRegression:
    """Regression on pooled hidden states.

    Args:
        canvas: C, the longest answer it predicts.
        width: D of the backbone.
        hidden: width of the MLP.
    """

    reads: ClassVar[Reads] = "dlm"
    needs: ClassVar[frozenset[Need]] = frozenset({"hidden"})
    fitting: ClassVar[Fitting] = "weights"
    learning_rate = 2e-3

    def __init__(self, *, canvas: int, width: int, hidden: int = 64) -> None:
        self.canvas = canvas
        self.module = LogLengthHead(2 * width, hidden, canvas)
        self.options: dict[str, Any] = {"hidden": hidden}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        with torch.no_grad():
            return lengths(self.module(self._pooled(batch).to(device_of(self.module))), self.canvas)

    def features(self, batch: StepZero, rng: torch.Generator) -> list[Features]:
        return [(pooled_D,) for pooled_D in self._pooled(batch).cpu()]

    def loss(self, features: Sequence[Features], length_B: torch.Tensor) -> torch.Tensor:
        pooled_BD = torch.stack([pooled_D for (pooled_D,) in features]).to(device_of(self.module))
        return log_length_loss(self.module(pooled_BD), length_B)

    def _pooled(self, batch: StepZero) -> torch.Tensor:
        """[B, 2D] float32."""
        prompt_BD = masked_mean(batch.read("prompt_hidden_BPD").float(), batch.read("prompt_mask_BP"))
        canvas_BD = masked_mean(batch.read("canvas_hidden_BCD").float(), batch.read("canvas_mask_BC"))
        return torch.cat([prompt_BD, canvas_BD], dim=1)
