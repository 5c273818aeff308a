"""The sampler: the token for each position from its logits, and which of the tokens stay.

Pure functions on tensors, shared by every policy. Probabilities are float64 (float32 where a device
has none), as published: confidences of a good model differ in digits that float32 does not have.

Legend: N positions, R sequences, V vocabulary.
"""

from __future__ import annotations

from collections import abc

import torch

from eosbench.decoding.dream_rules import margin, negative_entropy, time_schedule
from eosbench.decoding.sampling import NOTHING_SET, Sampling, without

# Measures of the whole distribution, whichever token is chosen.
CONFIDENCES = {"entropy": negative_entropy, "topk_margin": margin}
# Dream's: measures of what is drawn from, and not of what the model says.
OF_DRAWN = ("maskgit_plus", *CONFIDENCES)


def choose_tokens(
    logits_NV: torch.Tensor,
    *,
    mask_id: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    confidence: str | None = None,
    suppress: abc.Sequence[int] = (),
    sampling: Sampling | None = None,
    seen_n: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Chooses the token for each of N positions, and says how sure the model is of it.

    The mask token is never chosen, nor what `suppress` names, but each keeps its share of the
    probability, as in the published code.

    Args:
        logits_NV: [N, V] logits; their content may be lost.
        mask_id: the token that is never chosen.
        temperature: 0 takes the most likely tokens; above it they are drawn by the Gumbel-max rule.
        generator: draws them.
        confidence: a key of CONFIDENCES, or "maskgit_plus", measured on what is drawn from, after
            temperature, top_p and top_k; any other is the probability that the model gives to the
            chosen token.
        suppress: further tokens that are never chosen.
        sampling: what else changes the tokens or their confidences (sampling.py).
        seen_n: the ids that a repetition penalty is for, each once.

    Returns:
        [N] token ids and [N] confidences, those of the distribution without the noise.
    """
    options, never_placed = sampling or NOTHING_SET, (mask_id, *suppress)
    draws, of_drawn = temperature > 0 and options.top_k != 1, confidence in OF_DRAWN
    exact_NV = drawn_NV = said_NV = logits_NV.to(precise(logits_NV.device))
    options.change(exact_NV, seen_n)
    if options.narrows and (draws or of_drawn):
        drawn_NV = options.narrowed(exact_NV, temperature or 1.0, never_placed)
    if of_drawn:
        said_NV = drawn_NV / temperature if temperature > 0 else drawn_NV
    if options.last:
        said_NV = without(said_NV, options.last)
    normaliser_N = said_NV.logsumexp(dim=-1)
    measured_N = (
        CONFIDENCES[confidence](said_NV - normaliser_N[:, None])
        if confidence in CONFIDENCES
        else None
    )
    for never in never_placed:
        drawn_NV[:, never] = -torch.inf
    noisy_NV = drawn_NV
    if draws:
        uniform_NV = torch.rand(
            drawn_NV.shape, generator=generator, dtype=drawn_NV.dtype, device=drawn_NV.device
        )
        noisy_NV = drawn_NV - temperature * torch.log(-torch.log(uniform_NV))
    tokens_N = noisy_NV.argmax(dim=-1)
    if measured_N is None:
        chosen_N = said_NV.gather(-1, tokens_N[:, None]).squeeze(-1)
        return tokens_N, (chosen_N - normaliser_N).exp()
    if options.last:
        measured_N = measured_N.masked_fill(options.says_last(tokens_N), -torch.inf)
    return tokens_N, measured_N


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
