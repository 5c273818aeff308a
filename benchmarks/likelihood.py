"""Likelihood of multiple choice: short targets enumerated in batches, against random masks."""

from __future__ import annotations

import torch

from benchmarks.measure import Row, Setup
from benchmarks.models import prompts, trained_model
from benchmarks.reference import log_likelihood
from eosbench.likelihood import log_likelihoods

CHOICES = 4  # of a question
MASKS = 128  # random ones, per request


def multiple_choice(setup: Setup) -> list[Row]:
    """Targets of one token and of three; the choices of a question share its prompt."""
    return [_targets(setup, length) for length in (1, 3)]


def _targets(setup: Setup, length: int) -> Row:
    backbone = trained_model(setup.pretrained)
    questions, masks = (2, 32) if setup.quick else (16, MASKS)
    answers = prompts(backbone, questions + CHOICES - 1, response_tokens=length)
    # Each question's choices: the start of its own answer and of the next documents' answers.
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for question in range(questions):
        prompt, _ = answers[question]
        for _, answer in answers[question : question + CHOICES]:
            pairs.append((prompt, answer[:length]))

    def reference() -> list[float]:
        generator = torch.Generator().manual_seed(0)
        return [
            log_likelihood(backbone, *pair, masks=masks, batch_size=32, generator=generator)
            for pair in pairs
        ]

    def exact() -> list[float]:
        return [likelihood.value for likelihood in log_likelihoods(backbone, pairs)]

    apart = max(abs(sampled - value) for sampled, value in zip(reference(), exact(), strict=True))
    return Row(
        "likelihood",
        f"{masks} random masks",
        "log_likelihoods",
        f"{questions} questions, {CHOICES} choices of {length} token{'s'[: length > 1]}",
        setup.alternate(reference, exact),
        f"at most {apart:.2g} nats apart",
    )
