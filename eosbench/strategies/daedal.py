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
from typing import Any

import torch

from eosbench.backbone import Backbone
from eosbench.decoding import (
    Answer,
    DecodeConfig,
    Job,
    Scores,
    Sequence,
    Step,
    Steps,
    above_threshold,
    generate,
)
from eosbench.predictors import check_share
from eosbench.strategies.rules import at_least, complete_blocks, ending_id, ends, refuse

__all__ = ["Daedal"]


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

    def __init__(
        self,
        *,
        initial_gen_length: int = 64,
        max_gen_length: int = 2048,
        expansion_factor: int = 8,
        high_conf_threshold: float = 0.9,
        low_conf_threshold: float = 0.1,
        eos_confidence_threshold: float = 0.5,
        expand_eos_confidence_threshold: float = 0.9,
        eos_check_tokens: int = 32,
    ) -> None:
        self.initial = at_least("initial_gen_length", initial_gen_length, 1)
        self.limit = at_least("max_gen_length", max_gen_length, 1)
        self.expansion = at_least("expansion_factor", expansion_factor, 2)
        self.check_tokens = at_least("eos_check_tokens", eos_check_tokens, 1)
        self.high = check_share("high_conf_threshold", high_conf_threshold)
        self.low = check_share("low_conf_threshold", low_conf_threshold)
        self.enough = check_share("eos_confidence_threshold", eos_confidence_threshold)
        self.certain = check_share(
            "expand_eos_confidence_threshold", expand_eos_confidence_threshold
        )
        self.options: dict[str, Any] = {
            "initial_gen_length": initial_gen_length,
            "max_gen_length": max_gen_length,
            "expansion_factor": expansion_factor,
            "high_conf_threshold": high_conf_threshold,
            "low_conf_threshold": low_conf_threshold,
            "eos_confidence_threshold": eos_confidence_threshold,
            "expand_eos_confidence_threshold": expand_eos_confidence_threshold,
            "eos_check_tokens": eos_check_tokens,
        }

    def check(self, settings: DecodeConfig) -> None:
        """Refuses a schedule, a cache and other settings that it has no place for."""
        refuse("daedal", settings)

    def check_model(self, backbone: Backbone) -> None:
        """Every model has what it needs."""

    def generate(
        self, backbone: Backbone, jobs: abc.Sequence[Job], *, batch_size: int = 16
    ) -> abc.Iterator[tuple[int, Answer]]:
        """Yields the index of each job and its answer, as they finish."""
        return generate(backbone, jobs, batch_size=batch_size, policy=self)

    def decode(self, sequence: Sequence) -> Steps:
        """Finds the initial canvas, then denoises it and inserts masks."""
        self.check(sequence.config)
        sequence.require_room(sequence.config.gen_length)
        limit = min(self.limit, sequence.config.gen_length)
        yield from self._initial_canvas(sequence, limit)
        yield from self._denoised(sequence, limit)

    def _initial_canvas(self, sequence: Sequence, limit: int) -> Steps:
        """Part 1: grows a canvas of masks until its end says EOS."""
        nowhere = torch.empty(0, dtype=torch.long)
        length = min(self.initial, limit)
        while length < limit:
            sequence.resize(sequence.masks(length))
            scores = yield Step(nowhere, whole_canvas=True)
            if self._eos_confidence(sequence, scores) >= self.enough:
                break
            length = min(length + self.expansion, limit)
        ending = torch.full(
            (min(self.check_tokens // 2, limit - length),), ending_id(sequence.spec)
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
            stays_N = above_threshold(scores.confidence_N, self.high, strictly=True)
            sequence.place(open_N[stays_N], scores.tokens_N[stays_N])
            unsure_N = ~stays_N & (scores.confidence_N < self.low)
            if (
                len(sequence.canvas) < limit
                and unsure_N.any()
                and self._eos_confidence(sequence, scores) < self.certain
            ):
                least = scores.confidence_N.masked_fill(~unsure_N, torch.inf).argmin()
                at = int(open_N[least])
                more = sequence.masks(self.expansion)
                canvas_C = sequence.canvas
                sequence.resize(torch.cat([canvas_C[:at], more, canvas_C[at + 1 :]])[:limit])

    def _eos_confidence(self, sequence: Sequence, scores: Scores) -> float:
        """The mean probability of `eos_check_tokens` positions whose likeliest token is EOS.

        The canvas is searched from its end, no further than it takes to find them.
        """
        found: list[float] = []
        for stop in range(len(sequence.canvas), 0, -self.check_tokens):
            positions_N = torch.arange(max(0, stop - self.check_tokens), stop)
            tokens_N, probability_N = scores.likeliest(positions_N)
            found += probability_N[ends(tokens_N, sequence.spec)].flip(0).tolist()
            if len(found) >= self.check_tokens:
                break
        return sum(found[: self.check_tokens]) / self.check_tokens
