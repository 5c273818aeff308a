"""Fast-dLLM v2: blocks of sub-blocks, by a model whose raw row i scores token i + 1.

A sub-block after the other is filled by passes over the whole block, in which token j is scored by
row j - 1 of the block: its first token always stands. It is what the pass that stored the block
before it says. Two loops are published, and both are here: the checkpoint's own ends as soon as a
text is settled (`stop_at_eos`); that of v2/generation_functions.py ends after a block in which it
placed an end of text (`stop_after_block`).

With `cache="dual"` (published: use_block_cache) the keys and values of the block are kept from a
pass over all of it, and only the sub-block is run, whose own replace the kept ones. Such a pass is
run when nothing of the block is kept, or when the first token of the sub-block is a mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from eosbench.decoding.block_rules import (
    NOTHING,
    BlockSteps,
    block_starts,
    complete,
    masked,
    over_block,
    store,
)
from eosbench.decoding.block_settings import BlockSettings
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.policy import Step, Steps
from eosbench.decoding.sampler import most_confident

if TYPE_CHECKING:
    from eosbench.decoding.sequence import Sequence


class SubBlocks:
    """Fast-dLLM v2's way to decode blocks."""

    def fill(self, sequence: Sequence, config: DecodeConfig) -> Steps:
        """Decodes the masked blocks of a canvas, from the left.

        Args:
            sequence: whose canvas it is.
            config: how.
        """
        settings = BlockSettings.of(sequence.spec, config)
        asked = len(sequence.canvas)
        end = complete(sequence, settings.length)
        for start in block_starts(sequence, settings.length, end):
            if sequence.kept < start:
                kind = "store" if sequence.kept else "prefill"
                yield from _stored(sequence, start, kind)
            if not len(sequence.masked(0, asked)):
                break
            if config.stop_at_eos and (sequence.ended() or sequence.stopped()):
                break
            stop = min(start + settings.length, end)
            before = sequence.canvas.clone()
            if (yield from self._block(sequence, config, settings, start, stop)):
                break
            placed = set(sequence.canvas[sequence.canvas != before].tolist())
            if config.stop_after_block and _ends(sequence, placed, stop):
                break
        sequence.resize(sequence.canvas[:asked])

    def _block(
        self,
        sequence: Sequence,
        config: DecodeConfig,
        settings: BlockSettings,
        start: int,
        stop: int,
    ) -> BlockSteps:
        """Passes over one block until no mask is left in it, or the text is settled."""
        block_is_kept = False
        for first in range(start, stop, settings.sub_length):
            last = min(first + settings.sub_length, stop)
            while len(masked_N := masked(sequence, first, last)):
                step = over_block(sequence, start, stop, masked_N)
                if config.cache is not None:
                    first_is_masked = int(masked_N[0]) == first - sequence.prompt_length
                    whole = not block_is_kept or first_is_masked
                    columns, past = ((start, stop), start) if whole else ((first, last), stop)
                    step = Step(masked_N, columns=columns, past=past, keeps=True)
                    block_is_kept = True
                scores = yield step
                stays_N = most_confident(scores.confidence_N, 1)
                if config.threshold is not None:
                    stays_N |= scores.confidence_N > config.threshold
                sequence.place(masked_N[stays_N], scores.tokens_N[stays_N])
                if config.stop_at_eos and sequence.ended():
                    return True
        return False


def _stored(sequence: Sequence, stop: int, kind: str) -> Steps:
    """The pass that keeps everything before a column; its last row says the next token."""
    position = stop - sequence.prompt_length
    says_next = 0 <= position < len(sequence.canvas)
    says_next = says_next and len(sequence.masked(position, position + 1)) > 0
    position_1 = torch.tensor([position]) if says_next else NOTHING
    scores = yield store(sequence, stop, kind, position_1)
    if says_next:
        sequence.place(position_1, scores.tokens_N)


def _ends(sequence: Sequence, placed: set[int], stop: int) -> bool:
    """Whether an end of text was placed in the block, or a stop string stands before its end."""
    if placed & sequence.spec.eos_ids:
        return True
    return sequence.has_end(stop - sequence.prompt_length, counts_eos=False)
