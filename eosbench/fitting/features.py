"""Step zero over many documents: what every fit starts from, and the only place where a fit runs the backbone.

Documents are batched by length, so that little is spent on padding; one pass serves all methods. While it runs, each method
keeps only what it asks for (`LearnedPredictor.features`), which is what makes an epoch of training cost nothing next to a pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from rich.progress import Progress

from eosbench.backbone import Backbone
from eosbench.fitting.data import Example
from eosbench.predictors.protocol import Features, LearnedPredictor, Predictor
from eosbench.records import Prompt
from eosbench.reveal import partly_masked_canvas
from eosbench.step_zero import Need, StepZero, step_zero, text_only


@dataclass(frozen=True)
class Sample:
    """A document at one unmasked fraction."""

    example: Example
    fraction: float


def to_prompt(sample: Sample, *, canvas: int, mask_id: int) -> Prompt:
    """What a predictor sees of a document: never the reference, save for what is revealed of it."""
    example = sample.example
    ids, _ = partly_masked_canvas(example.response_ids, canvas, mask_id, sample.fraction, document=example.prompt_text)
    return Prompt(example.prompt_text, example.prompt_ids, ids, sample.fraction)


def one_fraction_each(examples: Sequence[Example], fractions: Sequence[float], seed: int) -> list[Sample]:
    """Every document once, at a fraction drawn evenly."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(fractions), (len(examples),), generator=rng).tolist()
    return [Sample(example, fractions[index]) for example, index in zip(examples, drawn, strict=True)]


def every_fraction(examples: Sequence[Example], fractions: Sequence[float]) -> list[Sample]:
    return [Sample(example, fraction) for fraction in fractions for example in examples]


def needs_of(predictors: Collection[Predictor]) -> frozenset[Need]:
    """What step zero must hold for all of them; nothing where none reads the DLM."""
    return frozenset(need for predictor in predictors for need in predictor.needs)


def batches(
    backbone: Backbone, samples: Sequence[Sample], *, canvas: int, needs: Collection[Need], batch_size: int, label: str
) -> Iterator[tuple[list[int], StepZero]]:
    """(indices of the samples, their step zero), longest first; without needs the backbone is not run at all."""
    order = sorted(range(len(samples)), key=lambda index: -len(samples[index].example.prompt_ids))
    with Progress() as progress:
        bar = progress.add_task(label, total=len(samples))
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            prompts = [to_prompt(samples[index], canvas=canvas, mask_id=backbone.spec.mask_id) for index in indices]
            yield indices, step_zero(backbone, prompts, needs) if needs else text_only(prompts, backbone.spec.mask_id)
            progress.advance(bar, len(indices))


def extract(
    backbone: Backbone,
    samples: Sequence[Sample],
    learners: Mapping[str, LearnedPredictor],
    *,
    canvas: int,
    batch_size: int,
    seed: int,
) -> dict[str, list[Features]]:
    """Every learner's features of every sample, from one pass, in the samples' order."""
    if not learners:
        return {}
    rng = torch.Generator().manual_seed(seed)
    kept: dict[str, dict[int, Features]] = {name: {} for name in learners}
    needs = needs_of(list(learners.values()))
    for indices, batch in batches(backbone, samples, canvas=canvas, needs=needs, batch_size=batch_size, label="features"):
        for name, learner in learners.items():
            kept[name].update(zip(indices, learner.features(batch, rng), strict=True))
    return {name: [found[index] for index in range(len(samples))] for name, found in kept.items()}
