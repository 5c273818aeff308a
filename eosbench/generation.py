"""Generation inside a window: denoise it, look for the EOS, and where a wrong bound left none, retry in a larger one.

A window is the part of the canvas that is denoised. `overflow="accept"` takes what stands in it; `overflow="retry"` doubles a
window that holds no EOS, keeps what was denoised and goes on, up to the canvas. Every pass of every try is counted. Requests
that share a configuration are denoised in one batch, whose size changes nothing but the time it takes.

Legend: C canvas.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from eosbench.backbone import Backbone
from eosbench.costs import Cost, estimated_flops
from eosbench.decoding import DecodeConfig, denoise

OVERFLOWS = ("accept", "retry")


@dataclass(frozen=True)
class Job:
    """One prompt to be answered.

    Attributes:
        prompt: token ids.
        settings: how a whole canvas is denoised; its `gen_length` is C, the most tokens an answer may have.
        window: tokens that are denoised at first.
        seed: of its random numbers, if any.
        started: ids that stand in the window already (a retry), None for an empty one.
    """

    prompt: tuple[int, ...]
    settings: DecodeConfig
    window: int
    seed: int = 0
    started: tuple[int, ...] | None = None

    @property
    def config(self) -> DecodeConfig:
        return window_config(self.settings, self.window)


@dataclass(frozen=True)
class Answer:
    """Response tokens before the first EOS, whether an EOS was there, and what it cost."""

    tokens: list[int]
    ended: bool
    cost: Cost


def window_config(settings: DecodeConfig, window: int) -> DecodeConfig:
    """`settings` of a whole canvas for a window of it: as many tokens per step, blocks no longer than the window.

    >>> window_config(DecodeConfig(gen_length=256, steps=128, block_length=32), 16)
    DecodeConfig(gen_length=16, steps=8, block_length=16, remasking='low_confidence', schedule='even', temperature=0.0,
    cfg_scale=0.0, threshold=None, cache=None)
    """
    block = min(settings.block_length or window, window)
    if settings.steps is None:
        return replace(settings, gen_length=window, block_length=block)
    steps = math.ceil(settings.steps * window / settings.gen_length)
    return replace(settings, gen_length=window, block_length=block, steps=max(steps, math.ceil(window / block)))


def generate(
    backbone: Backbone, jobs: Sequence[Job], *, batch_size: int = 16, overflow: str = "accept"
) -> Iterator[tuple[int, Answer]]:
    """(index of the job, its answer), as batches finish; jobs of like window and prompt length share a batch.

    Args:
        backbone: the model.
        jobs: in any order.
        batch_size: rows per batch.
        overflow: "accept" or "retry".
    """
    costs = [Cost() for _ in jobs]
    waiting = dict(enumerate(jobs))
    while waiting:
        order = sorted(waiting, key=lambda index: (repr(waiting[index].config), len(waiting[index].prompt)))
        again: dict[int, Job] = {}
        for batch in _batches(order, waiting, batch_size):
            for index, tokens, cost in _denoise(backbone, batch, waiting):
                job, costs[index] = waiting[index], costs[index] + cost
                end = next((at for at, token in enumerate(tokens) if token in backbone.spec.eos_ids), None)
                if end is None and overflow == "retry" and job.window < job.settings.gen_length:
                    window = min(2 * job.window, job.settings.gen_length)
                    started = (*tokens, *[backbone.spec.mask_id] * (window - job.window))
                    again[index] = replace(job, window=window, started=started)
                    costs[index].retries += 1
                else:
                    costs[index].truncated = int(end is None)
                    yield index, Answer(tokens[:end], end is not None, costs[index])
        waiting = again


def _batches(order: Sequence[int], jobs: dict[int, Job], batch_size: int) -> Iterator[list[int]]:
    """Runs of at most `batch_size` jobs with one configuration."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) == batch_size or jobs[index].config != jobs[batch[0]].config):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _denoise(backbone: Backbone, batch: Sequence[int], jobs: dict[int, Job]) -> Iterator[tuple[int, list[int], Cost]]:
    started = time.perf_counter()
    config, mask_id = jobs[batch[0]].config, backbone.spec.mask_id
    canvases = [torch.tensor(jobs[i].started or [mask_id] * config.gen_length) for i in batch]
    result = denoise(
        backbone,
        [torch.tensor(jobs[i].prompt) for i in batch],
        config,
        canvases=canvases,
        seeds=[jobs[i].seed for i in batch],
    )
    seconds = (time.perf_counter() - started) / len(batch)
    guided = 2 if config.cfg_scale else 1
    for row, index in enumerate(batch):
        passes, positions = result.row_forward_passes[row], result.row_token_positions[row]
        flops = estimated_flops(backbone.spec, positions, guided * passes, result.row_scored_positions[row])
        yield index, result.sequences[row].tolist(), Cost(config.gen_length, passes, positions, flops, seconds)
