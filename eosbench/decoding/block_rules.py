"""Blocks decoded one after another, each after the rules that its family published.

A block begins as masks behind what was committed. Passes over it alone, which see the kept keys of
all before it, place its tokens; when it is full, it is committed: one more pass stores its keys and
values, or the first pass over the next block does. Nothing before a block is run again.

Columns count from the start of the prompt, positions from that of the canvas. The prompt's last,
incomplete block is completed by the first tokens of the answer, and the last block is decoded whole
where the family does so: what stands behind the canvas asked for is cut off at the end.

Legend: N masked positions of the open block, P tokens of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from eosbench.decoding.block_settings import BlockSettings
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.policy import Scores, Step, Steps
from eosbench.decoding.sampler import above_threshold, even_schedule, most_confident

if TYPE_CHECKING:
    from eosbench.decoding.sequence import Sequence

NOTHING = torch.empty(0, dtype=torch.long)
# The confidences of the masked positions, the tokens a step must place, a threshold -> which stay.
Choose = Callable[[torch.Tensor, int, float], torch.Tensor]
# The steps of one block; whether the sequence is at its end.
BlockSteps = Generator[Step, Scores, bool]


def enough_above(confidence_N: torch.Tensor, quota: int, threshold: float) -> torch.Tensor:
    """[N] mask of those above the threshold if they are at least `quota`, else of the best `quota`.

    Example:
        >>> enough_above(torch.tensor([0.9, 0.4, 0.8]), 1, 0.5).tolist()
        [True, False, True]
        >>> enough_above(torch.tensor([0.9, 0.4, 0.8]), 3, 0.5).tolist()
        [True, True, True]
    """
    high_N = confidence_N > threshold
    return high_N if int(high_N.sum()) >= quota else most_confident(confidence_N, quota)


def all_from(confidence_N: torch.Tensor, quota: int, threshold: float) -> torch.Tensor:
    """[N] mask of those at or above the threshold, and always of the best one; no quota counts."""
    return above_threshold(confidence_N, threshold)


@dataclass(frozen=True)
class BlockRule:
    """The way in which a family decodes a block, and from one to the next.

    Attributes:
        above: which masked positions stay of a pass with a threshold.
        shares_masks: whether a block's steps share out its masked positions, and not its length,
            which a block that holds tokens of the prompt has fewer masked positions than.
        joins: whether the next block's first pass stores a block, and not one of its own.
        whole_last_block: whether the last block is as long as the others.
        drops_last: whether a block with an end of text in it is not stored, and everything behind
            that end becomes that end.
    """

    above: Choose
    shares_masks: bool = False
    joins: bool = False
    whole_last_block: bool = True
    drops_last: bool = False

    def fill(self, sequence: Sequence, config: DecodeConfig) -> Steps:
        """Decodes the masked blocks of a canvas, from the left.

        Args:
            sequence: whose canvas it is.
            config: how.
        """
        settings = BlockSettings.of(sequence.spec, config)
        asked = len(sequence.canvas)
        end = complete(sequence, settings.length) if self.whole_last_block else len(sequence)
        for start in block_starts(sequence, settings.length, end):
            stop = min(start + settings.length, end)
            if not len(masked(sequence, start, stop)):
                continue
            if config.stop_at_eos and (sequence.ended() or sequence.stopped()):
                break
            if not self.joins and sequence.kept < start:
                yield store(sequence, start, "prefill")
            at_end = yield from self._block(sequence, config, settings, start, stop)
            if at_end:
                break
            holds_end = sequence.has_end(stop - sequence.prompt_length)
            if not self.joins and not (self.drops_last and config.stop_after_block and holds_end):
                yield store(sequence, stop, "store")
            if config.stop_after_block and holds_end:
                break
        if self.drops_last and config.stop_after_block:
            end_all_behind_the_end(sequence)
        sequence.resize(sequence.canvas[:asked])

    def _block(
        self,
        sequence: Sequence,
        config: DecodeConfig,
        settings: BlockSettings,
        start: int,
        stop: int,
    ) -> BlockSteps:
        """Passes over one block until no mask is left in it."""
        if config.editing_threshold is not None:
            return (yield from edited_block(sequence, config, start, stop))
        masked_N = masked(sequence, start, stop)
        quotas = self._quotas(settings, len(masked_N))
        for step in range(settings.length):
            scores = yield over_block(sequence, start, stop, masked_N)
            quota = quotas[min(step, len(quotas) - 1)]
            if config.threshold is None:
                stays_N = most_confident(scores.confidence_N, quota)
            else:
                stays_N = self.above(scores.confidence_N, quota, config.threshold)
            sequence.place(masked_N[stays_N], scores.tokens_N[stays_N])
            if config.stop_at_eos and sequence.ended():
                return True
            masked_N = masked_N[~stays_N]
            if not len(masked_N):
                break
        return False

    def _quotas(self, settings: BlockSettings, count: int) -> list[int]:
        """The number of tokens that each pass over a block has to place."""
        shared = count if self.shares_masks else settings.length
        quotas: list[int] = even_schedule(torch.tensor([shared]), settings.steps)[0].tolist()
        return [max(1, quota) for quota in quotas]


def edited_block(sequence: Sequence, config: DecodeConfig, start: int, stop: int) -> BlockSteps:
    """Passes over a block that also replace tokens which stand, until it is settled (LLaDA2.1).

    A pass places every mask above the threshold, or the surest, and replaces every token of the
    answer that is not the likeliest where that one's probability lies above `editing_threshold`.
    The block is settled after a pass that began without masks and replaced nothing, or after
    `max_post_steps` that began without masks.
    """
    assert config.editing_threshold is not None, "a block without editing has other passes"
    first = max(0, start - sequence.prompt_length)
    open_N = torch.arange(first, stop - sequence.prompt_length)
    post_steps = 0
    while post_steps < config.max_post_steps:
        now_N = sequence.canvas[open_N]
        is_mask_N = now_N == sequence.spec.mask_id
        scores = yield over_block(sequence, start, stop, open_N)
        surer_N = scores.confidence_N > (1.0 if config.threshold is None else config.threshold)
        place_N = surer_N & is_mask_N
        if is_mask_N.any() and not place_N.any():
            place_N[int(scores.confidence_N.masked_fill(~is_mask_N, -1.0).argmax())] = True
        edit_N = ~is_mask_N & (scores.tokens_N != now_N)
        edit_N &= scores.confidence_N > config.editing_threshold
        change_N = place_N | edit_N
        sequence.place(open_N[change_N], scores.tokens_N[change_N])
        if not is_mask_N.any():
            post_steps += 1
            if not edit_N.any():
                break
    return False


# Steps and columns, for all rules.


def block_starts(sequence: Sequence, length: int, end: int) -> range:
    """The columns in which the blocks of the answer begin, up to the column `end`."""
    return range(sequence.prompt_length // length * length, end, length)


def complete(sequence: Sequence, length: int) -> int:
    """Makes the canvas end with a block, as far as the model has positions; returns that column."""
    end = min(-(-len(sequence) // length) * length, sequence.spec.max_length)
    more = sequence.masks(end - len(sequence))
    sequence.resize(torch.cat([sequence.canvas, more]))
    return end


def masked(sequence: Sequence, start: int, stop: int) -> torch.Tensor:
    """[N] positions of the canvas that are masked between two columns."""
    first = max(0, start - sequence.prompt_length)
    return sequence.masked(first, max(first, stop - sequence.prompt_length))


def over_block(sequence: Sequence, start: int, stop: int, positions_N: torch.Tensor) -> Step:
    """A pass over the block between two columns, and over what stands before it and is not kept."""
    first = min(sequence.kept, start)
    joins = first < start
    sequence.kept = start
    return Step(positions_N, columns=(first, stop), past=first, keeps=joins)


def store(sequence: Sequence, stop: int, kind: str, positions_N: torch.Tensor = NOTHING) -> Step:
    """A pass that keeps the keys and values of what stands before a column and is not kept yet."""
    first, sequence.kept = min(sequence.kept, stop), stop
    return Step(positions_N, columns=(first, stop), past=first, keeps=True, kind=kind)


def end_all_behind_the_end(sequence: Sequence) -> None:
    """Puts the first end of text everywhere behind it, as far as tokens stand."""
    tokens = sequence.canvas.tolist()
    at = next((at for at, token in enumerate(tokens) if token in sequence.spec.eos_ids), None)
    if at is not None:
        behind_N = (sequence.canvas != sequence.spec.mask_id).nonzero().squeeze(1)
        behind_N = behind_N[behind_N > at]
        sequence.place(behind_N, torch.full((len(behind_N),), tokens[at]))
