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
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from eosbench.backbone import Backbone, BackboneSpec
from eosbench.decoding import Answer, DecodeConfig, Job
from eosbench.errors import ConfigurationError
from eosbench.predictors import check_share
from eosbench.strategies.passes import Look, Steps, run
from eosbench.strategies.rules import at_least, complete_blocks, confident, refuse, settled

SCHEDULERS = ("const", "linear", "exp")
DENSITY_STEP = 0.1
LARGEST_MULTIPLIER = 8
ADJUSTMENTS = 64

__all__ = ["SCHEDULERS", "RhoEos"]


class RhoEos:
    """rho-EOS with its published settings.

    Args: initial_gen_length: masks of the first canvas. max_gen_length: longest canvas, where the
        request does not allow less. expansion_factor: tokens by which the canvas grows or shrinks,
        times the scheduler's multiplier. high_conf_threshold: a token above it is kept.
        low_density_threshold, high_density_threshold: between them the length is right. scheduler:
        how the multiplier grows: "const", "linear" or "exp".

    Raises: ConfigurationError: a length below 1, a threshold outside [0, 1], low above high, an
        unknown scheduler.
    """

    def __init__(
        self,
        *,
        initial_gen_length: int = 64,
        max_gen_length: int = 2048,
        expansion_factor: int = 8,
        high_conf_threshold: float = 0.9,
        low_density_threshold: float = 0.4,
        high_density_threshold: float = 0.6,
        scheduler: str = "exp",
    ) -> None:
        self.initial = at_least("initial_gen_length", initial_gen_length, 1)
        self.limit = at_least("max_gen_length", max_gen_length, 1)
        self.expansion = at_least("expansion_factor", expansion_factor, 1)
        self.high = check_share("high_conf_threshold", high_conf_threshold)
        self.sparse = check_share("low_density_threshold", low_density_threshold)
        self.dense = check_share("high_density_threshold", high_density_threshold)
        if self.sparse > self.dense:
            raise ConfigurationError(
                f"low_density_threshold={low_density_threshold!r} lies above high_density_threshold={high_density_threshold!r}"
            )
        if scheduler not in SCHEDULERS:
            raise ConfigurationError(
                f"scheduler={scheduler!r}: expected one of {', '.join(SCHEDULERS)}"
            )
        self.scheduler = scheduler
        self.options: dict[str, Any] = {
            "initial_gen_length": initial_gen_length,
            "max_gen_length": max_gen_length,
            "expansion_factor": expansion_factor,
            "high_conf_threshold": high_conf_threshold,
            "low_density_threshold": low_density_threshold,
            "high_density_threshold": high_density_threshold,
            "scheduler": scheduler,
        }

    def check(self, settings: DecodeConfig) -> None:
        refuse("rho_eos", settings)

    def generate(
        self, backbone: Backbone, jobs: Sequence[Job], *, batch_size: int = 16
    ) -> Iterator[tuple[int, Answer]]:
        yield from run(backbone, jobs, partial(self._steps, backbone.spec), batch_size=batch_size)

    def change(self, density: float) -> int:
        """Tokens by which the canvas is to grow (above 0) or to shrink (below 0).

        >>> strategy = RhoEos()
        >>> [strategy.change(density) for density in (0.0, 0.25, 0.35, 0.5, 0.65, 1.0)]
        [64, 16, 8, 0, -8, -64]
        """
        gap = max(self.sparse - density, density - self.dense)
        if gap <= 0:
            return 0
        # 0.1 is one step, whatever its last binary digit.
        step = max(1, math.ceil(gap / DENSITY_STEP - 1e-6))
        multiplier: int = {"const": 1, "linear": step, "exp": 2 ** (step - 1)}[self.scheduler]
        tokens = min(multiplier, LARGEST_MULTIPLIER) * self.expansion
        return tokens if density < self.sparse else -tokens

    def _steps(self, spec: BackboneSpec, job: Job) -> Steps:
        self.check(job.settings)
        limit = min(self.limit, job.settings.gen_length)
        block_length = job.settings.block_length or limit
        canvas_C = torch.full((min(self.initial, limit),), spec.mask_id)
        start = passes = 0
        while (start := complete_blocks(canvas_C, start, block_length, spec.mask_id)) < len(
            canvas_C
        ):
            if job.settings.stop_at_eos and passes >= ADJUSTMENTS and settled(canvas_C, spec):
                break
            masked_N = (canvas_C == spec.mask_id).nonzero().squeeze(1)
            scores = (yield Look(canvas_C, masked_N)).first
            inside = int((masked_N < start + block_length).sum())
            stays_N = confident(scores.confidence_N[:inside], self.high)
            filled_C = canvas_C.index_copy(
                0, masked_N[:inside][stays_N], scores.tokens_N[:inside][stays_N]
            )
            start = complete_blocks(filled_C, start, block_length, spec.mask_id)
            passes += 1
            change = (
                self.change(scores.ends_N.double().mean().item()) if passes <= ADJUSTMENTS else 0
            )
            if change > 0:
                canvas_C, inserted = _grown(filled_C, min(change, limit - len(filled_C)), spec)
                start = min(start, inserted)
            else:
                canvas_C = _shrunk(filled_C, -change, masked_N[scores.ends_N], spec)
        return canvas_C


def _grown(canvas_C: torch.Tensor, tokens: int, spec: BackboneSpec) -> tuple[torch.Tensor, int]:
    """The canvas with so many masks before its first EOS, or at its end, and where they begin."""
    at = next(
        (at for at, token in enumerate(canvas_C.tolist()) if token in spec.eos_ids), len(canvas_C)
    )
    return torch.cat(
        [canvas_C[:at], torch.full((tokens,), spec.mask_id), canvas_C[at:]]
    ), at if tokens else len(canvas_C)


def _shrunk(
    canvas_C: torch.Tensor, tokens: int, ending_N: torch.Tensor, spec: BackboneSpec
) -> torch.Tensor:
    """The canvas without at most so many of the last positions, all of which say EOS (fixed, or
    among `ending_N`), but one.
    """
    ending = set(ending_N.tolist())
    tail = 0
    for at in reversed(range(len(canvas_C))):
        if int(canvas_C[at]) not in spec.eos_ids and not (
            int(canvas_C[at]) == spec.mask_id and at in ending
        ):
            break
        tail += 1
    return canvas_C[: len(canvas_C) - min(tokens, max(0, tail - 1))]
