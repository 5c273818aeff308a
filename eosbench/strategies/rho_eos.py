"""`rho_eos`: rho-EOS, a canvas that grows and shrinks with the density of EOS among its masks.

Yang et al., rho-EOS: Training-free Bidirectional Variable-Length Control for Masked Diffusion LLMs,
arXiv 2601.22527, its method section and published code (github.com/yjyddq/rho-EOS). One loop, one
forward pass a turn:

1. of the current block (blocks go from the left), every masked token above `high_conf_threshold` is
   kept, at least the most confident one;
2. rho is the share of the masks, all over the canvas and before step 1, whose likeliest token is
   EOS. Below `low_density_threshold` room is lacking and the canvas grows, above
   `high_density_threshold` there is too much and it shrinks;
3. by K = `expansion_factor` times a multiplier that grows with each `DENSITY_STEP` between rho and
   the threshold that it passed: 1, 2, 4, 8 (`scheduler="exp"`), 1, 2, 3, ... 8 ("linear") or 1
   ("const"). New masks are put before the first EOS that is already fixed, else at the end; what is
   taken away is taken from the end. After `ADJUSTMENTS` passes lengths stay.

Three rules are ours, where the published code would lose text. It cuts K positions whatever stands
there (a canvas of 64 whose answer is one token has rho 0.97, K 64, and ends empty): here only a
tail of EOS tokens and of masks whose likeliest token is EOS is cut, and one of them stays. It does
not go back to masks that it inserted into finished blocks: here the current block starts there. It
adjusts no more once the limit was reached: here the canvas may still shrink. `stop_at_eos` waits
for the last of the adjustments, because until then masks may be put before an EOS that stands.
"""

from __future__ import annotations

import math
from collections import abc
from dataclasses import asdict, dataclass

import torch

from eosbench.backbone import Backbone
from eosbench.decoding import (
    DecodeConfig,
    Job,
    Sequence,
    Step,
    Steps,
    above_threshold,
)
from eosbench.errors import ConfigurationError
from eosbench.strategies.protocol import Prepared
from eosbench.strategies.rules import at_least, complete_blocks, ends, refuse, shares

SCHEDULERS = ("const", "linear", "exp")
DENSITY_STEP = 0.1
LARGEST_MULTIPLIER = 8
ADJUSTMENTS = 64

__all__ = ["SCHEDULERS", "RhoEos"]


