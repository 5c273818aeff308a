"""The sets of masked tokens that the likelihood of a target rests on.

The model's bound on log p(target | prompt) averages over how many of the target's L tokens are
masked and which (LLaDA, https://arxiv.org/abs/2502.09992, section 2.3 and appendix A.2):

    E over l uniform in 1..L, S uniform among the sets of l positions, of
        f(S) = (L / l) * sum over i in S of log p(x_i | rest)

The likelihood of a short target is exact: all 2^L - 1 sets are enumerated where these are at most
`mc_num`. That of a longer one is estimated from at most half of `mc_num` sets, which are chosen so
that they do the work of more:

- The set of everything is computed once, since l = L has no other set.
- Sizes l of the other sets are drawn systematically, in proportion to l^-1/5: f is noisier the
  fewer tokens stand for all.
- Sets are laid out so that tokens take turns at every size, and pairs of tokens as well
  (eosbench/likelihood/mask_design.py).
- This is done twice, independently: each half corrects the other
  (eosbench/likelihood/estimator.py, which adds everything up), and their difference is the error.

No step looks at the tokens themselves, so every set is uniform among those of its size, as unbiased
estimates need.

Legend: L target length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eosbench.likelihood.mask_design import spread

Pattern = tuple[int, ...]  # masked positions of the target, ascending

# The share of `mc_num` that a sample takes: SHARE times the root of L, as errors grow faster than
# costs, and MOST at most.
SHARE, MOST = (1 / 28, 1 / 2)
# The least sets of a sample, where `mc_num` allows: smaller halves cannot correct each other.
FEWEST = 16
SIZES_FALL = 1 / 5  # sizes are drawn in proportion to l to the power of minus this


@dataclass(frozen=True)
class Plan:
    """The sets of positions that are masked.

    Attributes:
        length: L.
        patterns: every set that a pass is needed for, each once.
        halves: two independent samples of sets smaller than L; empty where all sets are in
            `patterns`.
    """

    length: int
    patterns: tuple[Pattern, ...]
    halves: tuple[tuple[Pattern, ...], ...] = ()

    @classmethod
    def of(cls, length: int, mc_num: int, generator: np.random.Generator) -> Plan:
        """All sets of `length` positions, or a sample of them where they are too many.

        They are too many where they are more than `mc_num` and more than three.

        Args:
            length: L.
            mc_num: sets at most.
            generator: of the sample.

        Example:
            >>> Plan.of(2, 128, np.random.default_rng(0)).patterns
            ((0,), (1,), (0, 1))
            >>> len(Plan.of(49, 128, np.random.default_rng(0)).patterns)
            32
        """
        everything = tuple(range(length))
        if 2**length - 1 <= max(mc_num, 3):
            return cls(length, tuple(_subset(everything, bits) for bits in range(1, 2**length)))
        share = min(MOST, SHARE * math.sqrt(length))
        count = max(2, min(mc_num, max(FEWEST, math.ceil(share * mc_num))) - 1)
        halves = tuple(_half(length, sets, generator) for sets in (count // 2, count - count // 2))
        return cls(length, tuple(dict.fromkeys([everything, *halves[0], *halves[1]])), halves)

    @property
    def scored_positions(self) -> int:
        """Positions that the output layer scores, over all patterns."""
        return sum(map(len, self.patterns))


def size_probabilities(length: int) -> np.ndarray:
    """[L - 1] probabilities that a set of a sample has 1, 2, ..., L - 1 tokens."""
    weights: np.ndarray = np.arange(1, length) ** -SIZES_FALL
    return np.asarray(weights / weights.sum())


def _half(length: int, count: int, generator: np.random.Generator) -> tuple[Pattern, ...]:
    """A sample of `count` sets of 1..L - 1 tokens.

    eosbench/likelihood/mask_design.py lays them out; they are dealt out to the tokens at random.
    """
    share_L = size_probabilities(length)
    at = (np.arange(count) + generator.random()) / count
    sizes = 1 + np.searchsorted(np.cumsum(share_L)[:-1], at, side="right")
    # The weight of a set's sum of log-probabilities in the estimate.
    weights = 1 / (sizes * share_L[sizes - 1])
    masked_SL = spread(length, tuple(sizes.tolist()), tuple(weights.tolist()))[
        :, generator.permutation(length)
    ]
    return tuple(tuple(np.flatnonzero(row).tolist()) for row in masked_SL)


def _subset(positions: Pattern, bits: int) -> Pattern:
    """Those positions whose bit is set."""
    return tuple(i for i in positions if bits >> i & 1)
