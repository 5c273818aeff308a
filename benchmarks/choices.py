"""Multiple choice on public rows (arc_easy, piqa): likelihoods of a round's documents against 128 random masks a request."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import torch

from benchmarks.measure import Row, Setup, timed
from benchmarks.models import trained_model
from benchmarks.reference import log_likelihood
from eosbench.backbone import Backbone
from eosbench.likelihood import Likelihood, log_likelihoods

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mc"  # rows are no part of the repository
BATCH, BATCHES = 32, 4  # 128 masks

Pair = tuple[torch.Tensor, torch.Tensor]


def public_rows(setup: Setup) -> list[Row]:
    """Twenty other documents of each set in every round, so that five rounds see a hundred."""
    return [_task(setup, name) for name in ("arc_easy", "piqa") if (DATA / f"{name}.jsonl").is_file()]


def _task(setup: Setup, name: str) -> Row:
    backbone, per_round = trained_model(setup.pretrained), 1 if setup.quick else 20
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ratios, theirs, ours = [], list[float](), list[float]()
    for start in range(0, setup.runs * per_round, per_round):
        pairs = [pair for line in lines[start : start + per_round] for pair in _pairs(backbone, json.loads(line))]
        slow, errors = timed(_reference, backbone, pairs, start)
        fast, found = timed(_ours, backbone, pairs)
        ratios.append(slow / fast)
        theirs += errors
        ours += [likelihood.standard_error for likelihood in found]
        setup.advance()
    means = [math.sqrt(statistics.fmean(error**2 for error in errors)) for errors in (theirs, ours)]
    exact = sum(error == 0 for error in ours) / len(ours)
    about = f"{name}, {setup.runs * per_round} documents, {len(ours)} requests"
    found_text = f"standard error {means[0]:.2f} and {means[1]:.2f} nats; {100 * exact:.0f} % exact"
    return Row("choices", "128 random masks", "log_likelihoods", about, tuple(ratios), found_text)


def _reference(backbone: Backbone, pairs: list[Pair], seed: int) -> list[float]:
    """Standard errors of the mean over four batches of masks, which is what 128 masks give."""
    generator, errors = torch.Generator().manual_seed(seed), []
    for pair in pairs:
        values = [log_likelihood(backbone, *pair, masks=BATCH, batch_size=BATCH, generator=generator) for _ in range(BATCHES)]
        errors.append(statistics.stdev(values) / math.sqrt(BATCHES))
    return errors


def _ours(backbone: Backbone, pairs: list[Pair]) -> list[Likelihood]:
    return log_likelihoods(backbone, pairs, BATCH * BATCHES)


def _pairs(backbone: Backbone, row: dict[str, object]) -> list[Pair]:
    """The question, and each of its choices as lm-eval would cut it."""
    context = f"{str(row['query']).rstrip()}\nAnswer:"
    prompt = backbone.tokenizer(context)["input_ids"]
    length = len(backbone.tokenizer(context, add_special_tokens=False)["input_ids"])
    choices = row["choices"]
    assert isinstance(choices, list)
    whole = (backbone.tokenizer(f"{context} {choice}", add_special_tokens=False)["input_ids"] for choice in choices)
    return [(torch.tensor(prompt), torch.tensor(ids[length:])) for ids in whole]
