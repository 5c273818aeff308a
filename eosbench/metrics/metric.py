"""The metric as a mean: one number per document, and the documents in the denominator. No torch.

A document leaves the denominator when its number is not defined, or when it is censored (its
length L exceeds the canvas C: no bound could have covered it). Where no document is left the answer
is NaN, never 0.

Legend: N documents.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, ParamSpec

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# One number per document [N], and whether the document is in the denominator [N].
Terms = tuple[ArrayLike, Bools]
P = ParamSpec("P")

__all__ = ["Bools", "Floats", "Metric", "Terms", "floats", "uncensored"]


class Metric(Generic[P]):
    """A mean over documents.

    Args:
        terms: the function that gives every document's number and the denominator.
    """

    def __init__(self, terms: Callable[P, Terms]) -> None:
        self.terms = terms
        functools.update_wrapper(self, terms)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> float:
        return _mean(self.each(*args, **kwargs))

    def each(self, *args: P.args, **kwargs: P.kwargs) -> Floats:
        """One number per document [N], NaN where the document is not in the denominator."""
        values, where = self.terms(*args, **kwargs)
        return np.where(where, floats(values), np.nan)


def floats(values: ArrayLike) -> Floats:
    """The values as an array of float64, of whatever shape they have."""
    return np.asarray(values, dtype=np.float64)


def uncensored(length_N: ArrayLike | None, canvas_N: ArrayLike | None) -> Bools:
    """Whether L <= C, per document [N]; True for all when either is unknown."""
    if length_N is None or canvas_N is None:
        return np.ones((), dtype=np.bool_)
    return np.asarray(floats(length_N) <= floats(canvas_N))


def _mean(values: Floats) -> float:
    """Mean of the values that are defined, NaN when none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
