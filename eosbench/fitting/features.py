"""Step zero over many documents: what every fit starts from, and the only place where a fit runs
the backbone.

Documents are batched by length, so that little is spent on padding; one pass serves all methods.
While it runs, each method keeps only what it asks for (`LearnedPredictor.kept`), in a store on
disk (store.py): an epoch of training costs nothing next to a pass, memory does not grow with the
data set, and a fit that is killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import cast

import torch
from rich.progress import Progress

from eosbench.backbone import Backbone
from eosbench.documents import partly_masked_canvas
from eosbench.fitting.data import Example
from eosbench.fitting.store import FeatureStore, Sample
from eosbench.fitting.workers import ALONE, Workers
from eosbench.forward import Need, StepZero, run_step_zero, text_only
from eosbench.predictors import FittedPredictor, Kept, LearnedPredictor
from eosbench.records import Prompt

FRACTION_SEED = 0


def to_prompt(sample: Sample, *, canvas: int, mask_id: int) -> Prompt:
    """What a predictor sees of a document: never the reference, save for what is revealed of it."""
    example = sample.example
    ids, _ = partly_masked_canvas(
        example.response_ids, canvas, mask_id, sample.fraction, document=example.prompt_text
    )
    return Prompt(example.prompt_text, example.prompt_ids, ids, sample.fraction)


def one_fraction_each(examples: Sequence[Example], fractions: Sequence[float]) -> list[Sample]:
    """Every document once, at a fraction drawn evenly; the same draw for every fit, so that fits of
    all seeds share features.
    """
    rng = torch.Generator().manual_seed(FRACTION_SEED)
    drawn = torch.randint(len(fractions), (len(examples),), generator=rng).tolist()
    return [
        Sample(example, fractions[index]) for example, index in zip(examples, drawn, strict=True)
    ]


def every_fraction(examples: Sequence[Example], fractions: Sequence[float]) -> list[Sample]:
    return [Sample(example, fraction) for fraction in fractions for example in examples]


def needs_of(predictors: Collection[FittedPredictor]) -> frozenset[Need]:
    """What step zero must hold for all of them; nothing where none reads the DLM."""
    return frozenset(need for predictor in predictors for need in predictor.row.needs)


def batches(
    backbone: Backbone,
    samples: Sequence[Sample],
    *,
    canvas: int,
    needs: Collection[Need],
    batch_size: int,
    label: str,
    rows: Sequence[int] | None = None,
    workers: Workers = ALONE,
) -> Iterator[tuple[list[int], StepZero]]:
    """(indices of the samples, their step zero), longest first; without needs the backbone is not
    run at all.

    Args:
        rows: the samples that are asked for, by default all.
        workers: each process gets every n-th batch.
    """
    order = sorted(
        range(len(samples)) if rows is None else rows,
        key=lambda row: -len(samples[row].example.prompt_ids),
    )
    starts = range(workers.rank * batch_size, len(order), workers.world_size * batch_size)
    with Progress(disable=workers.rank != 0) as progress:
        bar = progress.add_task(label, total=len(starts))
        for start in starts:
            indices = order[start : start + batch_size]
            prompts = [
                to_prompt(samples[index], canvas=canvas, mask_id=backbone.spec.mask_id)
                for index in indices
            ]
            yield (
                indices,
                run_step_zero(backbone, prompts, needs)
                if needs
                else text_only(prompts, backbone.spec.mask_id),
            )
            progress.advance(bar)


def extract(
    backbone: Backbone,
    store: FeatureStore,
    learners: Collection[FittedPredictor],
    *,
    canvas: int,
    batch_size: int,
    workers: Workers = ALONE,
) -> None:
    """Fills the store with what these learners keep of its samples, as far as it is not there
    already: one pass for all.
    """
    kept: dict[str, Kept] = {}
    # Learners that keep arrays of one name keep the same numbers.
    writers: list[FittedPredictor] = []
    for learner in learners:
        if not set(_kept(learner)) <= set(kept):
            writers.append(learner)
            kept |= _kept(learner)
    if workers.rank == 0:
        store.open(kept)
    workers.wait()
    store.open(kept, create=False)
    writers = [learner for learner in writers if store.missing(_kept(learner))]
    rows = store.missing({name for learner in writers for name in _kept(learner)})
    workers.wait()  # before anyone writes, everyone has read what is missing
    if rows:
        found = batches(
            backbone,
            store.samples,
            canvas=canvas,
            needs=needs_of(writers),
            batch_size=batch_size,
            label="features",
            rows=rows,
            workers=workers,
        )
        for indices, batch in found:
            for learner in writers:
                store.write(indices, cast(LearnedPredictor, learner.predictor).features(batch))
    workers.wait()


def _kept(learner: FittedPredictor) -> Mapping[str, Kept]:
    return cast(LearnedPredictor, learner.predictor).kept
