"""`daedal`: DAEDAL, a canvas that grows by the model's confidence in EOS.

Li et al., Beyond Fixed: Training-Free Variable-Length Denoising for Diffusion Large Language
Models, arXiv 2508.00819, section 3 and algorithm 1. Names and values of the options are the
published ones.

1. Initial length adjustment. On a canvas of masks, the EOS confidence is the mean probability of
   the last `eos_check_tokens` positions whose likeliest token is EOS (positions that are lacking
   count as 0). Below `eos_confidence_threshold` the canvas grows by `expansion_factor` masks and is
   looked at again. Then half of `eos_check_tokens` EOS tokens are put behind it.
2. Iterative denoising and mask insertion. Block by block from the left, every pass keeps the masked
   tokens of the block with a confidence above `high_conf_threshold`, at least the most confident
   one. If the least confident of those that are left lies below `low_conf_threshold`, and the EOS
   confidence of the whole canvas below `expand_eos_confidence_threshold`, that one mask becomes
   `expansion_factor` masks. A canvas that has reached its limit is only denoised.

The longest canvas is the smaller of `max_gen_length` and the tokens that the request allows. The
published code looks once more at an initial canvas that has reached it, which decides nothing and
is left out here. Ours: every id that ends a text counts as EOS; guidance, where it is asked for,
holds in both parts; the mask token is never chosen; with `stop_at_eos` a canvas is left as soon as
no mask stands before its first EOS, since masks are only ever inserted where a mask stands.
"""

from __future__ import annotations

from collections import abc
from dataclasses import asdict, dataclass

import torch

from eosbench.backbone import Backbone
from eosbench.decoding import (
    DecodeConfig,
    Job,
    Scores,
    Sequence,
    Step,
    Steps,
    above_threshold,
)
from eosbench.strategies.protocol import Prepared
from eosbench.strategies.rules import at_least, complete_blocks, ending_id, ends, refuse, shares

__all__ = ["Daedal"]


@dataclass(frozen=True, kw_only=True)
class Daedal:
    """DAEDAL with its published settings.

    Args:
        initial_gen_length: masks of the first canvas.
        max_gen_length: longest canvas, where the request does not allow less.
        expansion_factor: masks that an expansion adds, or that one mask becomes.
        high_conf_threshold: a token above it is kept.
        low_conf_threshold: a mask below it asks for more room.
        eos_confidence_threshold: from here on the initial canvas is long enough.
        expand_eos_confidence_threshold: from here on no mask is inserted.
        eos_check_tokens: positions that the EOS confidence is a mean of.

    Raises:
        ConfigurationError: a length below 1, an expansion_factor below 2, or a threshold outside
            [0, 1].
    """

    initial_gen_length: int = 64
    max_gen_length: int = 2048
    expansion_factor: int = 8
    high_conf_threshold: float = 0.9
    low_conf_threshold: float = 0.1
    eos_confidence_threshold: float = 0.5
    expand_eos_confidence_threshold: float = 0.9
    eos_check_tokens: int = 32

    options = property(asdict)

    def __post_init__(self) -> None:
        at_least(self, 1, "initial_gen_length", "max_gen_length", "eos_check_tokens")
        at_least(self, 2, "expansion_factor")
        shares(self, "high_conf_threshold", "low_conf_threshold", "eos_confidence_threshold")
        shares(self, "expand_eos_confidence_threshold")

    def check(self, settings: DecodeConfig) -> None:
        """Refuses a schedule, a cache and other settings that it has no place for."""
        refuse("daedal", settings)

    def prepare(self, backbone: Backbone, jobs: abc.Sequence[Job]) -> Prepared:
        """Every model has what it needs, and jobs stay as they are."""
        return self, jobs

    def decode(self, sequence: Sequence) -> Steps:
        """Finds the initial canvas, then denoises it and inserts masks."""
        self.check(sequence.config)
        sequence.require_room(sequence.config.gen_length)
        limit = min(self.max_gen_length, sequence.config.gen_length)
        yield from self._initial_canvas(sequence, limit)
        yield from self._denoised(sequence, limit)

    def _initial_canvas(self, sequence: Sequence, limit: int) -> Steps:
        """Part 1: grows a canvas of masks until its end says EOS."""
        nowhere = torch.empty(0, dtype=torch.long)
        length = min(self.initial_gen_length, limit)
        while length < limit:
            sequence.resize(sequence.masks(length))
            scores = yield Step(nowhere, whole_canvas=True)
            if self._eos_confidence(sequence, scores) >= self.eos_confidence_threshold:
                break
            length = min(length + self.expansion_factor, limit)
        ending = torch.full(
            (min(self.eos_check_tokens // 2, limit - length),), ending_id(sequence.spec)
        )
        sequence.resize(torch.cat([sequence.masks(length), ending]))

    def _denoised(self, sequence: Sequence, limit: int) -> Steps:
        """Part 2: keeps the tokens it is sure of, and makes room where it is unsure."""
        config, mask_id = sequence.config, sequence.spec.mask_id
        start, block_length = 0, config.block_length or limit
        while True:
            start = complete_blocks(sequence.canvas, start, block_length, mask_id)
            if start == len(sequence.canvas) or (config.stop_at_eos and sequence.ended()):
                return
            open_N = sequence.masked(start, start + block_length)
            scores = yield Step(open_N, whole_canvas=True)
            stays_N = above_threshold(scores.confidence_N, self.high_conf_threshold, strictly=True)
            sequence.place(open_N[stays_N], scores.tokens_N[stays_N])
            unsure_N = ~stays_N & (scores.confidence_N < self.low_conf_threshold)
            if (
                len(sequence.canvas) < limit
                and unsure_N.any()
                and self._eos_confidence(sequence, scores) < self.expand_eos_confidence_threshold
            ):
                least = scores.confidence_N.masked_fill(~unsure_N, torch.inf).argmin()
                at = int(open_N[least])
                more = sequence.masks(self.expansion_factor)
                canvas_C = sequence.canvas
                sequence.resize(torch.cat([canvas_C[:at], more, canvas_C[at + 1 :]])[:limit])

    def _eos_confidence(self, sequence: Sequence, scores: Scores) -> float:
        """The mean probability of `eos_check_tokens` positions whose likeliest token is EOS.

        The canvas is searched from its end, no further than it takes to find them.
        """
        found: list[float] = []
        for stop in range(len(sequence.canvas), 0, -self.eos_check_tokens):
            positions_N = torch.arange(max(0, stop - self.eos_check_tokens), stop)
            tokens_N, probability_N = scores.likeliest(positions_N)
            found += probability_N[ends(tokens_N, sequence.spec)].flip(0).tolist()
            if len(found) >= self.eos_check_tokens:
                break
        return sum(found[: self.eos_check_tokens]) / self.eos_check_tokens
