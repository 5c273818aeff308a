"""The sampler: the token for each position from its logits, and which of the tokens stay.

Pure functions on tensors, shared by every policy. Probabilities are float64 (float32 where a device
has none), as published: confidences of a good model differ in digits that float32 does not have.

Legend: N positions, R sequences, V vocabulary.
"""

from __future__ import annotations

from collections import abc

import torch

from eosbench.decoding.dream_rules import margin, negative_entropy, time_schedule

# Measures of the whole distribution, whichever token is chosen.
CONFIDENCES = {"entropy": negative_entropy, "topk_margin": margin}


def choose_tokens(
    logits_NV: torch.Tensor,
    *,
    mask_id: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    confidence: str | None = None,
    suppress: abc.Sequence[int] = (),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Chooses the token for each of N positions, and says how sure the model is of it.

    The mask token is never chosen, nor what `suppress` names, but each keeps its share of the
    probability, as in the published code.

    Args:
        logits_NV: [N, V] logits; their content may be lost.
        mask_id: the token that is never chosen.
        temperature: 0 takes the most likely tokens; above it they are drawn by the Gumbel-max rule.
        generator: draws them.
        confidence: a key of CONFIDENCES; any other is the probability of the chosen token.
        suppress: further tokens that are never chosen.

    Returns:
        [N] token ids and [N] confidences, those of the distribution without the noise.
    """
    exact_NV = logits_NV.to(precise(logits_NV.device))
    normaliser_N = exact_NV.logsumexp(dim=-1)
    measured_N = (
        CONFIDENCES[confidence](exact_NV - normaliser_N[:, None])
        if confidence in CONFIDENCES
        else None
    )
    for never in (mask_id, *suppress):
        exact_NV[:, never] = -torch.inf
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
    """[N] mask of the positions at or above the threshold, or of the most confident one.

    Args:
        confidence_N: how sure the model is of each position.
        threshold: what it is held against.
        strictly: whether a confidence that equals the threshold is too low.

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
    """[R, steps]: how many of each sequence's masked positions every step unmasks.

    What does not divide goes to the first steps.

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
