"""The cost of documents as a function of the margin: its minimum, and what a new answer costs.

No torch.

The cost only changes where the bound of some document does, so that finitely many margins are to be
compared, one in each interval between two such points. All of them are, exactly, in the time that
it takes to sort those points.

A minimum looks better on the documents that it was chosen on than on new ones. What is stated is
therefore each document's cost at the margin that the others choose: by exchangeability its mean is,
without bias, the expected cost of a new answer after N - 1 calibration documents.

Legend: N calibration documents, K bounds that rounding can give, M margins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# No margin is looked for in an interval narrower than this, where rounding errors decide.
NARROW = 1e-9

__all__ = ["CostCurve", "ExpectedCost"]


@dataclass(frozen=True, eq=False)
class CostCurve:
    """The costs of N documents, each a step function of the margin.

    Args:
        edge_NK: [N, K - 1] rising margins; above edge k a document has bound k + 1.
        cost_NK: [N, K] its cost in token-positions at each bound.
        top: a margin above all of them, which gives every document its last bound.

    Example:
        >>> curve = CostCurve(np.array([[1.0], [2.0]]), np.array([[9, 3], [1, 2]]), top=3.0)
        >>> curve.margin_M.round(6).tolist(), curve.total_M.tolist()
        ([1.0, 2.0, 3.0], [10, 4, 5])
        >>> round(curve.best, 6), curve.left_out_N.tolist()
        (2.0, [3, 2])
    """

    edge_NK: NDArray[np.float64]
    cost_NK: NDArray[np.int64]
    top: float

    @cached_property
    def _steps(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Rising margins, one for each interval in which no bound changes, and their totals."""
        order = np.argsort(self.edge_NK, axis=None)
        edge = self.edge_NK.ravel()[order]
        change = np.diff(self.cost_NK, axis=1).ravel()[order]
        total = self.cost_NK[:, 0].sum() + np.concatenate([[0], np.cumsum(change)])
        right = np.append(edge, self.top)
        wide = np.append([True], np.diff(right) > NARROW)
        return right[wide] - NARROW / 2, total[wide]

    @property
    def margin_M(self) -> NDArray[np.float64]:
        """Rising margins, one for each set of bounds that the documents can have."""
        return self._steps[0]

    @property
    def total_M(self) -> NDArray[np.int64]:
        """The cost of all documents at each margin, in token-positions."""
        return self._steps[1]

    @property
    def best(self) -> float:
        """The largest of the margins that cost least."""
        return float(self.margin_M[_last_least(self.total_M)])

    @cached_property
    def left_out_N(self) -> NDArray[np.int64]:
        """[N] the cost of each document at the margin that the others choose."""
        margin_M, total_M = self._steps
        # The others' total differs from the total by one document's cost, so that no margin far
        # above the least total can be theirs.
        swing = int(np.ptp(self.cost_NK, axis=1).max())
        near_M = total_M <= total_M.min() + swing
        margin_M, total_M = margin_M[near_M], total_M[near_M]
        found_N = np.empty(len(self.cost_NK), dtype=np.int64)
        for row, (edge_K, cost_K) in enumerate(zip(self.edge_NK, self.cost_NK, strict=True)):
            cost_M = cost_K[np.searchsorted(edge_K, margin_M)]
            found_N[row] = cost_M[_last_least(total_M - cost_M)]
        return found_N


@dataclass(frozen=True)
class ExpectedCost:
    """The expected cost of a new answer, without step zero, which costs the same at every margin.

    Attributes:
        token_positions: the mean over the documents, each charged at the margin of the others.
        standard_error: of that mean, as if the documents' costs were independent.
        whole_canvas: the mean with bounds of the whole canvas.
    """

    token_positions: float
    standard_error: float
    whole_canvas: float

    @classmethod
    def of(cls, curves: Sequence[CostCurve]) -> ExpectedCost:
        """The estimate of the documents of several groups together, each group with its margin."""
        left_out_N = np.concatenate([curve.left_out_N for curve in curves])
        whole_N = np.concatenate([curve.cost_NK[:, -1] for curve in curves])
        error = float(left_out_N.std(ddof=1)) / math.sqrt(len(left_out_N))
        return cls(float(left_out_N.mean()), error, float(whole_N.mean()))


def _last_least(total_M: NDArray[np.int64]) -> int:
    """The last of the places where a total is least."""
    return len(total_M) - 1 - int(np.argmin(total_M[::-1]))
