"""Cross-entropy at masked positions: LLaDA's objective (2502.09992, equation 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from eosbench.training.objectives.protocol import Pass


def denoise(seen: Pass, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Weighted mean of the cross-entropy over the positions that have a weight.

    Only masked positions have one (weights.py), and position i is scored by the state that scores
    token i: a token that the model sees is never a target, shifted logits or not. Nothing else is
    unembedded.
    """
    weight_BT = batch["weights"]
    counted_BT = weight_BT > 0
    logits_NV = seen.unembed(seen.hidden_BTD[counted_BT]).float()
    losses_N = functional.cross_entropy(logits_NV, batch["targets"][counted_BT], reduction="none")
    return (losses_N * weight_BT[counted_BT]).sum() / weight_BT.sum().clamp_min(1e-9)
