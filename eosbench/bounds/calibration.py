"""Calibration: the margin by which to raise a prediction so that a promise holds. No torch.

Scores of documents that no fit has seen are stored as they are, so that the promise is chosen when
a predictor is used. There is one table of scores per unmasked fraction; a fraction without a table
takes the next smaller one (less was known there), and where there is none it is an error.

The kinds of promises are in coverage.py, shortfall.py and cheapest.py, groups in groups.py.

Legend: N calibration documents; L the length of an answer, C the canvas, both in tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eosbench.bounds.cheapest import Cheapest
from eosbench.bounds.cost_curve import ExpectedCost
from eosbench.bounds.groups import Groups
from eosbench.bounds.promise import Kind, Promise
from eosbench.bounds.scores import Scale, Scored, check_scale, predicted, stored
from eosbench.errors import CalibrationError

logger = logging.getLogger(__name__)

__all__ = ["Calibration"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration scores per unmasked fraction, of the same documents in the same order at each.

    Attributes:
        scores: fraction -> [N] scores, see `eosbench.bounds.calibration_scores`.
        scale: the scale of the scores.
        length_N: L of each document, which a mean shortfall, a least cost and groups need; None in
            folders of an older version.
        prompt_length_N: tokens of each document's prompt, which a least cost and groups of prompts
            need.
        edges: grouping ("prompt", "prediction") -> rising inner edges between its groups, set on
            training documents.

    Raises:
        CalibrationError: no table, or a score that is not a finite number.
        ConfigurationError: an unknown scale.

    Example:
        >>> table = Calibration({0.0: np.arange(1.0, 100.0)}, scale="linear")
        >>> table.margin(Promise(), canvas=256)
        95.0
    """

    scores: Mapping[float, NDArray[np.float64]]
    scale: Scale = "log"
    length_N: NDArray[np.float64] | None = None
    prompt_length_N: NDArray[np.float64] | None = None
    edges: Mapping[str, Sequence[float]] = field(default_factory=dict)
    _margins: dict[tuple[Any, ...], float] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check_scale(self.scale)
        if not self.scores:
            raise CalibrationError(
                "a calibration needs the scores of at least one unmasked fraction, got none"
            )
        tables = {
            float(fraction): np.asarray(scores, dtype=np.float64)
            for fraction, scores in self.scores.items()
        }
        for fraction, scores in tables.items():
            if not np.isfinite(scores).all():
                raise CalibrationError(
                    f"calibration scores at fraction {fraction:g}: all must be finite numbers"
                )
        object.__setattr__(self, "scores", dict(sorted(tables.items())))

    @property
    def documents(self) -> int:
        """The number of calibration documents (the smallest, if fractions differ)."""
        return min(map(len, self.scores.values()))

    def margin(
        self,
        promise: Promise,
        *,
        canvas: int,
        fraction: float = 0.0,
        prompt_length: int = 0,
        prediction: float = 0.0,
    ) -> float:
        """The margin by which to raise one prediction, on the scale of the scores.

        Args:
            promise: what is to hold of the raised prediction.
            canvas: C.
            fraction: unmasked fraction u that the predictor saw.
            prompt_length: tokens of the prompt, for groups of prompts.
            prediction: predicted length in tokens, for groups of predictions.

        Raises:
            CalibrationError: too few documents for the promise (the number needed is named), no
                table at or below this fraction, or a folder without what the promise needs.
        """
        group = None
        if promise.groups is not None:
            value = float(prompt_length) if promise.groups == "prompt" else prediction
            group = self._groups(promise.groups, fraction).of(value)
        key = (promise, canvas, fraction, group)
        if key not in self._margins:
            scored, where = self._scored(fraction), ""
            if promise.groups is not None and group is not None:
                members_N = self._groups(promise.groups, fraction).members(group)
                scored, where = scored.chosen(members_N), " in this document's group"
            _enough(len(scored), promise.kind, canvas, where)
            self._margins[key] = promise.kind.margin(scored, canvas)
        return self._margins[key]

    def expected_cost(
        self, promise: Promise, *, canvas: int, fraction: float = 0.0
    ) -> ExpectedCost | None:
        """The cost of an answer at the cheapest margin, as the calibration documents estimate it.

        Args:
            promise: what bounds are to keep.
            canvas: C.
            fraction: unmasked fraction u that the predictor saw.

        Returns:
            None for a promise of another kind.

        Raises:
            CalibrationError: a folder without what the promise needs.
        """
        if not isinstance(promise.kind, Cheapest):
            return None
        scored, parts = self._scored(fraction), []
        if promise.groups is not None:
            groups = self._groups(promise.groups, fraction)
            members = [groups.members(group) for group in range(len(groups.sizes()))]
            parts = [scored.chosen(members_N) for members_N in members]
        enough = [part for part in parts or [scored] if len(part) >= promise.kind.fewest(canvas)]
        curves = [promise.kind.curve(part, canvas) for part in enough]
        return ExpectedCost.of(curves)

    def check(self, promise: Promise, *, canvas: int) -> None:
        """Checks that a promise can be kept, as far as it can be known before the first prompt.

        Groups that are too small for it are a warning, since it may be that no prompt falls into
        them.

        Args:
            promise: what bounds are to keep.
            canvas: C.

        Raises:
            CalibrationError: too few documents, in all or in every group (the number needed is
                named), or a folder without what the promise or groups need.
        """
        _enough(self.documents, promise.kind, canvas)
        if promise.groups is None:
            for fraction in self.scores:
                self.margin(promise, canvas=canvas, fraction=fraction)
            return
        needed = promise.kind.fewest(canvas)
        for fraction in self.scores:
            sizes = self._groups(promise.groups, fraction).sizes()
            _enough(int(sizes.max()), promise.kind, canvas, " in the largest group")
            if sizes.min() < needed:
                logger.warning(
                    "groups=%s, unmasked fraction %g: the groups have %s calibration documents "
                    "and %s takes %d; a prompt in a smaller group ends in an error",
                    promise.groups,
                    fraction,
                    ", ".join(map(str, sizes)),
                    promise.kind.in_words(canvas),
                    needed,
                )

    def _groups(self, grouping: str, fraction: float) -> Groups:
        """The calibration documents by group; those of predictions differ between fractions."""
        stored(self.length_N, "groups")
        edges = self.edges.get(grouping, ())
        if not len(edges):
            raise CalibrationError(
                f"this predictor's folder has no edges between groups of {grouping} lengths: "
                "fit it again"
            )
        value_N = (
            stored(self.prompt_length_N, "groups")
            if grouping == "prompt"
            else predicted(self._scored(fraction), "groups")
        )
        return Groups(value_N, np.asarray(edges, dtype=np.float64))

    def _scored(self, fraction: float) -> Scored:
        """The documents with their scores at this fraction, or at the next smaller one."""
        tables = [known for known in self.scores if known <= fraction]
        if not tables:
            known = ", ".join(f"{fraction:g}" for fraction in self.scores)
            raise CalibrationError(
                f"no calibration scores at or below the unmasked fraction {fraction:g}: there are "
                f"only {known}"
            )
        return Scored(self.scores[tables[-1]], self.scale, self.length_N, self.prompt_length_N)


def _enough(count: int, kind: Kind, canvas: int, where: str = "") -> None:
    """Refuses a number of calibration documents that is too small for a kind of promise."""
    needed = kind.fewest(canvas)
    if count < needed:
        without = ", leave out groups," if where else ""
        raise CalibrationError(
            f"{count} calibration documents{where} are too few for {kind.in_words(canvas)}: "
            f"it takes at least {needed}; add documents{without} or {kind.remedy}"
        )
