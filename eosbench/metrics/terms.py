"""Values of one document each, which lm-eval's own `mean` aggregates correctly.

lm-eval has a closed-form standard error for exactly one aggregation, `mean`; for `nanmean` it
bootstraps 100,000 times (minutes for our tables), for any other it prints N/A. Many of our metrics
are means over a part of the documents (overshoot: the covered ones), and one is a root mean square.
So the value that lm-eval aggregates for a document is a `Term`. It is a float; the three operations
of lm-eval's `mean` and `mean_stderr` (`sum`, `/ n` and `- mean`) treat it as one term of a ratio
estimator:

    >>> terms = [Term(2.0), Term(float("nan")), Term(4.0)]
    >>> sum(terms) / len(terms)
    3.0

The standard error that follows is the delta method's for a ratio of means (Cochran, Sampling
Techniques, 3rd edition, section 2.11): the sample deviation of (value - weight * ratio) / mean
weight. Where no document has a value, mean and error are NaN.

Terms stay between lm-eval and its mean. The results that it hands on hold floats: the mean is one,
and so are the values of a document in the sample logs (`DocumentValues`).
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Mean:
    """The mean of some terms.

    Attributes:
        value: the mean, or the root of the mean square; NaN where no document has a value.
        ratio: the plain mean, of squares for a root.
        share: the share of documents that have a value.
    """

    value: float
    ratio: float
    share: float


class Term(float):
    """One document's value, NaN where the metric is not defined for it.

    `root=True` makes the aggregate the root of the mean square of the values (rmse from errors)
    instead of their mean.
    """

    root: bool
    mean: Mean | None  # of the last sum that the term went into

    def __new__(cls, value: float, *, root: bool = False) -> Term:
        term = super().__new__(cls, value)
        term.root, term.mean = root, None
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
        return Total(other) + self

    def __sub__(self, number: float) -> float:
        if self.mean is None or not _same(self.mean.value, number):
            return float(self) - number
        if self.mean.share == 0:
            return math.nan
        influence = (self.amount - self.weight * self.mean.ratio) / self.mean.share
        if not self.root:
            return influence
        return influence / (2.0 * self.mean.value) if self.mean.value else 0.0


class Total:
    """A running sum of terms."""

    def __init__(self, amount: float = 0.0) -> None:
        self.amount, self.weight = amount, 0.0
        self.terms: list[Term] = []

    def __add__(self, term: Term) -> Total:
        self.amount += term.amount
        self.weight += term.weight
        self.terms.append(term)
        return self

    def __truediv__(self, count: int) -> float:
        """The mean over the documents that have a value, which all terms are told."""
        ratio = self.amount / self.weight if self.weight else math.nan
        value = math.sqrt(ratio) if self.terms[0].root else ratio
        for term in self.terms:
            term.mean = Mean(value, ratio, self.weight / count)
        return value


class DocumentValues(dict[str, float]):
    """The metrics of one document, as a task hands them to lm-eval.

    Its content is floats, which is what lm-eval logs. Its `items()`, from which lm-eval collects
    what it aggregates, are the same values as terms.

    Example:
        >>> values = DocumentValues({"overshoot": Term(2.0)})
        >>> [type(value).__name__ for value in values.values()]
        ['float']
        >>> [type(value).__name__ for _, value in values.items()]
        ['Term']
    """

    def __init__(self, terms: Mapping[str, Term]) -> None:
        super().__init__({metric: float(term) for metric, term in terms.items()})
        self._terms = dict(terms)

    def items(self) -> ItemsView[str, Term]:  # type: ignore[override]
        """Each metric with its term."""
        return self._terms.items()

    def __reduce__(self) -> tuple[type[DocumentValues], tuple[dict[str, Term]]]:
        return DocumentValues, (self._terms,)


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
