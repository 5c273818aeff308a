"""The same document under two maskings says the same length: symmetric Kullback-Leibler divergence.

R-Drop (2106.14448, equation 2) with two maskings in place of two dropouts, on the length
distribution of one pass. Compared are the hazards at the positions that both maskings mask.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from eosbench.training.objectives.first_end import NEVER, hazards, length_distribution
from eosbench.training.objectives.protocol import Pass


def consistency(seen: Pass, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Half the sum of both divergences, mean over documents. Needs two views of each row."""
    log_yes_BC, log_no_BC = hazards(seen, batch)
    both_BC = log_yes_BC.chunk(2)[0] > NEVER / 2
    both_BC = both_BC & (log_yes_BC.chunk(2)[1] > NEVER / 2)
    one, other = (
        length_distribution(yes.masked_fill(~both_BC, NEVER), no.masked_fill(~both_BC, 0.0))
        for yes, no in zip(log_yes_BC.chunk(2), log_no_BC.chunk(2), strict=True)
    )
    return (divergence(one, other) + divergence(other, one)).mean() / 2


def divergence(log_p_BC: torch.Tensor, log_q_BC: torch.Tensor) -> torch.Tensor:
    """KL(p || q) [B] of distributions over the last dimension; entries that are 0 in both add 0."""
    return (log_p_BC.exp() * (log_p_BC - log_q_BC)).sum(dim=1)
