"""Values of one document each, which lm-eval's own `mean` aggregates correctly.

lm-eval has a closed-form standard error for exactly one aggregation, `mean`; for `nanmean` it
bootstraps 100,000 times (minutes for our tables), for any other it prints N/A. Many of our metrics
are means over a part of the documents (overshoot: the covered ones), and one is a root mean square.
So the value that a task returns for a document is a `Term`. It is a float, and logs like one; the
three operations of lm-eval's `mean` and `mean_stderr` (`sum`, `/ n` and `- mean`) treat it as one
term of a ratio estimator:

    >>> terms = [Term(2.0), Term(float("nan")), Term(4.0)]
    >>> mean = sum(terms) / len(terms)
    >>> float(mean)
    3.0

The standard error that follows is the delta method's for a ratio of means (Cochran, Sampling
Techniques, 3rd edition, section 2.11): the sample deviation of (value - weight * ratio) / mean
weight. Where no document has a value, mean and error are NaN.
"""

from __future__ import annotations

import math


class Term(float):
    """One document's value, NaN where the metric is not defined for it.

    `root=True` makes the aggregate the root of the mean square of the values (rmse from errors)
    instead of their mean.
    """

    root: bool

    def __new__(cls, value: float, *, root: bool = False) -> Term:
        term = super().__new__(cls, value)
        term.root = root
        return term

    @property
    def weight(self) -> float:
        """1 where the metric is defined for the document, else 0."""
        return 0.0 if math.isnan(self) else 1.0

    @property
    def amount(self) -> float:
        """The value that enters the sum: 0 where it is not defined, its square under a root."""
        value = 0.0 if math.isnan(self) else float(self)
        return value * value if self.root else value

    def __radd__(self, other: float) -> Total:  # type: ignore[override, misc]  # sum() starts with 0
        return Total(other + self.amount, self.weight, self.root)

    def __sub__(self, mean: float) -> float:
        if not isinstance(mean, TermMean):
            return float(self) - mean
        if mean.share == 0:
            return math.nan
        influence = (self.amount - self.weight * mean.ratio) / mean.share
        if not self.root:
            return influence
        return influence / (2.0 * float(mean)) if mean else 0.0


class Total:
    """A running sum of terms, and of their weights."""

    def __init__(self, amount: float, weight: float, root: bool) -> None:
        self.amount, self.weight, self.root = amount, weight, root

    def __add__(self, term: Term) -> Total:
        return Total(self.amount + term.amount, self.weight + term.weight, self.root)

    def __truediv__(self, count: int) -> TermMean:
        return TermMean(
            self.amount / self.weight if self.weight else math.nan, self.weight / count, self.root
        )


class TermMean(float):
    """The mean over the documents that have a value.

    Attributes:
        ratio: the plain mean, of squares for a root.
        share: the share of documents that have a value.
    """

    ratio: float
    share: float

    def __new__(cls, ratio: float, share: float, root: bool) -> TermMean:
        mean = super().__new__(cls, math.sqrt(ratio) if root else ratio)
        mean.ratio, mean.share = ratio, share
        return mean
