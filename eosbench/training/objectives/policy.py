"""Reinforcement of the bound that a pass implies.

Covering the answer earns 1, less a 64th a token too many.

`policy` draws lengths from the pass's own distribution and follows REINFORCE with the mean of the
other draws as baseline (leave-one-out: Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline
for free"). `exact` sums over all lengths: the same gradient without its variance.

Legend: B rows, C canvas, K draws.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from eosbench.training.objectives.first_end import ends_inside, hazards, length_distribution
from eosbench.training.objectives.protocol import Pass

PRICE = 1 / 64  # of a token too many


def policy(seen: Pass, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Minus the mean reward of drawn lengths, with an estimate of the expected reward's gradient.

    The value is minus the mean reward that was drawn; the gradient is the leave-one-out estimate.

    Reads `uniform` [B, K], K >= 2: what the lengths are drawn with.
    """
    log_BC1 = length_distribution(*hazards(seen, batch))
    drawn_BK = draw_lengths(log_BC1.detach(), batch["uniform"])
    reward_BK = rewards(log_BC1.shape[1], batch).gather(1, drawn_BK)
    K = drawn_BK.shape[1]
    others_BK = (reward_BK.sum(dim=1, keepdim=True) - reward_BK) / (K - 1)
    surrogate = ((reward_BK - others_BK) * log_BC1.gather(1, drawn_BK)).mean()
    return surrogate.detach() - surrogate - reward_BK.mean()


def exact(seen: Pass, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Minus the expected reward, by enumeration of all lengths."""
    log_BC1 = length_distribution(*hazards(seen, batch))
    return -(log_BC1.exp() * rewards(log_BC1.shape[1], batch)).sum(dim=1).mean()


def rewards(outcomes: int, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """[B, C + 1]: the reward of each bound; the last outcome, no end, is the whole canvas.

    A row without an end is covered by the whole canvas alone.
    """
    bound_C1 = torch.arange(outcomes, device=batch["length"].device)
    last = torch.full_like(batch["length"], outcomes - 1)
    length_B1 = torch.where(ends_inside(batch), batch["length"], last)[:, None]
    over_BC1 = bound_C1 - length_B1
    return (over_BC1 >= 0).float() - PRICE * over_BC1.clamp(min=0)


def draw_lengths(log_BC1: torch.Tensor, uniform_BK: torch.Tensor) -> torch.Tensor:
    """[B, K] outcomes, by inversion of the distribution function.

    Example:
        >>> log_BC1 = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> draw_lengths(log_BC1, torch.tensor([[0.1, 0.6, 0.9]])).tolist()
        [[0, 1, 2]]
    """
    below_BC1 = log_BC1.double().exp().cumsum(dim=1)
    found_BK = torch.searchsorted(below_BC1, uniform_BK.double() * below_BC1[:, -1:], right=True)
    return found_BK.clamp(max=log_BC1.shape[1] - 1)
