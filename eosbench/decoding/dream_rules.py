"""Dream's own rules for a pass: its measures of confidence, and its schedule in diffusion time.

Dream's sampler (`diffusion_generate` of Dream-org/Dream-v0-*-7B) knows three measures of
confidence, of which maskgit_plus is the probability of the chosen token and needs no code here, and
a schedule in diffusion time: of m masked tokens, the step from time t to s unmasks int(m * (1 - s /
t)), the last one all that is left. Times run evenly from 1 to eps. Its fourth algorithm, origin,
has no measure: every masked token is unmasked with the probability 1 - s / t.

Legend: N positions, R sequences, S steps, V vocabulary.
"""

from __future__ import annotations

import torch

EPS = 1e-3  # Dream's default


def negative_entropy(log_p_NV: torch.Tensor) -> torch.Tensor:
    """The negative entropy [N] of log-probabilities [N, V] (Dream's alg="entropy").

    It is 0 where one token has all the probability, and -log V where all have the same.

    Example:
        >>> negative_entropy(torch.tensor([[0.5, 0.5, 0.0]]).log())
        tensor([-0.6931])
    """
    return (log_p_NV.exp() * log_p_NV).nan_to_num(nan=0.0).sum(dim=-1)  # 0 * log 0 is 0


def margin(log_p_NV: torch.Tensor) -> torch.Tensor:
    """The likeliest token's probability less the second's [N], from log-probabilities [N, V].

    This is Dream's alg="topk_margin".

    Example:
        >>> margin(torch.tensor([[0.5, 0.3, 0.2]]).log())
        tensor([0.2000])
    """
    first_N, second_N = log_p_NV.topk(2, dim=-1).values.exp().unbind(dim=-1)
    return first_N - second_N


def time_schedule(masked_R: torch.Tensor, steps: int, eps: float = EPS) -> torch.Tensor:
    """[R, S]: how many of each sequence's masked positions every pass unmasks.

    A published step that unmasks nothing changes nothing, so the pass after it would compute the
    same again: such steps are left out, and the last columns of their row are 0.

    Args:
        masked_R: how many positions are masked at the start.
        steps: S.
        eps: the time at which the schedule ends.

    Example:
        >>> time_schedule(torch.tensor([8, 3]), 4).tolist()
        [[1, 2, 2, 3], [1, 2, 0, 0]]
    """
    time_S = torch.linspace(1, eps, steps + 1)
    share_S = 1 - time_S[1:] / time_S[:-1]
    left_R, counts = masked_R.cpu(), []
    for step in range(steps):
        # In float32 as published: what is just below a whole number there is cut to the one below.
        counts.append((left_R * share_S[step]).long() if step < steps - 1 else left_R)
        left_R = left_R - counts[-1]
    counts_RS = torch.stack(counts, dim=1)
    nothing_last = (counts_RS == 0).long().argsort(dim=1, stable=True)
    return counts_RS.gather(1, nothing_last).to(masked_R.device)


def drawn_schedule(
    masked: int, steps: int, generator: torch.Generator, eps: float = EPS
) -> list[int]:
    """The number of masked positions that every pass unmasks by Dream's alg="origin".

    Each position leaves with a probability of its own, so a number is drawn for each pass, and any
    positions of that number are as likely as others. Passes that unmask nothing are left out, as in
    `time_schedule`.

    Args:
        masked: how many positions are masked at the start, at least 1.
        steps: S.
        generator: of the draws, on the CPU.
        eps: the time at which the schedule ends.
    """
    time_S = torch.linspace(1, eps, steps + 1)
    share_S = 1 - time_S[1:] / time_S[:-1]
    left, counts = masked, []
    for share in share_S[:-1]:
        counts.append(int((torch.rand(left, generator=generator) < share).sum()))
        left -= counts[-1]
    return [count for count in (*counts, left) if count]
