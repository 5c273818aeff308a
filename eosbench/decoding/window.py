"""Generation inside a window of the canvas, and in larger ones where a wrong bound left no EOS.

A window is the part of the canvas that is decoded. `overflow="accept"` takes what stands in it;
`overflow="retry"` doubles a window that holds no EOS (nor a stop string, after which nothing is
read), keeps what was decoded and goes on, up to the canvas. Every pass in every window is counted.
Sequences of all windows, first tries and retries, share one engine, whose batch size changes
nothing but the time it takes.

Legend: C canvas.
"""

from __future__ import annotations

import math
from collections import abc
from dataclasses import dataclass, replace

import torch

from eosbench.backbone import Backbone, NoiseCanvas
from eosbench.decoding.block_settings import BlockSettings
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.engine import Engine
from eosbench.decoding.fixed_canvas import fill
from eosbench.decoding.noise import denoise_noise, require_no_suffix
from eosbench.decoding.policy import Policy, Steps
from eosbench.decoding.sequence import SaysStop, Sequence, Watch
from eosbench.forward import Cost


@dataclass(frozen=True)
class Job:
    """One prompt to be answered.

    Attributes:
        prompt: token ids.
        settings: how a whole canvas is decoded; its `gen_length` is C, the most tokens an answer
            may have.
        window: how many tokens are decoded at first; strategies that decide the length while
            decoding choose that themselves.
        seed: of its random numbers, if any.
        stops: says whether tokens without an EOS hold an end all the same, a stop string; None
            where nothing else ends a text.
        fixes_stop: says whether tokens hold such an end that nothing behind them can move: with
            `stop_at_eos` an answer ends there.
        suffix: token ids that stand behind the canvas, which then fills the gap between.
        watch: is called with the sequence after each of its passes; never for a model whose canvas
            starts as noise, which denoises it by itself.
        first_ND: hidden states of the window's first N positions, where a pass over prompt and
            masked window has been run, and charged, already; see `Engine.add`.
    """

    prompt: tuple[int, ...]
    settings: DecodeConfig
    window: int
    seed: int = 0
    stops: SaysStop | None = None
    fixes_stop: SaysStop | None = None
    suffix: tuple[int, ...] = ()
    watch: Watch | None = None
    first_ND: torch.Tensor | None = None

    @property
    def config(self) -> DecodeConfig:
        """The settings for the first window."""
        return window_config(self.settings, self.window)


@dataclass(frozen=True)
class Answer:
    """The answer to one job.

    Attributes:
        tokens: the response, up to the first EOS.
        ended: whether the canvas holds an end, an EOS or a stop string, or fills a gap before a
            suffix, which needs none.
        cost: of all its passes.
        canvas: the whole canvas as it was left, the last window.
    """

    tokens: list[int]
    ended: bool
    cost: Cost
    canvas: list[int]


# A window that holds no end, and C -> the next window, or the same where it is to stay.
Overflow = abc.Callable[[int, int], int]

OVERFLOWS: dict[str, Overflow] = {
    "accept": lambda window, canvas: window,
    "retry": lambda window, canvas: min(2 * window, canvas),
}


def window_config(settings: DecodeConfig, window: int) -> DecodeConfig:
    """The `settings` of a whole canvas for a window of it.

    As many tokens are decoded per step, and blocks are no longer than the window.

    >>> config = window_config(DecodeConfig(gen_length=256, steps=128, block_length=32), 16)
    >>> config.gen_length, config.steps, config.block_length
    (16, 8, 16)
    """
    block = min(settings.block_length or window, window)
    if settings.steps is None:
        return replace(settings, gen_length=window, block_length=block)
    steps = math.ceil(settings.steps * window / settings.gen_length)
    return replace(
        settings, gen_length=window, block_length=block, steps=max(steps, math.ceil(window / block))
    )


@dataclass(frozen=True)
class WindowBlocks:
    """The blocks of windows, with the passes over each: what a window costs follows from them.

    A threshold only shortens passes by a share, and is left out.

    Args:
        settings: of a whole canvas.
    """

    settings: DecodeConfig

    @property
    def stop_at_eos(self) -> bool:
        """Whether decoding ends at the EOS, or fills every window to its end."""
        return self.settings.stop_at_eos

    def blocks(self, window: int) -> abc.Iterator[tuple[int, int, int]]:
        """(start, end, passes) of each block of a window that is all masked, from the left.

        >>> list(WindowBlocks(DecodeConfig(gen_length=64, block_length=32)).blocks(40))
        [(0, 32, 32), (32, 40, 8)]
        """
        return window_config(self.settings, window).blocks()


def fill_window(sequence: Sequence) -> Steps:
    """Decodes a sequence's canvas as it stands, at the pace of the longest one it may get."""
    if sequence.spec.attention == "block":
        return fill(sequence, sequence.config)
    return fill(sequence, window_config(sequence.config, len(sequence.canvas)))