@dataclass(frozen=True, kw_only=True)
class RhoEos:
    """rho-EOS with its published settings.

    Args:
        initial_gen_length: masks of the first canvas.
        max_gen_length: longest canvas, where the request does not allow less.
        expansion_factor: tokens by which the canvas grows or shrinks, times the scheduler's
            multiplier.
        high_conf_threshold: a token above it is kept.
        low_density_threshold: below it the canvas grows.
        high_density_threshold: above it the canvas shrinks.
        scheduler: how the multiplier grows: "const", "linear" or "exp".

    Raises:
        ConfigurationError: a length below 1, a threshold outside [0, 1], the low one above the high
            one, or an unknown scheduler.
    """

    initial_gen_length: int = 64
    max_gen_length: int = 2048
    expansion_factor: int = 8
    high_conf_threshold: float = 0.9
    low_density_threshold: float = 0.4
    high_density_threshold: float = 0.6
    scheduler: str = "exp"

    options = property(asdict)

    def __post_init__(self) -> None:
        at_least(self, 1, "initial_gen_length", "max_gen_length", "expansion_factor")
        shares(self, "high_conf_threshold", "low_density_threshold", "high_density_threshold")
        if self.low_density_threshold > self.high_density_threshold:
            raise ConfigurationError(
                f"low_density_threshold={self.low_density_threshold!r} lies above "
                f"high_density_threshold={self.high_density_threshold!r}"
            )
        if self.scheduler not in SCHEDULERS:
            raise ConfigurationError(
                f"scheduler={self.scheduler!r}: expected one of {', '.join(SCHEDULERS)}"
            )

    def check(self, settings: DecodeConfig) -> None:
        """Refuses a schedule, a cache and other settings that it has no place for."""
        refuse("rho_eos", settings)

    def prepare(self, backbone: Backbone, jobs: abc.Sequence[Job]) -> Prepared:
        """Every model has what it needs, and jobs stay as they are."""
        return self, jobs

    def change(self, density: float) -> int:
        """Tokens by which the canvas is to grow (above 0) or to shrink (below 0).

        >>> strategy = RhoEos()
        >>> [strategy.change(density) for density in (0.0, 0.25, 0.35, 0.5, 0.65, 1.0)]
        [64, 16, 8, 0, -8, -64]
        """
        gap = max(self.low_density_threshold - density, density - self.high_density_threshold)
        if gap <= 0:
            return 0
        # 0.1 is one step, whatever its last binary digit.
        step = max(1, math.ceil(gap / DENSITY_STEP - 1e-6))
        multiplier: int = {"const": 1, "linear": step, "exp": 2 ** (step - 1)}[self.scheduler]
        tokens = min(multiplier, LARGEST_MULTIPLIER) * self.expansion_factor
        return tokens if density < self.low_density_threshold else -tokens

    def decode(self, sequence: Sequence) -> Steps:
        """Denoises the canvas, and makes it longer or shorter after each of the first passes."""
        config, spec = sequence.config, sequence.spec
        self.check(config)
        sequence.require_room(config.gen_length)
        limit = min(self.max_gen_length, config.gen_length)
        block_length = config.block_length or limit
        sequence.resize(sequence.masks(min(self.initial_gen_length, limit)))
        start = passes = 0
        while True:
            start = complete_blocks(sequence.canvas, start, block_length, spec.mask_id)
            adjusts = passes < ADJUSTMENTS
            settled = config.stop_at_eos and not adjusts and sequence.ended()
            if start == len(sequence.canvas) or settled:
                return
            masked_N = sequence.masked(0, len(sequence.canvas))
            scores = yield Step(masked_N, whole_canvas=True, likeliest=True)
            passes += 1
            inside = int((masked_N < start + block_length).sum())
            stays_N = above_threshold(
                scores.confidence_N[:inside], self.high_conf_threshold, strictly=True
            )
            sequence.place(masked_N[:inside][stays_N], scores.tokens_N[:inside][stays_N])
            start = complete_blocks(sequence.canvas, start, block_length, spec.mask_id)
            if adjusts:
                ends_N = ends(scores.likeliest_N, spec)
                change = self.change(ends_N.double().mean().item())
                if change > 0:
                    start = min(start, _grow(sequence, min(change, limit - len(sequence.canvas))))
                elif change < 0:
                    _shrink(sequence, -change, masked_N[ends_N])


def _grow(sequence: Sequence, tokens: int) -> int:
    """Puts `tokens` masks before the first EOS of the canvas, or at its end; returns where."""
    canvas_C = sequence.canvas
    eos_N = ends(canvas_C, sequence.spec).nonzero().squeeze(1)
    at = int(eos_N[0]) if tokens and len(eos_N) else len(canvas_C)
    sequence.resize(torch.cat([canvas_C[:at], sequence.masks(tokens), canvas_C[at:]]))
    return at


def _shrink(sequence: Sequence, tokens: int, ending_N: torch.Tensor) -> None:
    """Takes away up to `tokens` of the last positions that all say EOS, but one of them.

    An EOS that stands says so, and a mask that is among `ending_N`.
    """
    spec, canvas = sequence.spec, sequence.canvas.tolist()
    ending = set(ending_N.tolist())
    tail = 0
    for at in reversed(range(len(canvas))):
        says_eos = canvas[at] in spec.eos_ids or (canvas[at] == spec.mask_id and at in ending)
        if not says_eos:
            break
        tail += 1
    left = len(canvas) - min(tokens, max(0, tail - 1))
    sequence.resize(sequence.canvas[:left])
