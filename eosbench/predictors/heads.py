"""The parts that learned methods share: a small network, and lengths as logarithms.

Legend: B batch, D width.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from eosbench.errors import ConfigurationError
from eosbench.records import LengthPrediction

LOSSES = ("smooth_l1", "pinball")
DEPTHS = ("mlp", "linear")
USUAL_HIDDEN = 64


def head(width: int, hidden: int, out: int = 1, depth: str = "mlp") -> nn.Sequential:
    """A network [..., width] -> [..., out]: one hidden layer with `mlp`, none with `linear`.

    The norm in front takes the scale of hidden states out.

    Args:
        width: of the hidden states.
        hidden: width of the hidden layer.
        out: number of outputs.
        depth: one of DEPTHS.

    Raises:
        ConfigurationError: an unknown depth, or a hidden layer beside `linear`.
    """
    if depth not in DEPTHS:
        raise ConfigurationError(f"depth={depth!r}: expected one of {', '.join(DEPTHS)}")
    if depth == "linear":
        if hidden != USUAL_HIDDEN:
            raise ConfigurationError(
                f"hidden={hidden} beside depth=linear, which has no hidden layer: leave one out"
            )
        return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out))
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, out)
    )


class LogLengthHead(nn.Module):
    """A network [B, D] -> [B]: log(1 + length); starts from the middle of what a canvas allows."""

    def __init__(self, width: int, hidden: int, canvas: int, depth: str = "mlp") -> None:
        super().__init__()
        self.network = head(width, hidden, depth=depth)
        self.middle = math.log1p(canvas) / 2

    def forward(self, pooled_BD: torch.Tensor) -> torch.Tensor:
        """[B]: log(1 + length)."""
        output_B: torch.Tensor = self.network(pooled_BD).squeeze(-1)
        return self.middle + output_B


class LogLengthLoss:
    """The loss of log(1 + length), in which a factor counts the same for short and long answers.

    Args:
        loss: "smooth_l1" aims at the middle, and outliers count less; "pinball" aims at a quantile
            of the length given the prompt (Koenker and Bassett 1978), which calibration then makes
            a bound (conformalised quantile regression).
        quantile: for loss="pinball".

    Attributes:
        level: the quantile that is aimed at.

    Raises:
        ConfigurationError: an unknown loss, or a quantile outside (0, 1).
    """

    def __init__(self, loss: str, quantile: float) -> None:
        if loss not in LOSSES:
            raise ConfigurationError(f"loss {loss!r}: expected one of {', '.join(LOSSES)}")
        if not 0.0 < float(quantile) < 1.0:
            raise ConfigurationError(
                f"quantile={quantile!r}: expected a number above 0 and below 1"
            )
        self.loss, self.quantile = loss, float(quantile)
        self.level = self.quantile if loss == "pinball" else 0.5

    def __call__(self, output_B: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
        target_B = length_B.float().log1p()
        if self.loss == "smooth_l1":
            return functional.smooth_l1_loss(output_B.float(), target_B, beta=0.5)
        missing_B = target_B - output_B.float()
        return torch.maximum(self.level * missing_B, (self.level - 1.0) * missing_B).mean()


def lengths(output_B: torch.Tensor, canvas: int) -> list[LengthPrediction]:
    """Predictions in tokens from log(1 + length) [B], clamped to [0, canvas]."""
    return [
        LengthPrediction(length) for length in output_B.double().expm1().clamp(0, canvas).tolist()
    ]


def device_of(module: nn.Module) -> torch.device:
    """The device of the weights of a module."""
    return next(module.parameters()).device


def masked_mean(hidden_BTD: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """[B, D]: the mean over the positions of the mask; zeros where it is empty."""
    weight_BT1 = mask_BT[..., None].to(hidden_BTD.dtype)
    return (hidden_BTD * weight_BT1).sum(dim=1) / weight_BT1.sum(dim=1).clamp(min=1)
