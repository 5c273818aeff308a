"""Distributions of the first EOS over positions, from one logit a position.

With `target="hazard"` the logit of position i is that of p_i, the probability that the EOS stands
there if it stands nowhere before. The first EOS is at i with probability p_i times the product of
(1 - p_j) over j < i, and behind all positions with the product of all (1 - p_j): the survivor. With
`target="at"` the positions and a place behind all of them, whose logit is 0, share one softmax.
Either way the probabilities of all positions and of that place sum to one.

A fit keeps some positions of a canvas: each then stands for as many as its weight says.

Legend: B documents, K positions in ascending order.
"""

from __future__ import annotations

import torch
from torch.nn import functional

TARGETS = ("at", "hazard")
NEVER = -1e9  # the logit of a position at which no EOS can stand

__all__ = ["NEVER", "TARGETS", "cumulative", "log_likelihood"]


def cumulative(
    target: str, logit_BK: torch.Tensor, weight_BK: torch.Tensor | None = None
) -> torch.Tensor:
    """[B, K]: the probability that the EOS stands at a position or before it.

    Args:
        target: "at" or "hazard".
        logit_BK: one for each position; NEVER where no EOS can stand.
        weight_BK: the number of positions that each stands for; by default one.

    Example:
        >>> cumulative("hazard", torch.zeros(1, 3)).tolist()
        [[0.5, 0.75, 0.875]]
        >>> cumulative("at", torch.zeros(1, 3)).tolist()
        [[0.25, 0.5, 0.75]]
    """
    weight_BK = torch.ones_like(logit_BK) if weight_BK is None else weight_BK.to(logit_BK.dtype)
    if target == "hazard":
        log_survivor_BK = (weight_BK * functional.logsigmoid(-logit_BK)).cumsum(dim=1)
        return -log_survivor_BK.expm1()
    log_mass_BK = logit_BK + weight_BK.log()
    return (log_mass_BK - _log_total(log_mass_BK)).exp().cumsum(dim=1).clamp(max=1.0)


def log_likelihood(
    target: str,
    logit_BK: torch.Tensor,
    at_B: torch.Tensor,
    weight_BK: torch.Tensor | None = None,
) -> torch.Tensor:
    """[B]: log P(the first EOS stands at the at-th position); at K, behind all of them.

    Args:
        target: "at" or "hazard".
        logit_BK: one for each position; NEVER where no EOS can stand.
        at_B: from 0 to K.
        weight_BK: the number of positions that each stands for, 1 at `at_B`; by default one.

    Example:
        >>> log_likelihood("hazard", torch.zeros(2, 3), torch.tensor([1, 3])).exp().tolist()
        [0.25, 0.125]
    """
    weight_BK = torch.ones_like(logit_BK) if weight_BK is None else weight_BK.to(logit_BK.dtype)
    none_B1 = torch.zeros_like(logit_BK[:, :1])
    if target == "hazard":
        passed_BK = torch.arange(logit_BK.shape[1], device=logit_BK.device) < at_B[:, None]
        log_no_BK = weight_BK * functional.logsigmoid(-logit_BK)
        log_yes_BK1 = torch.cat([functional.logsigmoid(logit_BK), none_B1], dim=1)
        log_yes_B = log_yes_BK1.gather(1, at_B[:, None]).squeeze(1)
        return log_yes_B + (log_no_BK * passed_BK).sum(dim=1)
    log_BK1 = torch.cat([logit_BK, none_B1], dim=1)
    total_B = _log_total(logit_BK + weight_BK.log()).squeeze(1)
    return log_BK1.gather(1, at_B[:, None]).squeeze(1) - total_B


def _log_total(log_mass_BK: torch.Tensor) -> torch.Tensor:
    """[B, 1]: the log of all masses and of that behind all positions, which is 1."""
    return functional.pad(log_mass_BK, (0, 1)).logsumexp(dim=1, keepdim=True)
