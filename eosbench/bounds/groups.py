"""Groups of documents within each of which a promise is kept (Mondrian conformal prediction).

Only the calibration documents of a new document's own group count for it. Groups are made of what a
predictor sees: of the length of the prompt, or of the predicted length.

Legend: N calibration documents; G groups, with G - 1 rising edges between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eosbench.errors import ConfigurationError

GROUPINGS = ("prompt", "prediction")

__all__ = ["GROUPINGS", "Groups", "check_grouping"]


@dataclass(frozen=True, eq=False)
class Groups:
    """Calibration documents by the length of their prompts, or by their predicted length.

    Attributes:
        value_N: that length of each document, in tokens.
        edges: the G - 1 inner edges, set on training documents.
    """

    value_N: NDArray[np.float64]
    edges: NDArray[np.float64]

    def of(self, value: float) -> int:
        """The group of a new document of this length, counted from 0."""
        return int(np.searchsorted(self.edges, value))

    def members(self, group: int) -> NDArray[np.bool_]:
        """[N]: whether each document is in a group.

        >>> groups = Groups(np.array([5.0, 50.0, 7.0]), np.array([10.0]))
        >>> groups.members(groups.of(8.0)).tolist()
        [True, False, True]
        """
        return np.asarray(self._group_N() == group)

    def sizes(self) -> NDArray[np.int64]:
        """[G]: how many documents each group has.

        >>> Groups(np.array([5.0, 50.0, 7.0]), np.array([10.0])).sizes().tolist()
        [2, 1]
        """
        return np.bincount(self._group_N(), minlength=len(self.edges) + 1)

    def _group_N(self) -> NDArray[np.int64]:
        """[N]: the group of each document, counted from 0."""
        return np.searchsorted(self.edges, self.value_N).astype(np.int64)


def check_grouping(grouping: str) -> None:
    """Refuses a grouping that does not exist.

    Raises:
        ConfigurationError: neither "prompt" nor "prediction".
    """
    if grouping not in GROUPINGS:
        raise ConfigurationError(f"groups={grouping!r}: expected one of {', '.join(GROUPINGS)}")
