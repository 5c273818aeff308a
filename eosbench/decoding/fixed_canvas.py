"""The plain policy: a canvas of fixed length, denoised block after block from the left.

Legend: N masked positions of the open block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from eosbench.decoding.block_policies import RULES
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.dream_rules import drawn_schedule
from eosbench.decoding.policy import Step, Steps
from eosbench.decoding.sampler import SCHEDULES, above_threshold, most_confident
from eosbench.digest import torch_seed_from

if TYPE_CHECKING:
    from eosbench.decoding.sequence import Sequence


class FixedCanvas:
    """Denoises the canvas as its DecodeConfig says, and leaves its length alone."""

    def decode(self, sequence: Sequence) -> Steps:
        """Fills the canvas, blocks and steps being those of the sequence's config."""
        return fill(sequence, sequence.config)


def fill(sequence: Sequence, config: DecodeConfig) -> Steps:
    """Denoises the canvas as it stands.

    With `stop_at_eos` it ends as soon as no masked position stands before the first EOS, and enters
    no block behind a stop string (docs/engine.md says why neither changes the text).

    Args:
        sequence: whose canvas it is.
        config: the blocks and steps of a canvas of this length.
    """
    if sequence.spec.attention == "block":
        yield from RULES[sequence.spec.block_rule].fill(sequence, config)
        return
    for start, end, steps in config.blocks():
        masked_N = sequence.masked(start, end)
        if not len(masked_N):
            continue
        if config.stop_at_eos and (sequence.ended() or sequence.stopped()):
            return
        steps = -(-steps * len(masked_N) // (end - start))
        quotas = _quotas(sequence, config, start, len(masked_N), steps)
        passes = 0
        while len(masked_N) or _looks_once_more(config, passes):
            scores = yield Step(masked_N, block=(start, end))
            if config.threshold is None:
                stays_N = most_confident(scores.confidence_N, quotas[min(passes, len(quotas) - 1)])
            else:
                stays_N = above_threshold(scores.confidence_N, config.threshold)
            sequence.place(masked_N[stays_N], scores.tokens_N[stays_N])
            if config.stop_at_eos and sequence.ended():
                return
            masked_N = masked_N[~stays_N]
            passes += 1


def _quotas(
    sequence: Sequence, config: DecodeConfig, start: int, masked: int, steps: int
) -> list[int]:
    """The number of tokens that stay after each of the passes over a block, by the schedule."""
    if config.remasking == "origin":
        name = f"{sequence.seed}/origin/{start}/{sequence.drawn}"
        return drawn_schedule(masked, steps, torch.Generator().manual_seed(torch_seed_from(name)))
    schedule: list[int] = SCHEDULES[config.schedule](torch.tensor([masked]), steps)[0].tolist()
    return schedule


def _looks_once_more(config: DecodeConfig, passes: int) -> bool:
    """Whether a block is run once more although nothing in it is masked.

    The published dual-cache loop with a threshold looks for what is left only after its second pass
    over a block: that pass is run and counted here too.
    """
    return config.cache == "dual" and config.threshold is not None and passes == 1
