"""Variance components of a balanced table with random factors, by the method of moments.

A value is a sum of independent random effects, one for each set of factors that may act together:

    y = mean + training + fit(training) + calibration + documents + their interactions

The mean square of a set U of factors has, in a balanced table, the expectation

    E MS(U) = sum over the sets V that contain U of  variance(V) x product of the levels not in V

(Cornfield and Tukey, Annals of Mathematical Statistics 27, 1956; Searle, Casella and McCulloch,
Variance Components, 1992, chapter 4). Solved from the largest set down it gives the ANOVA
estimates: unbiased whatever the effects are distributed like, and negative by chance where a
variance is small beside what lies over it. They are returned as they are: an estimate cut off at 0
would be biased upwards, and a mean of several would stay so.

Legend: an axis of the table is a factor, its size the number of levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan, prod

import numpy as np

from eosbench.metrics import Floats

Factors = frozenset[str]


@dataclass(frozen=True)
class Component:
    """The estimated variance of the effects of a set of factors.

    Attributes:
        variance: as estimated, possibly below 0; NaN where a factor has a single level.
        degrees: degrees of freedom of the mean square that it is taken from.
    """

    variance: float
    degrees: int


def variance_components(
    table: Floats, factors: Sequence[str], within: Mapping[str, str]
) -> dict[Factors, Component]:
    """The component of every set of factors whose effects the model has.

    A factor of one level is left out: nothing varies with it, and the other components are those
    under this one level.

    Args:
        table: a value for each combination of levels, an axis a factor.
        factors: their names, in the order of the axes.
        within: a nested factor -> the factor in each of whose levels its own levels are others.

    Example:
        >>> found = variance_components(np.array([[1.0, 3.0], [7.0, 5.0]]), ["a", "b"], {"b": "a"})
        >>> {"".join(sorted(names)): one.variance for names, one in found.items()}
        {'ab': 2.0, 'a': 7.0}
    """
    kept = [name for name, size in zip(factors, table.shape, strict=True) if size > 1]
    levels = {name: size for name, size in zip(factors, table.shape, strict=True) if size > 1}
    table = np.asarray(table, dtype=np.float64).reshape([levels[name] for name in kept])
    nested = {inner: outer for inner, outer in within.items() if {inner, outer} <= set(kept)}
    found: dict[Factors, Component] = {}
    for names in _sets(kept, nested):
        free = names - {nested[inner] for inner in names if inner in nested}
        degrees = prod(levels[name] - (name in free) for name in names)
        mean_square = _sum_of_squares(table, kept, names, free) / degrees
        above = 0.0
        for larger, one in found.items():
            if names < larger:
                others = [levels[name] for name in kept if name not in larger]
                above += one.variance * prod(others)
        repeated = prod(levels[name] for name in kept if name not in names)
        found[names] = Component(float(mean_square - above) / repeated, degrees)
    for name in set(factors) - set(kept):
        found[frozenset({name})] = Component(nan, 0)
    return found


def _sets(kept: Sequence[str], nested: Mapping[str, str]) -> list[Factors]:
    """The sets that have effects, the largest first: a nested factor never without its own."""
    sets = []
    for size in range(len(kept), 0, -1):
        for names in map(frozenset, combinations(kept, size)):
            if all(nested[inner] in names for inner in names if inner in nested):
                sets.append(names)
    return sets


def _sum_of_squares(table: Floats, kept: Sequence[str], names: Factors, free: Factors) -> float:
    """Of the effects of a set: means over all other factors, less what fewer factors explain."""
    effect = table
    for axis, name in enumerate(kept):
        mean = effect.mean(axis=axis, keepdims=True)
        if name not in names:
            effect = mean
        elif name in free:
            effect = effect - mean
    repeated = table.size / effect.size
    return float(np.square(effect).sum() * repeated)
