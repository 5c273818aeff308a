"""Networks from the ids of a text to its length: an encoder, its mean state, and a head.

Legend: B batch, T tokens, D width of the encoder, K outputs (bucket logits, or one log length).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from eosbench.predictors.heads import masked_mean

HIDDEN = 64

__all__ = ["PretrainedText", "ScratchText"]


class ScratchText(nn.Module):
    """An encoder that is trained from nothing: its mean state, and a linear layer.

    Args:
        encoder: the body.
        out: K.
    """

    def __init__(self, encoder: Any, out: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, out)

    def forward(
        self, ids_BT: torch.Tensor, text_BT: torch.Tensor, tokens_B1: torch.Tensor
    ) -> torch.Tensor:
        """[B, K]; `text_BT` is False at padding, and the number of tokens is not read."""
        output_BK: torch.Tensor = self.head(_mean_state(self.encoder, ids_BT, text_BT))
        return output_BK


class PretrainedText(nn.Module):
    """A pretrained encoder: its mean state and the number of tokens, through an MLP.

    The number is that of the whole text, also where the encoder reads only its end.

    Args:
        encoder: the body.
        out: K.
        middle: what the head starts from.
    """

    def __init__(self, encoder: Any, out: int, middle: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.head = nn.ModuleDict(
            {
                "norm": nn.LayerNorm(width),
                "network": nn.Sequential(
                    nn.Linear(width + 1, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, out)
                ),
            }
        )
        self.middle = middle

    def forward(
        self, ids_BT: torch.Tensor, text_BT: torch.Tensor, tokens_B1: torch.Tensor
    ) -> torch.Tensor:
        """[B, K]; `text_BT` is False at padding."""
        return self.from_mean(self.mean(ids_BT, text_BT), tokens_B1)

    def mean(self, ids_BT: torch.Tensor, text_BT: torch.Tensor) -> torch.Tensor:
        """[B, D]: the mean state of each text."""
        return _mean_state(self.encoder, ids_BT, text_BT)

    def from_mean(self, mean_BD: torch.Tensor, tokens_B1: torch.Tensor) -> torch.Tensor:
        """[B, K]: the head alone, on mean states [B, D] and numbers of tokens [B, 1]."""
        read = torch.cat([self.head["norm"](mean_BD), tokens_B1.float().log1p()], dim=1)
        output_BK: torch.Tensor = self.middle + self.head["network"](read)
        return output_BK


def _mean_state(encoder: Any, ids_BT: torch.Tensor, text_BT: torch.Tensor) -> torch.Tensor:
    hidden_BTD = encoder(input_ids=ids_BT, attention_mask=text_BT.long()).last_hidden_state
    return masked_mean(hidden_BTD, text_BT)