def widen(sequence: Sequence, window: int) -> None:
    """Gives a sequence a canvas of `window` tokens: what stands stays, masks come behind it."""
    more = sequence.masks(window - len(sequence.canvas))
    sequence.resize(torch.cat([sequence.canvas, more]))


class Windows:
    """Decodes a window, and a larger one for as long as it holds no end.

    A model that attends causally between blocks decodes its last block whole, and what stands
    behind the window is cut off. Where a window may grow it ends with a block, so that nothing is
    cut off and decoded again.

    Args:
        larger: the next window, from one that holds no end.
    """

    def __init__(self, larger: Overflow) -> None:
        self.larger = larger

    def decode(self, sequence: Sequence) -> Steps:
        """Decodes windows until one holds an end or may not grow."""
        self._end_with_a_block(sequence)
        yield from fill_window(sequence)
        while not sequence.has_end() and self._may_grow(sequence):
            sequence.retries += 1
            widen(sequence, self.larger(len(sequence.canvas), sequence.config.gen_length))
            self._end_with_a_block(sequence)
            yield from fill_window(sequence)

    def _may_grow(self, sequence: Sequence) -> bool:
        length = len(sequence.canvas)
        return self.larger(length, sequence.config.gen_length) > length

    def _end_with_a_block(self, sequence: Sequence) -> None:
        if sequence.spec.attention == "block" and self._may_grow(sequence):
            block = BlockSettings.of(sequence.spec, sequence.config).length
            end = -(-len(sequence) // block) * block - sequence.prompt_length
            widen(sequence, min(end, sequence.config.gen_length))


def generate(
    backbone: Backbone,
    jobs: abc.Sequence[Job],
    *,
    batch_size: int = 16,
    overflow: str = "accept",
    policy: Policy | None = None,
) -> abc.Iterator[tuple[int, Answer]]:
    """Yields the index of each job and its answer, as they finish.

    Args:
        backbone: the model.
        jobs: in any order.
        batch_size: sequences per pass at most.
        overflow: what to do with a window that holds no end: "accept" or "retry".
        policy: rules that decide the length while decoding, in the place of windows.

    Raises:
        ConfigurationError: a prompt that leaves no room for its canvas, an empty one where the
            family needs one, or a suffix where the family cannot see one.
    """
    if isinstance(backbone, NoiseCanvas):
        larger = None if policy else OVERFLOWS[overflow]
        yield from _generate_noise(backbone, jobs, larger)
        return
    policy = policy or Windows(OVERFLOWS[overflow])
    engine = Engine(backbone, batch_size)
    for index, job in enumerate(jobs):
        sequence = Sequence(
            backbone.spec,
            job.prompt,
            job.settings,
            policy=policy,
            index=index,
            canvas=[backbone.spec.mask_id] * job.window,
            suffix=job.suffix,
            seed=job.seed,
            stops=job.stops,
            fixes_stop=job.fixes_stop,
            watch=job.watch,
        )
        engine.add(sequence, job.first_ND)
    for sequence in engine:
        yield sequence.index, _answer(sequence)


def _generate_noise(
    backbone: NoiseCanvas, jobs: abc.Sequence[Job], larger: Overflow | None
) -> abc.Iterator[tuple[int, Answer]]:
    """Answers of a model whose canvas starts as noise.

    The window is one canvas, and a larger one starts as noise again; without `larger` windows,
    canvases of the model's own length follow each other until one holds an end.
    """
    for index, job in enumerate(jobs):
        require_no_suffix(backbone.spec, job.suffix, index)
        longest, spent = job.settings.gen_length, Cost()
        length = job.window if larger else longest
        own = job.settings.block_length or backbone.spec.block_length or longest
        while True:
            found = denoise_noise(
                backbone,
                job.prompt,
                job.settings,
                length=length,
                canvas=length if larger else min(own, longest),
                seed=job.seed + spent.retries,
                index=index,
            )
            spent += found.cost
            tokens = found.tokens.tolist()
            ends = [at for at, token in enumerate(tokens) if token in backbone.spec.eos_ids]
            ended = bool(ends) or (job.stops is not None and job.stops(tokens))
            window = larger(length, longest) if larger and not ended else length
            if window <= length:
                break
            spent.retries += 1
            length = window
        spent.truncated = int(not ended)
        yield index, Answer(tokens[: ends[0]] if ends else tokens, ended, spent, tokens)


def _answer(sequence: Sequence) -> Answer:
    """The answer that stands on a sequence's canvas; without an end it counts as truncated."""
    canvas, cost, ended = sequence.canvas.tolist(), sequence.cost, sequence.has_end()
    cost.truncated = int(not ended)
    end = next((at for at, token in enumerate(canvas) if token in sequence.spec.eos_ids), None)
    return Answer(canvas[:end], ended, cost, canvas)
