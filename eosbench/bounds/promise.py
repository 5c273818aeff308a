"""The promise of a bound: of some kind, kept over all documents or within each group of them.

A kind is a file with a small frozen class (coverage.py, shortfall.py, cheapest.py). To add one,
write its class and let `Promise.of` know the model argument that asks for it; calibration, bounds,
results files and error messages take it from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from eosbench.bounds.cheapest import Cheapest
from eosbench.bounds.coverage import Coverage
from eosbench.bounds.groups import check_grouping
from eosbench.bounds.scores import Scored
from eosbench.bounds.shortfall import Shortfall

USUAL_ALPHA = 0.05
PROMISES = ("cheapest",)  # the words that a model argument `promise` may say
_USUAL_KIND = Coverage(USUAL_ALPHA)

__all__ = ["PROMISES", "USUAL_ALPHA", "Kind", "Promise"]


class Kind(Protocol):
    """One kind of promise, at one level.

    Attributes:
        name: the procedure behind it, as the results file calls it.
        remedy: what helps, beside more calibration documents, where these are too few.
    """

    name: ClassVar[str]
    remedy: ClassVar[str]

    def fewest(self, canvas: int) -> int:
        """The smallest number of calibration documents that can promise this on C tokens."""
        ...

    def margin(self, scored: Scored, canvas: int) -> float:
        """The margin by which to raise a prediction, on the scale of the scores.

        Args:
            scored: calibration documents, at least as many as `fewest` says.
            canvas: C, in tokens.

        Raises:
            CalibrationError: the predictor folder lacks what this kind reads of the documents.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """The model arguments that ask for this promise."""
        ...

    def in_words(self, canvas: int) -> str:
        """The promise as a message names it."""
        ...


@dataclass(frozen=True)
class Promise:
    """A kind of promise, and whether it holds within groups.

    Args:
        kind: what is promised, e.g. `Shortfall(2.0)`; by default a coverage of 95 %.
        groups: "prompt" or "prediction" keeps it within each group of documents of like prompt or
            predicted length; None keeps it over all documents.

    Raises:
        ConfigurationError: an unknown grouping.

    Example:
        >>> Promise.of(alpha=0.05, shortfall=2.0, groups="prompt")
        Promise(kind=Shortfall(level=2.0), groups='prompt')
    """

    kind: Kind = _USUAL_KIND
    groups: str | None = None

    def __post_init__(self) -> None:
        if self.groups is not None:
            check_grouping(self.groups)

    @classmethod
    def of(
        cls,
        *,
        alpha: float | None = USUAL_ALPHA,
        shortfall: float | None = None,
        cheapest: Cheapest | None = None,
        groups: str | None = None,
    ) -> Promise | None:
        """The promise that these model arguments ask for together, None where they ask for none.

        Args:
            alpha: share of answers that may be longer than their bound.
            shortfall: mean shortfall in tokens, promised instead of a coverage.
            cheapest: the cost that is to be least, instead of any promise of this kind.
            groups: see `Promise`; it promises nothing by itself.

        Raises:
            ConfigurationError: a value outside its range.
        """
        if cheapest is not None:
            return cls(cheapest, groups)
        if shortfall is not None:
            return cls(Shortfall(shortfall), groups)
        if alpha is not None:
            return cls(Coverage(alpha), groups)
        return None

    def settings(self) -> dict[str, Any]:
        """The model arguments that ask for this promise.

        >>> Promise(Coverage(0.1), groups="prompt").settings()
        {'alpha': 0.1, 'groups': 'prompt'}
        """
        groups = {} if self.groups is None else {"groups": self.groups}
        return {**self.kind.settings(), **groups}
