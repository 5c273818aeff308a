"""`cal`: CAL, a canvas of the length at which the model is surest of its masks.

Calibrated Adaptive Length, arXiv 2602.00476, and its published code for LLaDA
(github.com/NiuHechang/Calibrated_Adaptive_Length, commit 741e841). Made to fill a gap between a
prefix and a suffix whose length is not known; without a suffix it completes the prefix.

1. The score of a length l takes one pass over the prompt, l masks and the suffix: the mean over the
   masks of the largest probability (the mask and the EOS count), divided by B(l), what the mean is
   at that length whatever the text: B(l) = a exp(-b l) + c exp(-d l) + e.
2. From `initial_gen_length` on, lengths are tried upwards in steps of `span`, then downwards, each
   way until `dstep` of them in a row have not beaten the best so far, which is kept from upwards.
   Ties keep the earlier one. A `dstep` below 0 tries nothing.
3. A canvas of that length is denoised from masks, as the decode settings say.

The defaults are those of the published function, and of the paper's fit of B on LLaDA-8B-Base; the
script for text has `max_gen_length=16`, `dstep=2` and `use_bias=False`. On another model the five
constants mean little: `eosbench fit --method cal` fits them. `gen_length` of the script is
`initial_gen_length` here, as for DAEDAL. Its `block_length` is that of the decode settings, where
the whole canvas, 0, is the published one.

Ours: steps keep their rate where the published scripts pass the number of the first length (the
found span then keeps masks, or passes that place nothing), and the last block may be shorter (the
published code fails where a block does not fit the length). The mask token is never placed. With
`stop_at_eos` a canvas is left when no mask stands before its first EOS, where an answer ends.
Every sequence has a length of its own in any batch.

Legend: n masks in one piece, V vocabulary.
"""

from __future__ import annotations

from collections import abc
from collections.abc import Generator
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
    fill_window,
)
from eosbench.errors import ConfigurationError
from eosbench.strategies.length_bias import LengthBias, mean_confidence
from eosbench.strategies.protocol import Prepared
from eosbench.strategies.rules import at_least

__all__ = ["Cal"]


@dataclass(frozen=True, kw_only=True)
class Cal:
    """CAL with the settings of its published function.

    Args:
        initial_gen_length: the length that is tried first.
        max_gen_length: the longest that is tried, where the request does not allow less. A first
            length above it is allowed: shorter ones are tried then.
        span: from one length to the next.
        dstep: lengths in a row without a better score that end a direction; below 0 the first
            length is taken as it is.
        use_bias: whether scores are divided by B(l).
        bias_a, bias_b, bias_c, bias_d, bias_e: the constants of B(l).

    Raises:
        ConfigurationError: a length or a span below 1, a constant below 0, or a B(l) that is 0 at
            the longest length.
    """

    initial_gen_length: int = 8
    max_gen_length: int = 64
    span: int = 1
    dstep: int = 4
    use_bias: bool = True
    bias_a: float = 1.0
    bias_b: float = 1.77
    bias_c: float = 0.56
    bias_d: float = 0.06
    bias_e: float = 0.24

    options = property(asdict)

    def __post_init__(self) -> None:
        at_least(self, 1, "initial_gen_length", "max_gen_length", "span")
        longest = max(self.initial_gen_length, self.max_gen_length)
        if self.bias is not None and self.bias.at(longest) <= 0:
            raise ConfigurationError(
                f"bias_a={self.bias_a} to bias_e={self.bias_e} make B({longest}) 0, by which a "
                "score is divided: give a larger bias_e, or use_bias=False"
            )

    @property
    def bias(self) -> LengthBias | None:
        """B, where scores are divided by it."""
        if not self.use_bias:
            return None
        return LengthBias(self.bias_a, self.bias_b, self.bias_c, self.bias_d, self.bias_e)

    def check(self, settings: DecodeConfig) -> None:
        """Every decode setting has its place here."""

    def prepare(self, backbone: Backbone, jobs: abc.Sequence[Job]) -> Prepared:
        """Every model has what it needs, and jobs stay as they are."""
        return self, jobs

    def decode(self, sequence: Sequence) -> Steps:
        """Finds the length of the canvas, then denoises it."""
        limit = sequence.config.gen_length
        length = yield from self._found_length(sequence, min(self.initial_gen_length, limit), limit)
        sequence.resize(sequence.masks(length))
        yield from fill_window(sequence)

    def _found_length(
        self, sequence: Sequence, first: int, limit: int
    ) -> Generator[Step, Scores, int]:
        """The length with the best score, from `first` upwards and then downwards."""
        if self.dstep < 0:
            return first
        found, best = first, (yield from self._score(sequence, first))
        upwards = range(first + self.span, min(self.max_gen_length, limit) + 1, self.span)
        downwards = range(first - self.span, 0, -self.span)
        for lengths in (upwards, downwards):
            without_success = 0
            for length in lengths:
                score = yield from self._score(sequence, length)
                if score > best:
                    found, best, without_success = length, score, 0
                else:
                    without_success += 1
                if without_success >= max(1, self.dstep):
                    break
        return found

    def _score(self, sequence: Sequence, length: int) -> Generator[Step, Scores, float]:
        """The score of a length, from one pass."""
        sequence.resize(sequence.masks(length))
        nowhere = torch.empty(0, dtype=torch.long)
        scores = yield Step(nowhere, whole_canvas=True)
        confidence = mean_confidence(scores, length)
        return confidence if self.bias is None else confidence / self.bias.at(length)
