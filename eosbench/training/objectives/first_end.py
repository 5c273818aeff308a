"""The length distribution that one pass gives, and its likelihood.

With p_i the probability of an end at canvas index i, a hazard, the first end stands at i with
probability

    P(i) = p_i * product of (1 - p_j) over j < i,

and at none of C indices with the product of all (1 - p_j): C + 1 probabilities that sum to one.
Indices that are not masked show a token of the text: no end can stand there, p_i = 0.

Legend: B rows, C canvas, T tokens, N masked positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from eosbench.training.layout import END
from eosbench.training.objectives.protocol import Pass

NEVER = -1e9  # log of a probability that is zero, small enough and with a gradient that is zero


def first_end(seen: Pass, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean of -log P(first end at L) over the rows; of a row without an end, of P(no end)."""
    log_BC1 = length_distribution(*hazards(seen, batch))
    at_B = batch["length"].clamp(max=log_BC1.shape[1] - 1)
    ended_B = ends_inside(batch)
    at_B = torch.where(ended_B, at_B, torch.full_like(at_B, log_BC1.shape[1] - 1))
    return -log_BC1.gather(1, at_B[:, None]).mean()


def ends_inside(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """[B] bool: whether the row's end stands in its window."""
    return (batch["kinds"] == END).any(dim=1)


def hazards(seen: Pass, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(log p, log (1 - p)) [B, C] at each canvas index; p is 0 where nothing is masked.

    The mask token's own logit does not count, as at step zero: a denoiser may not answer with it.
    """
    masked_BT, prompt_B = batch["masked"], batch["prompt"]
    B, T = masked_BT.shape
    ends = torch.tensor(list(seen.eos_ids), device=masked_BT.device)
    logits_NV = seen.unembed(seen.hidden_BTD[masked_BT]).float()
    is_end_V = torch.zeros(logits_NV.shape[1], dtype=torch.bool, device=masked_BT.device)
    is_end_V[ends] = True
    forbidden_V = torch.zeros_like(is_end_V)
    forbidden_V[seen.mask_id] = True
    logits_NV = logits_NV.masked_fill(forbidden_V, -torch.inf)
    total_N = logits_NV.logsumexp(dim=1)
    yes_N = logits_NV.masked_fill(~is_end_V, -torch.inf).logsumexp(dim=1) - total_N
    no_N = logits_NV.masked_fill(is_end_V, -torch.inf).logsumexp(dim=1) - total_N

    log_yes_BT = torch.full((B, T), NEVER, device=masked_BT.device).masked_scatter(masked_BT, yes_N)
    log_no_BT = torch.zeros((B, T), device=masked_BT.device).masked_scatter(masked_BT, no_N)
    at_BC = prompt_B[:, None] + torch.arange(T, device=masked_BT.device)
    inside_BC = at_BC < T
    at_BC = at_BC.clamp(max=T - 1)
    C = int((T - prompt_B).max())
    log_yes_BC = log_yes_BT.gather(1, at_BC).masked_fill(~inside_BC, NEVER)[:, :C]
    log_no_BC = log_no_BT.gather(1, at_BC).masked_fill(~inside_BC, 0.0)[:, :C]
    return log_yes_BC, log_no_BC


def length_distribution(log_yes_BC: torch.Tensor, log_no_BC: torch.Tensor) -> torch.Tensor:
    """[B, C + 1]: log-probability that the first end stands at each index, and at none.

    Example:
        >>> half = torch.tensor([[0.5, 0.5]]).log()
        >>> length_distribution(half, half).exp().tolist()
        [[0.5, 0.25, 0.25]]
    """
    survived_BC1 = functional.pad(log_no_BC.cumsum(dim=1), (1, 0))
    return torch.cat([log_yes_BC + survived_BC1[:, :-1], survived_BC1[:, -1:]], dim=1)
