"""Which tokens of a target are masked in the passes that its likelihood rests on, and how their scores become an estimate.

The model's bound on log p(target | prompt) averages over how many of the target's L tokens are masked and which (LLaDA,
https://arxiv.org/abs/2502.09992, section 2.3 and appendix A.2):

    E over l uniform in 1..L, S uniform among the sets of l positions, of  f(S) = (L / l) * sum over i in S of log p(x_i | rest)

Short targets are exact: all 2^L - 1 sets are enumerated where the passes allow it. Longer ones are estimated without bias and
with little noise: S = everything is computed once, since l = L has no other set; every other set comes with its complement, so
that each token is masked in exactly one of the two; and l is stratified.

Legend: L target length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Pattern = tuple[int, ...]  # masked positions of the target, ascending


@dataclass(frozen=True)
class Plan:
    """Which sets of positions are masked, and how their f(S) become an estimate; `draws` is empty where all sets are there."""

    length: int
    patterns: tuple[Pattern, ...]
    draws: tuple[tuple[Pattern, Pattern], ...] = ()

    @classmethod
    def of(cls, length: int, passes: int, generator: np.random.Generator) -> Plan:
        """All sets of `length` positions where there are no more of them than `passes` (or three), else a sample of them.

        Example:
            >>> Plan.of(2, 128, np.random.default_rng(0)).patterns
            ((0,), (1,), (0, 1))
        """
        everything = tuple(range(length))
        if 2**length - 1 <= max(passes, 3):
            return cls(length, tuple(_subset(everything, bits) for bits in range(1, 2**length)))
        count = max(1, (passes - 1) // 2)
        sizes = 1 + ((length - 1) * (np.arange(count) + generator.random(count)) / count).astype(int)
        draws = []
        for size in sizes:
            inside = set(generator.permutation(length)[:size].tolist())
            draws.append((tuple(sorted(inside)), tuple(i for i in everything if i not in inside)))
        return cls(length, tuple({pattern: None for pattern in [everything, *(p for draw in draws for p in draw)]}), tuple(draws))

    @property
    def scored_positions(self) -> int:
        """Positions that the output layer scores, over all patterns."""
        return sum(map(len, self.patterns))

    def estimate(self, scores: dict[Pattern, float]) -> tuple[float, float]:
        """From f(S) of every pattern: (value, standard error), in nats.

        The error is that of neighbouring strata, whose expectations differ little; 0 where the value is exact, NaN where a
        single pair of sets was all that the passes allowed.
        """
        length = self.length
        if not self.draws:
            return math.fsum(score / (length * math.comb(length, len(pattern))) for pattern, score in scores.items()), 0.0
        halves = np.array([(scores[inside] + scores[outside]) / 2 for inside, outside in self.draws])
        value = scores[tuple(range(length))] / length + (length - 1) / length * halves.mean()
        if len(halves) < 2:
            return float(value), math.nan
        variance = (np.diff(halves) ** 2).sum() / (2 * (len(halves) - 1) * len(halves))
        return float(value), float((length - 1) / length * math.sqrt(variance))


def _subset(positions: Pattern, bits: int) -> Pattern:
    return tuple(i for i in positions if bits >> i & 1)
