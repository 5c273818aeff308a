"""`concat_regression`: the hidden states at a fixed grid of canvas positions, through an MLP.

They are projected and concatenated, and the MLP gives log(1 + length). The grid runs from the first
canvas position to the last and is denser at the front, where most answers end: its k-th of G points
stands at the share (k / (G - 1)) ** 2 of the canvas. Where step zero runs a grid of N points
itself (`step_zero=grid:N`), each is the nearest of these: both grids follow one rule, and of 256
positions those of 16 points stand among those of 31.

Legend: B batch, G grid, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from eosbench.canvas_view import FULL, CanvasView
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.predictors.heads import (
    USUAL_HIDDEN,
    LogLengthHead,
    LogLengthLoss,
    device_of,
    lengths,
)
from eosbench.predictors.protocol import Features, Kept
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero


def grid_positions(canvas: int, grid: int, view: CanvasView = FULL) -> list[int]:
    """The G canvas positions of the grid, from 0 to C - 1.

    Args:
        canvas: C, in tokens.
        grid: G.
        view: the part of the canvas that step zero runs.

    >>> grid_positions(256, 6), grid_positions(256, 6, CanvasView.of("grid:11"))
    ([0, 10, 41, 92, 163, 255], [0, 10, 41, 92, 163, 255])
    """
    own = [round((canvas - 1) * (k / max(1, grid - 1)) ** 2) for k in range(grid)]
    run = view.grid(canvas)
    return [min(run, key=lambda position: abs(position - wanted)) for wanted in own]


class ConcatHead(nn.Module):
    """A network [B, G, D] -> [B]: log(1 + length)."""

    def __init__(
        self, width: int, grid: int, project: int, hidden: int, canvas: int, depth: str = "mlp"
    ) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, project))
        self.head = LogLengthHead(grid * project, hidden, canvas, depth)

    def forward(self, hidden_BGD: torch.Tensor) -> torch.Tensor:
        """[B]: log(1 + length)."""
        output_B: torch.Tensor = self.head(self.project(hidden_BGD).flatten(1))
        return output_B


class ConcatRegression:
    """Regression on a grid of hidden states.

    Args:
        canvas: C, the longest answer it predicts; the canvas it is shown must be as long.
        width: D of the backbone.
        grid: G, number of canvas positions.
        project: width to which each hidden state is projected.
        hidden: width of the MLP.
        depth: "mlp", or "linear" for a head without a hidden layer.
        loss, quantile: see eosbench.predictors.heads.LogLengthLoss.
        step_zero: the part of the canvas that the pass runs: full or grid:N.

    Raises:
        ConfigurationError: a grid of no positions, or of more than step zero runs, an unknown loss,
            or a quantile outside (0, 1).
    """

    learning_rate = 2e-3

    def __init__(
        self,
        *,
        canvas: int,
        width: int,
        grid: int = 16,
        project: int = 16,
        hidden: int = USUAL_HIDDEN,
        depth: str = "mlp",
        loss: str = "smooth_l1",
        quantile: float = 0.9,
        step_zero: str = "full",
    ) -> None:
        if grid < 1:
            raise ConfigurationError(f"grid={grid!r}: expected at least 1 position")
        self.canvas, self.view = canvas, CanvasView.of(step_zero)
        if self.view.is_grid and not self.view.covers(canvas) and grid > (self.view.points or 0):
            raise ConfigurationError(
                f"grid={grid} positions are read, and step_zero={self.view} runs fewer: take "
                f"grid={self.view.points} or less, or step_zero=grid:{grid} or more"
            )
        self.positions = grid_positions(canvas, grid, self.view)
        self.log_length_loss = LogLengthLoss(loss, quantile)
        self.level = self.log_length_loss.level
        self.module = ConcatHead(width, grid, project, hidden, canvas, depth)
        self.array = f"grid{grid}"
        self.kept = {self.array: Kept((grid, width), torch.bfloat16)}
        self.options: dict[str, Any] = {
            "grid": grid,
            "project": project,
            "hidden": hidden,
            "depth": depth,
            "loss": loss,
            "quantile": quantile,
            "step_zero": str(self.view),
        }

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The predicted length of every prompt, from 0 to C.

        Raises:
            PredictorError: a canvas of another length than C.
        """
        with torch.no_grad():
            return lengths(self.log_length({self.array: self._at_grid(batch)}), self.canvas)

    def features(self, batch: StepZero) -> Features:
        """Hidden states [B, G, D] at the grid; errors as in `predict`."""
        return {self.array: self._at_grid(batch)}

    def log_length(self, features: Features) -> torch.Tensor:
        """[B]: predicted log(1 + length)."""
        hidden_BGD = features[self.array].to(device_of(self.module)).float()
        output_B: torch.Tensor = self.module(hidden_BGD)
        return output_B

    def loss(self, features: Features, length_B: torch.Tensor) -> torch.Tensor:
        """The mean loss of the batch, a scalar."""
        return self.log_length_loss(self.log_length(features), length_B)

    def _at_grid(self, batch: StepZero) -> torch.Tensor:
        """[B, G, D]: hidden states at the grid."""
        for prompt in batch.prompts:
            if len(prompt.canvas) != self.canvas:
                raise PredictorError(
                    f"concat_regression reads a canvas of {self.canvas} positions, "
                    f"this one has {len(prompt.canvas)}"
                )
        return batch.read("canvas_hidden_BCD")[:, self.positions]
