"""`daedal`: DAEDAL, a canvas that grows before and while it is denoised, guided by the model's
confidence in EOS.

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

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from eosbench.backbone import Backbone, BackboneSpec
from eosbench.decoding import Answer, DecodeConfig, Job
from eosbench.predictors import check_share
from eosbench.strategies.passes import Look, Seen, Steps, run
from eosbench.strategies.rules import (
    at_least,
    complete_blocks,
    confident,
    ending_id,
    refuse,
    settled,
)

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

    Raises: ConfigurationError: a length below 1, an expansion_factor below 2, a threshold outside
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
        refuse("daedal", settings)

    def generate(
        self, backbone: Backbone, jobs: Sequence[Job], *, batch_size: int = 16
    ) -> Iterator[tuple[int, Answer]]:
        yield from run(backbone, jobs, partial(self._steps, backbone.spec), batch_size=batch_size)

    def _steps(self, spec: BackboneSpec, job: Job) -> Steps:
        self.check(job.settings)
        limit = min(self.limit, job.settings.gen_length)
        canvas_C = yield from self._initial_canvas(spec, limit)
        return (yield from self._denoised(spec, canvas_C, limit, job.settings))

    def _initial_canvas(self, spec: BackboneSpec, limit: int) -> Steps:
        length = min(self.initial, limit)
        while length < limit:
            seen = yield Look(torch.full((length,), spec.mask_id))
            if self._eos_confidence(seen, length) >= self.enough:
                break
            length = min(length + self.expansion, limit)
        ending = min(self.check_tokens // 2, limit - length)
        return torch.cat(
            [torch.full((length,), spec.mask_id), torch.full((ending,), ending_id(spec))]
        )

    def _denoised(
        self, spec: BackboneSpec, canvas_C: torch.Tensor, limit: int, settings: DecodeConfig
    ) -> Steps:
        start, block_length = 0, settings.block_length or limit
        while (start := complete_blocks(canvas_C, start, block_length, spec.mask_id)) < len(
            canvas_C
        ):
            if settings.stop_at_eos and settled(canvas_C, spec):
                break
            open_N = start + (
                canvas_C[start : start + block_length] == spec.mask_id
            ).nonzero().squeeze(1)
            seen = yield Look(canvas_C, open_N)
            confidence_N = seen.first.confidence_N
            stays_N = confident(confidence_N, self.high)
            canvas_C = canvas_C.index_copy(0, open_N[stays_N], seen.first.tokens_N[stays_N])
            unsure_N = ~stays_N & (confidence_N < self.low)
            if (
                len(canvas_C) < limit
                and unsure_N.any()
                and self._eos_confidence(seen, len(canvas_C)) < self.certain
            ):
                at = int(open_N[confidence_N.masked_fill(~unsure_N, torch.inf).argmin()])
                more = torch.full((self.expansion,), spec.mask_id)
                canvas_C = torch.cat([canvas_C[:at], more, canvas_C[at + 1 :]])[:limit]
        return canvas_C

    def _eos_confidence(self, seen: Seen, length: int) -> float:
        """Mean over `eos_check_tokens` positions; the canvas is searched from its end, no further
        than it takes to find them.
        """
        found: list[float] = []
        for stop in range(length, 0, -self.check_tokens):
            scores = seen.score(torch.arange(max(0, stop - self.check_tokens), stop))
            found += scores.end_confidence_N[scores.ends_N].flip(0).tolist()
            if len(found) >= self.check_tokens:
                break
        return sum(found[: self.check_tokens]) / self.check_tokens
