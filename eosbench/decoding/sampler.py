"""What happens to a canvas between two forward passes: which token stands at each masked position,
and which of them stay.

Pure functions on tensors, shared by every decoding strategy. Probabilities are float64 (float32
where a device has none), as published: confidences of a good model differ in digits that float32
does not have.

Legend: N masked positions, R rows, L positions of a block, V vocabulary.
"""

from __future__ import annotations

import torch

from eosbench.decoding.dream_rules import margin, negative_entropy, time_schedule

# Of the whole distribution, whichever token is chosen.
CONFIDENCES = {"entropy": negative_entropy, "topk_margin": margin}


def choose_tokens(
    logits_NV: torch.Tensor,
    *,
    mask_id: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    confidence: str | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The token for each masked position [N] and its confidence [N]: the probability of that token,
    or one of CONFIDENCES.

    The mask token is never chosen, but keeps its share of the probability, as in the published
    code. With a temperature, tokens are drawn by the Gumbel-max rule from `generator`; the
    confidence stays that of the noiseless distribution.
    """
    exact_NV = logits_NV.to(precise(logits_NV.device))
    normaliser_N = exact_NV.logsumexp(dim=-1)
    measured_N = (
        CONFIDENCES[confidence](exact_NV - normaliser_N[:, None])
        if confidence in CONFIDENCES
        else None
    )
    exact_NV[:, mask_id] = -torch.inf
    noisy_NV = exact_NV
    if temperature > 0:
        uniform_NV = torch.rand(
            exact_NV.shape, generator=generator, dtype=exact_NV.dtype, device=exact_NV.device
        )
        noisy_NV = exact_NV - temperature * torch.log(-torch.log(uniform_NV))
    tokens_N = noisy_NV.argmax(dim=-1)
    if measured_N is not None:
        return tokens_N, measured_N
    chosen_N = exact_NV.gather(-1, tokens_N[:, None]).squeeze(-1)
    return tokens_N, (chosen_N - normaliser_N).exp()


def most_confident(confidence_N: torch.Tensor, count: int) -> torch.Tensor:
    """[N] mask of the `count` most confident positions; of equals, the leftmost.

    Example:
        >>> most_confident(torch.tensor([0.2, 0.9, 0.5, 0.5]), 2).tolist()
        [False, True, True, False]
    """
    first_n = confidence_N.argsort(descending=True, stable=True)[:count]
    stays_N = torch.zeros(len(confidence_N), dtype=torch.bool)
    stays_N[first_n] = True
    return stays_N


def above_threshold(
    confidence_N: torch.Tensor, threshold: float, *, strictly: bool = False
) -> torch.Tensor:
    """[N] mask of the positions at or above the threshold, or strictly above it; where there is
    none, of the most confident one.

    Example:
        >>> above_threshold(torch.tensor([0.3, 0.7, 0.95]), 0.7).tolist()
        [False, True, True]
        >>> above_threshold(torch.tensor([0.3, 0.7, 0.2]), 0.7, strictly=True).tolist()
        [False, True, False]
    """
    stays_N = confidence_N > threshold if strictly else confidence_N >= threshold
    if len(confidence_N) and not stays_N.any():
        stays_N[int(confidence_N.argmax())] = True
    return stays_N


def even_schedule(masked_R: torch.Tensor, steps: int) -> torch.Tensor:
    """[R, steps]: how many of each row's masked positions every step unmasks, the first steps
    taking what does not divide.

    Example:
        >>> even_schedule(torch.tensor([8, 5]), 3).tolist()
        [[3, 3, 2], [2, 2, 1]]
    """
    extra_RS = torch.arange(steps, device=masked_R.device) < (masked_R % steps)[:, None]
    return (masked_R // steps)[:, None] + extra_RS


SCHEDULES = {"even": even_schedule, "time": time_schedule}


def precise(device: torch.device) -> torch.dtype:
    """The dtype of probabilities: float64, but float32 on Apple's GPUs."""
    return torch.float32 if device.type == "mps" else torch.float64
