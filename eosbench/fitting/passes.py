"""Step zero over many documents: the only place where a fit runs the backbone.

Documents are batched by length, so that little is spent on padding; one pass serves all methods
that read the same part of the canvas.
Of several processes each takes its share of the batches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from rich.progress import Progress

from eosbench.backbone import Backbone
from eosbench.canvas_view import FULL, CanvasView
from eosbench.documents import partly_masked_canvas
from eosbench.fitting.examples import Example
from eosbench.fitting.workers import ALONE, Workers
from eosbench.forward import Need, StepZero, run_step_zero, text_only
from eosbench.predictors import FittedPredictor, view_of
from eosbench.records import Prompt

FRACTION_SEED = 0

__all__ = [
    "Passes",
    "Sample",
    "batches",
    "by_view",
    "every_fraction",
    "needs_of",
    "one_fraction_each",
    "to_prompt",
]


@dataclass(frozen=True)
class Passes:
    """The backbone, and the way in which documents go through it.

    Attributes:
        backbone: frozen; what is fitted is bound to it.
        canvas: C, in tokens.
        batch_size: documents per forward pass.
        workers: the processes that share the passes.
        view: the part of the canvas that step zero runs.
    """

    backbone: Backbone
    canvas: int
    batch_size: int = 16
    workers: Workers = ALONE
    view: CanvasView = FULL


@dataclass(frozen=True)
class Sample:
    """A document at one unmasked fraction.

    Attributes:
        example: the document.
        fraction: u, the share of its answer that is revealed.
        reveal: "random" or "prefix", see `eosbench.documents.partly_masked_canvas`.
    """

    example: Example
    fraction: float
    reveal: str = "random"


def one_fraction_each(examples: Sequence[Example], fractions: Sequence[float]) -> list[Sample]:
    """Every document once, at a fraction drawn evenly.

    The draw is the same for every fit, so that fits of all seeds share features.
    """
    rng = torch.Generator().manual_seed(FRACTION_SEED)
    drawn = torch.randint(len(fractions), (len(examples),), generator=rng).tolist()
    return [
        Sample(example, fractions[index]) for example, index in zip(examples, drawn, strict=True)
    ]


def every_fraction(
    examples: Sequence[Example], fractions: Sequence[float], reveal: str = "random"
) -> list[Sample]:
    """Every document at every fraction; all documents of a fraction stand together."""
    return [Sample(example, fraction, reveal) for fraction in fractions for example in examples]


def to_prompt(sample: Sample, *, canvas: int, mask_id: int, told: bool = False) -> Prompt:
    """The prompt that a predictor sees: nothing of the answer but what is revealed of it.

    Args:
        sample: the document at its fraction.
        canvas: C, in tokens.
        mask_id: of the mask token.
        told: say the length of the answer too, as features of training documents may know.
    """
    example = sample.example
    ids, _ = partly_masked_canvas(
        example.response_ids,
        canvas,
        mask_id,
        sample.fraction,
        document=example.prompt_text,
        mode=sample.reveal,
    )
    length = example.length if told else None
    return Prompt(example.prompt_text, example.prompt_ids, ids, sample.fraction, length)


def needs_of(predictors: Collection[FittedPredictor]) -> frozenset[Need]:
    """The parts of step zero that all of them need; empty where none reads the DLM."""
    return frozenset(need for predictor in predictors for need in predictor.row.needs)


def by_view(
    predictors: Mapping[str, FittedPredictor], passes: Passes
) -> Iterator[tuple[Passes, dict[str, FittedPredictor]]]:
    """(passes, predictors) for each part of the canvas that some of the predictors read.

    Args:
        predictors: name -> predictor.
        passes: of the fit; those of a part are the same but for their view.
    """
    for view in dict.fromkeys(view_of(fitted.predictor) for fitted in predictors.values()):
        readers = {
            name: fitted for name, fitted in predictors.items() if view_of(fitted.predictor) == view
        }
        yield replace(passes, view=view), readers


def batches(
    passes: Passes,
    samples: Sequence[Sample],
    *,
    needs: Collection[Need],
    label: str,
    rows: Sequence[int] | None = None,
    told: bool = False,
) -> Iterator[tuple[list[int], StepZero]]:
    """(indices of samples, their step zero), longest prompts first.

    Args:
        passes: each of its processes gets every n-th batch.
        samples: documents at fractions.
        needs: what step zero is to hold; where it is empty, the backbone is not run at all.
        label: what the progress bar says.
        rows: the indices of the samples that are asked for, by default all.
        told: see `to_prompt`.
    """
    order = sorted(
        range(len(samples)) if rows is None else rows,
        key=lambda row: -len(samples[row].example.prompt_ids),
    )
    workers, size = passes.workers, passes.batch_size
    mask_id = passes.backbone.spec.mask_id
    starts = range(workers.rank * size, len(order), workers.world_size * size)
    with Progress(disable=workers.rank != 0) as progress:
        bar = progress.add_task(label, total=len(starts))
        for start in starts:
            indices = order[start : start + size]
            prompts = [
                to_prompt(samples[index], canvas=passes.canvas, mask_id=mask_id, told=told)
                for index in indices
            ]
            if needs:
                yield indices, run_step_zero(passes.backbone, prompts, needs, passes.view)
            else:
                yield indices, text_only(prompts, mask_id)
            progress.advance(bar)
