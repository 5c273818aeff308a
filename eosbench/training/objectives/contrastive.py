"""Hidden states before the end apart from those at and after it: supervised contrastive loss.

Khosla et al. 2020 (2004.11362), equation 2 (the sum outside of the logarithm), over masked
positions of the batch; two classes, before the end and at or after it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from eosbench.training.layout import TEXT
from eosbench.training.objectives.protocol import Pass

TEMPERATURE = 0.1  # as published
ANCHORS = 512  # positions a batch at most: every one is compared with every other


def contrastive(seen: Pass, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean over the anchors that have another of their class; 0 where none has."""
    masked_BT = batch["masked"] & (batch["weights"] > 0)
    hidden_ND, before_N = seen.hidden_BTD[masked_BT].float(), batch["kinds"][masked_BT] == TEXT
    every = max(1, -(-len(hidden_ND) // ANCHORS))
    return supervised_contrastive(hidden_ND[::every], before_N[::every])


def supervised_contrastive(
    hidden_ND: torch.Tensor, class_N: torch.Tensor, temperature: float = TEMPERATURE
) -> torch.Tensor:
    """Equation 2 of 2004.11362 on vectors of length one."""
    unit_ND = functional.normalize(hidden_ND, dim=1)
    N = len(unit_ND)
    itself_NN = torch.eye(N, dtype=torch.bool, device=unit_ND.device)
    similar_NN = (unit_ND @ unit_ND.T / temperature).masked_fill(itself_NN, -torch.inf)
    log_share_NN = similar_NN - similar_NN.logsumexp(dim=1, keepdim=True)
    same_NN = (class_N[:, None] == class_N[None]) & ~itself_NN
    positives_N = same_NN.sum(dim=1)
    sum_N = log_share_NN.masked_fill(~same_NN, 0.0).sum(dim=1)
    has_N = positives_N > 0
    if not has_N.any():
        return hidden_ND.sum() * 0.0
    return -(sum_N[has_N] / positives_N[has_N]).mean()
