"""Generation inside a window: denoise it, look for the EOS, and where a wrong bound left none,
retry in a larger one.

A window is the part of the canvas that is denoised. `overflow="accept"` takes what stands in it;
`overflow="retry"` doubles a window that holds no EOS (nor a stop string, after which nothing is
read), keeps what was denoised and goes on, up to the canvas. Every pass of every try is counted.
Rows of all windows, first tries and retries, share one continuous batch, whose size changes
nothing but the time it takes.

Legend: C canvas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from eosbench.backbone import Backbone
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.engine import ContinuousBatch
from eosbench.decoding.sequence import Row
from eosbench.forward import Cost, estimated_flops


@dataclass(frozen=True)
class Job:
    """One prompt to be answered.

    Attributes: prompt: token ids. settings: how a whole canvas is denoised; its `gen_length` is C,
        the most tokens an answer may have. window: tokens that are denoised at first (strategies
        that decide the length while decoding do not look at it). seed: of its random numbers, if
        any. started: ids that stand in the window already (a retry), None for an empty one. stops:
        says whether tokens without an EOS hold an end all the same, a stop string; None where
        nothing else ends a text. fixes_stop: says whether tokens hold such an end that nothing
        behind them can move: a row with `stop_at_eos` ends there.
    """

    prompt: tuple[int, ...]
    settings: DecodeConfig
    window: int
    seed: int = 0
    started: tuple[int, ...] | None = None
    stops: Callable[[Sequence[int]], bool] | None = None
    fixes_stop: Callable[[Sequence[int]], bool] | None = None

    @property
    def config(self) -> DecodeConfig:
        return window_config(self.settings, self.window)


@dataclass(frozen=True)
class Answer:
    """Response tokens before the first EOS, whether they end (there, or at a stop string), what it
    cost, and the last window.
    """

    tokens: list[int]
    ended: bool
    cost: Cost
    canvas: list[int]


def answer_of(canvas: list[int], job: Job, eos_ids: Collection[int], cost: Cost) -> Answer:
    """What stands before the first EOS of a window, and at what cost; a window that holds no end is
    counted as truncated.
    """
    end = next((at for at, token in enumerate(canvas) if token in eos_ids), None)
    ended = end is not None or (job.stops is not None and job.stops(canvas))
    cost.truncated = int(not ended)
    return Answer(canvas[:end], ended, cost, canvas)


# A job whose window held no end -> its next window, or the same where it is to stay.
Overflow = Callable[[Job], int]

OVERFLOWS: dict[str, Overflow] = {
    "accept": lambda job: job.window,
    "retry": lambda job: min(2 * job.window, job.settings.gen_length),
}


def window_config(settings: DecodeConfig, window: int) -> DecodeConfig:
    """`settings` of a whole canvas for a window of it: as many tokens per step, blocks no longer
    than the window.

    >>> window_config(DecodeConfig(gen_length=256, steps=128, block_length=32), 16)
    DecodeConfig(gen_length=16, steps=8, block_length=16, remasking='low_confidence', schedule='even', temperature=0.0,
    cfg_scale=0.0, threshold=None, cache=None, stop_at_eos=False)
    """
    block = min(settings.block_length or window, window)
    if settings.steps is None:
        return replace(settings, gen_length=window, block_length=block)
    steps = math.ceil(settings.steps * window / settings.gen_length)
    return replace(
        settings, gen_length=window, block_length=block, steps=max(steps, math.ceil(window / block))
    )


def generate(
    backbone: Backbone,
    jobs: Sequence[Job],
    *,
    batch_size: int = 16,
    overflow: str | Overflow = "accept",
) -> Iterator[tuple[int, Answer]]:
    """(index of the job, its answer), as they finish.

    Args:
        backbone: the model.
        jobs: in any order.
        batch_size: rows per pass at most.
        overflow: "accept", "retry", or what else to do with a window that holds no end.
    """
    larger = OVERFLOWS[overflow] if isinstance(overflow, str) else overflow
    batch, spent = ContinuousBatch(backbone, batch_size), [Cost() for _ in jobs]
    for index, job in enumerate(jobs):
        batch.add(_row(backbone, job, index))
    for row in batch:
        index, job = row.index, replace(jobs[row.index], window=row.config.gen_length)
        spent[index] += row_cost(row)
        answer = answer_of(row.canvas.tolist(), job, backbone.spec.eos_ids, spent[index])
        if answer.ended or (window := larger(job)) <= job.window:
            yield index, answer
        else:
            spent[index].retries += 1
            batch.add(
                _row(backbone, _again(job, window, answer.canvas, backbone.spec.mask_id), index)
            )


def _again(job: Job, window: int, canvas: Sequence[int], mask_id: int) -> Job:
    """The job in a larger window: what was denoised stays, random numbers are not those of the
    smaller one.
    """
    return replace(
        job,
        window=window,
        started=(*canvas, *[mask_id] * (window - len(canvas))),
        seed=job.seed + window,
    )


def _row(backbone: Backbone, job: Job, index: int) -> Row:
    return Row(
        backbone.spec,
        job.prompt,
        job.config,
        index=index,
        canvas=job.started,
        seed=job.seed,
        fixes_stop=job.fixes_stop,
    )


def row_cost(row: Row) -> Cost:
    """What a row of a batch has cost, its passes alone."""
    rows = row.passes * (2 if row.config.cfg_scale else 1)
    scored = row.scored_positions
    flops = estimated_flops(row.spec, row.token_positions, rows, scored, read_positions=scored)
    window, seconds = row.config.gen_length, row.seconds
    return Cost(
        window, row.passes, row.token_positions, flops, seconds, model_seconds=row.model_seconds
    )
