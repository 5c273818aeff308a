"""Multiple choice on public rows (arc_easy, piqa): likelihoods against 128 random masks."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.measure import Row, Setup, timed
from benchmarks.models import trained_model
from benchmarks.reference import log_likelihood
from eosbench.backbone import Backbone
from eosbench.likelihood import Likelihood, log_likelihoods

logger = logging.getLogger(__name__)

BATCH, BATCHES = 32, 4  # 128 masks

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Questions:
    """Rows of the Hugging Face hub, of the split that lm-eval's task of this name asks."""

    name: str
    path: str
    config: str
    split: str

    def first(self, count: int) -> list[tuple[str, list[str]]]:
        """The first rows, each as a question and its choices.

        Raises:
            OSError, ValueError, RuntimeError: as `datasets` raises them where neither the hub nor
                its cache has the rows.
        """
        import datasets

        rows = datasets.load_dataset(self.path, self.config, split=self.split)
        return [self._asked(row) for row in rows.take(count)]

    def _asked(self, row: Mapping[str, Any]) -> tuple[str, list[str]]:
        if self.name == "piqa":
            return row["goal"], [row["sol1"], row["sol2"]]
        return row["question"], row["choices"]["text"]


ASKED = (
    Questions("arc_easy", "allenai/ai2_arc", "ARC-Easy", "test"),
    Questions("piqa", "baber/piqa", "default", "validation"),
)


def public_rows(setup: Setup) -> list[Row]:
    """The rows of both sets: twenty other documents of each in every round."""
    per_round, rows = 1 if setup.quick else 20, []
    for questions in ASKED:
        try:
            asked = questions.first(setup.runs * per_round)
        except (OSError, ValueError, RuntimeError) as error:
            logger.warning(
                "choices: left out %s, whose rows come from the hub or the cache in HF_HOME: %s",
                questions.name,
                error,
            )
            continue
        rows.append(_task(setup, questions.name, asked, per_round))
    return rows


def _task(setup: Setup, name: str, asked: Sequence[tuple[str, list[str]]], per_round: int) -> Row:
    backbone = trained_model(setup.pretrained)
    ratios, theirs, ours = [], list[float](), list[float]()
    for start in range(0, len(asked), per_round):
        pairs: list[Pair] = []
        for question, choices in asked[start : start + per_round]:
            pairs += _pairs(backbone, question, choices)
        slow, errors = timed(_reference, backbone, pairs, start)
        fast, found = timed(_ours, backbone, pairs)
        ratios.append(slow / fast)
        theirs += errors
        ours += [likelihood.standard_error for likelihood in found]
        setup.advance()
    exact = sum(error == 0 for error in ours) / len(ours)
    about = f"{name}, {len(asked)} documents, {len(ours)} requests"
    said = (
        f"standard error {_root_mean_square(theirs):.2f} and {_root_mean_square(ours):.2f} nats; "
        f"{100 * exact:.0f} % exact"
    )
    return Row("choices", "128 random masks", "log_likelihoods", about, tuple(ratios), said)


def _root_mean_square(errors: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(error**2 for error in errors))


def _reference(backbone: Backbone, pairs: list[Pair], seed: int) -> list[float]:
    """Standard errors of the mean over four batches of masks, which are 128 masks together."""
    generator, errors = torch.Generator().manual_seed(seed), []
    for pair in pairs:
        values = [
            log_likelihood(backbone, *pair, masks=BATCH, batch_size=BATCH, generator=generator)
            for _ in range(BATCHES)
        ]
        errors.append(statistics.stdev(values) / math.sqrt(BATCHES))
    return errors


def _ours(backbone: Backbone, pairs: list[Pair]) -> list[Likelihood]:
    return log_likelihoods(backbone, pairs, BATCH * BATCHES)


def _pairs(backbone: Backbone, question: str, choices: Sequence[str]) -> list[Pair]:
    """The question with each of its choices, cut into prompt and target as lm-eval does."""
    context = f"Question: {question.rstrip()}\nAnswer:"
    prompt = backbone.tokenizer(context)["input_ids"]
    length = len(backbone.tokenizer(context, add_special_tokens=False)["input_ids"])
    whole = (
        backbone.tokenizer(f"{context} {choice}", add_special_tokens=False)["input_ids"]
        for choice in choices
    )
    return [(torch.tensor(prompt), torch.tensor(ids[length:])) for ids in whole]
