"""B(l), what the confidence in l masks is whatever the text, and its fit (CAL, arXiv 2602.00476).

A model is surer of few masks than of many. CAL divides this out of the confidence by which it
compares lengths. The constants were published for LLaDA-8B-Base; those of another model are fitted
on gaps in texts of its kind (`eosbench fit --method cal`):

    gaps = [Gap.drawn(prompt_ids, answer_ids, seed=0), ...]    # some hundreds
    fit = fit_length_bias(backbone, gaps)
    model = eosbench.load(..., method="cal", **fit.options)

Legend: n masks in one piece, V vocabulary, L lengths.
"""

from __future__ import annotations

import math
import random
from collections import abc
from dataclasses import dataclass

import numpy as np
import torch

from eosbench.backbone import Backbone
from eosbench.decoding import DecodeConfig, Job, Scores, Sequence, Step, Steps, generate
from eosbench.errors import ConfigurationError

LENGTHS = (1, 2, 4, 6, 12, 16, 24, 32, 48, 64, 96, 128)
NEAR = 4  # lengths this close to a gap's own say what fits it, and are left out

# The published start and bounds of the least squares, a to e.
_START = (1.0, 1.8, 0.6, 0.05, 0.3)
_MOST = (1.0, 2.0, 1.0, 0.5, 0.5)

__all__ = ["LENGTHS", "BiasFit", "Gap", "LengthBias", "fit_length_bias", "mean_confidence"]


@dataclass(frozen=True)
class LengthBias:
    """B(l) = a exp(-b l) + c exp(-d l) + e.

    Raises:
        ConfigurationError: a constant below 0.

    Example:
        >>> bias = LengthBias(1.0, 1.77, 0.56, 0.06, 0.24)
        >>> round(bias.at(1), 4), round(bias.at(64), 4)
        (0.9377, 0.252)
    """

    a: float
    b: float
    c: float
    d: float
    e: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ConfigurationError(f"bias_{name}={value!r}: expected 0 or more")

    def at(self, length: int) -> float:
        """B of a length."""
        return self.a * math.exp(-self.b * length) + self.c * math.exp(-self.d * length) + self.e


@dataclass(frozen=True)
class Gap:
    """A text with a gap in it.

    Attributes:
        prefix, suffix: the token ids before and behind it; the suffix may be empty.
        length: tokens that were taken out.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    length: int

    @classmethod
    def drawn(cls, prompt: abc.Sequence[int], answer: abc.Sequence[int], *, seed: int) -> Gap:
        """A gap of one token up to the whole answer, anywhere in it.

        Args:
            prompt: token ids that are all kept.
            answer: token ids, at least one.
            seed: of the draw, beside the ids.

        Raises:
            ConfigurationError: an empty answer.

        Example:
            >>> gap = Gap.drawn([7, 8], [1, 2, 3, 4], seed=0)
            >>> gap.prefix, gap.suffix, gap.length
            ((7, 8), (), 4)
        """
        if not len(answer):
            raise ConfigurationError("an empty answer has no gap: leave it out")
        rng = random.Random(f"{seed}/{list(prompt)}/{list(answer)}")
        length = rng.randint(1, len(answer))
        start = rng.randint(0, len(answer) - length)
        before, behind = answer[:start], answer[start + length :]
        return cls((*prompt, *before), (*behind,), length)


@dataclass(frozen=True)
class BiasFit:
    """The fitted B(l), and what it was fitted to.

    Attributes:
        bias: the fitted constants.
        lengths: those that were tried, L of them.
        confidences: the mean confidence at each; NaN where no gap counted.
        counts: the gaps that each is a mean of.
    """

    bias: LengthBias
    lengths: tuple[int, ...]
    confidences: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def options(self) -> dict[str, float]:
        """The constants as options of the method `cal`."""
        return {f"bias_{name}": value for name, value in vars(self.bias).items()}


def fit_length_bias(
    backbone: Backbone,
    gaps: abc.Sequence[Gap],
    *,
    lengths: abc.Sequence[int] = LENGTHS,
    batch_size: int = 16,
) -> BiasFit:
    """Fits B(l) as the paper does: least squares on mean confidences, by the root of their counts.

    Each gap is looked at at every length, one pass each, but for lengths within NEAR of its own.
    Lengths that the model has no positions for are left out.

    Args:
        backbone: the model.
        gaps: held-out texts with gaps.
        lengths: that are tried.
        batch_size: sequences per pass at most.

    Raises:
        ConfigurationError: fewer than five lengths at which a gap counts, for five constants.
    """
    from scipy.optimize import curve_fit

    probes = _Probes(tuple(lengths), tuple(gaps))
    settings = DecodeConfig(gen_length=max(lengths))
    jobs = [Job(gap.prefix, settings, window=1, suffix=gap.suffix) for gap in gaps]
    for _ in generate(backbone, jobs, batch_size=batch_size, policy=probes):
        pass
    found = [probes.found[length] for length in probes.lengths]
    tried = [(at, values) for at, values in zip(probes.lengths, found, strict=True) if values]
    if len(tried) < len(_START):
        raise ConfigurationError(
            f"{len(gaps)} gaps count at {len(tried)} lengths ({[at for at, _ in tried]}): expected "
            f"{len(_START)} or more for as many constants; give more gaps, or more lengths"
        )
    constants, _ = curve_fit(
        lambda at, a, b, c, d, e: a * np.exp(-b * at) + c * np.exp(-d * at) + e,
        np.array([at for at, _ in tried], dtype=float),
        np.array([np.mean(values) for _, values in tried]),
        p0=_START,
        sigma=[1 / math.sqrt(len(values)) for _, values in tried],
        bounds=([0.0] * len(_MOST), _MOST),
    )
    return BiasFit(
        bias=LengthBias(*map(float, constants)),
        lengths=probes.lengths,
        confidences=tuple(float(np.mean(values)) if values else math.nan for values in found),
        counts=tuple(map(len, found)),
    )


class _Probes:
    """The policy that looks at every length once, and decodes nothing."""

    def __init__(self, lengths: tuple[int, ...], gaps: tuple[Gap, ...]) -> None:
        self.lengths, self.gaps = lengths, gaps
        self.found: dict[int, list[float]] = {length: [] for length in lengths}

    def decode(self, sequence: Sequence) -> Steps:
        """Looks at the lengths that count for a gap."""
        gap, room = self.gaps[sequence.index], sequence.spec.max_length
        room -= len(gap.prefix) + len(gap.suffix)
        for length in self.lengths:
            if abs(length - gap.length) <= NEAR or length > room:
                continue
            sequence.resize(sequence.masks(length))
            scores = yield Step(torch.empty(0, dtype=torch.long), whole_canvas=True)
            self.found[length].append(mean_confidence(scores, length))


def mean_confidence(scores: Scores, length: int) -> float:
    """The mean over `length` masks of the largest probability, be it the mask's or the EOS's.

    Args:
        scores: of a pass over a canvas of so many masks, whose step asked for the whole canvas.
        length: the masks.
    """
    largest = [
        logits_nV.float().softmax(dim=-1).amax(dim=-1)
        for logits_nV in scores.logits(torch.arange(length))
    ]
    return torch.cat(largest).mean().item()
