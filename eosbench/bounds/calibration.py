"""What calibration documents say of a predictor: by what to raise a prediction so that a promise
holds. No torch.

Scores of documents that no fit has seen are stored as they are, so that the promise is chosen when
a predictor is used:

- **coverage** (`quantile`): one-sided split conformal. A score says how far the answer was longer
  than predicted: L - prediction, or the same between logarithms (`scale="log"`, the default: a
  factor instead of a number of tokens). Raising a new prediction by the ceil((n + 1)(1 - alpha))-th
  smallest of n scores covers its answer with probability at least 1 - alpha, whatever the predictor
  is worth, as long as the new document is exchangeable with the calibration documents. For a
  predictor that was trained with the pinball loss this is conformalised quantile regression (Romano
  et al., arXiv 1905.03222, its one-sided form).
- **mean shortfall** (`shortfall_margin`): conformal risk control (Angelopoulos et al., arXiv
  2208.02814, theorem 1). The loss of a margin m is max(0, L - bound(m)), which falls as m grows and
  is at most C; the smallest m for which the n calibration documents' mean loss R satisfies n / (n +
  1) R + C / (n + 1) <= level keeps the expected loss of a new one at or below it.
- either of them **per group** (Mondrian): only calibration documents of the new document's own
  group count, so that the promise holds within each group. Groups are made of what a predictor
  sees: of the prompt's length, or of the predicted length.

There is one table of scores per unmasked fraction; a fraction without a table takes the next
smaller one (less was known there), and where there is none it is an error. Legend: N calibration
documents; length L, canvas C.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eosbench.errors import CalibrationError, ConfigurationError

logger = logging.getLogger(__name__)

Scale = Literal["log", "linear"]
GROUPINGS = ("prompt", "prediction")

__all__ = [
    "GROUPINGS",
    "Calibration",
    "Scale",
    "calibration_scores",
    "fewest_for_shortfall",
    "fewest_scores",
]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration scores per unmasked fraction, of the same documents in the same order at each.

    Attributes: scores: fraction -> [N] scores. scale: on which scale they were taken, see
        `calibration_scores`. length_N: L of each document; what risk control and groups need, None
        in folders of before. prompt_length_N: tokens of each document's prompt; what groups need.
        edges: grouping ("prompt", "prediction") -> rising inner edges between its groups, set on
        training documents.

    Raises:
        CalibrationError: no table, or a score that is not a finite number.
        ConfigurationError: unknown scale.

    Example:
        >>> table = Calibration({0.0: np.arange(1.0, 100.0)}, scale="linear")
        >>> table.quantile(0.0, alpha=0.05)
        95.0
    """

    scores: Mapping[float, NDArray[np.float64]]
    scale: Scale = "log"
    length_N: NDArray[np.float64] | None = None
    prompt_length_N: NDArray[np.float64] | None = None
    edges: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _known_scale(self.scale)
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

    def quantile(
        self, fraction: float, alpha: float, members_N: NDArray[np.bool_] | None = None
    ) -> float:
        """What to add to a prediction so that it covers with probability at least 1 - alpha.

        Args:
            fraction: unmasked fraction u.
            alpha: share of answers that may be missed.
            members_N: the calibration documents that count (`members`), by default all.

        Raises:
            CalibrationError: too few scores for this alpha, or no table at or below this fraction.
            ConfigurationError: alpha outside (0, 1).
        """
        needed = fewest_scores(alpha)
        scores = _chosen(self._table(fraction), members_N)
        _enough(len(scores), needed, f"alpha={alpha:g}", "raise alpha", _where(members_N))
        order = math.ceil((len(scores) + 1) * (1.0 - alpha) - 1e-9)  # safe from 19.000000000000004
        return float(np.partition(scores, order - 1)[order - 1])

    def shortfall_margin(
        self, fraction: float, level: float, canvas: int, members_N: NDArray[np.bool_] | None = None
    ) -> float:
        """What to add to a prediction so that its expected shortfall E[max(0, L - bound)] is at
        most `level` tokens.

        The mean loss is piecewise linear in the margin (in its exponential, on the log scale),
        convex and falling, and at
        least as large as the line through any of its pieces: the margin is the largest of the
        points where those lines pass the target.

        Args:
            fraction: unmasked fraction u.
            level: tokens.
            canvas: C, the largest possible loss.
            members_N: the calibration documents that count, by default all.

        Raises: CalibrationError: too few documents for this level (the number is named), none
            stored, or no table for the fraction. ConfigurationError: level not above 0.
        """
        needed = fewest_for_shortfall(level, canvas)
        scores = _chosen(self._table(fraction), members_N)
        length_N = _chosen(self._documents(self.length_N, "risk control"), members_N)
        _enough(len(scores), needed, *_shortfall_in_words(level, canvas), _where(members_N))
        target = max(0.0, (len(scores) + 1) * level - canvas)
        order = np.argsort(-scores)
        if self.scale == "linear":
            slack_N, slope_N = scores[order], np.ones(len(scores))
        else:  # L - ((1 + prediction) t - 1) with t = exp(margin), and 1 + prediction = (1 + L) exp(-score)
            slack_N = 1.0 + length_N[order]
            slope_N = slack_N * np.exp(-scores[order])
        passed = float(np.max((np.cumsum(slack_N) - target) / np.cumsum(slope_N)))
        return passed if self.scale == "linear" else math.log(max(passed, 1e-12))

    def members(
        self, grouping: str, fraction: float, *, prompt_length: int, prediction: float
    ) -> NDArray[np.bool_]:
        """[N]: the calibration documents in a new document's group.

        Args:
            grouping: "prompt" or "prediction".
            fraction: unmasked fraction u (for "prediction", which differs between them).
            prompt_length, prediction: of the new document.

        Raises:
            CalibrationError: the predictor's folder was written without what groups need.
            ConfigurationError: unknown grouping.
        """
        group_N = self._groups(grouping, fraction)
        value = float(prompt_length) if grouping == "prompt" else prediction
        return np.asarray(group_N == np.searchsorted(self._edges(grouping), value))

    def check(
        self,
        *,
        alpha: float | None = None,
        shortfall: float | None = None,
        groups: str | None = None,
        canvas: int,
    ) -> None:
        """Whether a promise can be kept, as far as it can be known before the first prompt.

        Groups that are too small for it are a warning, since it may be that no prompt falls into
        them.

        Args:
            alpha, shortfall, groups: as in `eosbench.bounds.to_bound`.
            canvas: C.

        Raises: CalibrationError: too few documents, in all or in every group, or none by group (the
            number needed is named). ConfigurationError: alpha, shortfall or groups outside what
            there is.
        """
        if alpha is None and shortfall is None:
            return
        if shortfall is not None:
            needed, promise = (
                fewest_for_shortfall(shortfall, canvas),
                _shortfall_in_words(shortfall, canvas),
            )
        else:
            assert alpha is not None
            needed, promise = fewest_scores(alpha), (f"alpha={alpha:g}", "raise alpha")
        _enough(min(map(len, self.scores.values())), needed, *promise)
        for fraction in self.scores if groups is not None else ():
            assert groups is not None
            sizes = np.bincount(
                self._groups(groups, fraction), minlength=len(self._edges(groups)) + 1
            )
            _enough(int(sizes.max()), needed, *promise, " in the largest group")
            if sizes.min() < needed:
                logger.warning(
                    "groups=%s, unmasked fraction %g: the groups have %s calibration documents and %s takes %d; a prompt in a "
                    "smaller group ends in an error",
                    groups,
                    fraction,
                    ", ".join(map(str, sizes)),
                    promise[0],
                    needed,
                )

    def _edges(self, grouping: str) -> NDArray[np.float64]:
        return np.asarray(self.edges[grouping], dtype=np.float64)

    def _groups(self, grouping: str, fraction: float) -> NDArray[np.int64]:
        """[N]: the group of each calibration document, counted from 0."""
        if grouping not in GROUPINGS:
            raise ConfigurationError(f"groups={grouping!r}: expected one of {', '.join(GROUPINGS)}")
        length_N = self._documents(self.length_N, "groups")
        if not len(self.edges.get(grouping, ())):
            raise CalibrationError(
                f"this predictor's folder has no edges between groups of {grouping} lengths: fit it again"
            )
        if grouping == "prompt":
            value_N = self._documents(self.prompt_length_N, "groups")
        elif self.scale == "linear":
            value_N = length_N - self._table(fraction)
        else:
            value_N = np.expm1(np.log1p(length_N) - self._table(fraction))
        return np.searchsorted(self._edges(grouping), value_N).astype(np.int64)

    def _table(self, fraction: float) -> NDArray[np.float64]:
        tables = [known for known in self.scores if known <= fraction]
        if not tables:
            known = ", ".join(f"{fraction:g}" for fraction in self.scores)
            raise CalibrationError(
                f"no calibration scores at or below the unmasked fraction {fraction:g}: there are only {known}"
            )
        return self.scores[tables[-1]]

    @staticmethod
    def _documents(value_N: NDArray[np.float64] | None, purpose: str) -> NDArray[np.float64]:
        if value_N is None:
            raise CalibrationError(
                f"this predictor's folder has no calibration documents for {purpose}: fit it again"
            )
        return np.asarray(value_N, dtype=np.float64)


def calibration_scores(
    prediction_N: ArrayLike, length_N: ArrayLike, scale: Scale = "log"
) -> NDArray[np.float64]:
    """How far each answer was longer than predicted: L - prediction ("linear"), or log(1 + L) -
    log(1 + prediction) ("log").

    >>> calibration_scores([10.0, 20.0], [12, 15], scale="linear").tolist()
    [2.0, -5.0]
    """
    _known_scale(scale)
    prediction_N, length_N = (
        np.asarray(prediction_N, dtype=np.float64),
        np.asarray(length_N, dtype=np.float64),
    )
    if scale == "linear":
        return np.asarray(length_N - prediction_N)
    return np.asarray(np.log1p(length_N) - np.log1p(prediction_N))


def fewest_scores(alpha: float) -> int:
    """The smallest number of calibration documents for which the quantile exists.

    >>> fewest_scores(0.05)
    19
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigurationError(
            f"alpha={alpha!r}: expected a number above 0 and below 1, the share of answers that may be missed"
        )
    return math.ceil((1.0 - alpha) / alpha - 1e-9)


def fewest_for_shortfall(level: float, canvas: int) -> int:
    """The smallest number of calibration documents that can promise a mean shortfall of `level`
    tokens: C / level - 1.

    >>> fewest_for_shortfall(2.0, canvas=256)
    127
    """
    if not (math.isfinite(level) and level > 0):
        raise ConfigurationError(
            f"shortfall={level!r}: expected a number of tokens above 0, the mean that may be missing"
        )
    return max(1, math.ceil(canvas / level - 1 - 1e-9))


def _shortfall_in_words(level: float, canvas: int) -> tuple[str, str]:
    """What it is called, and what else helps where documents are too few for it."""
    return f"a mean shortfall of {level:g} tokens on a canvas of {canvas}", "raise it"


def _chosen(
    value_N: NDArray[np.float64], members_N: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    return value_N if members_N is None else value_N[members_N]


def _where(members_N: NDArray[np.bool_] | None) -> str:
    return "" if members_N is None else " in this document's group"


def _enough(count: int, needed: int, purpose: str, otherwise: str, where: str = "") -> None:
    if count < needed:
        raise CalibrationError(
            f"{count} calibration documents{where} are too few for {purpose}: it takes at least {needed}; "
            f"add documents{', leave out groups,' if where else ''} or {otherwise}"
        )


def _known_scale(scale: str) -> None:
    if scale not in get_args(Scale):
        raise ConfigurationError(
            f"calibration scale {scale!r}: expected one of {', '.join(get_args(Scale))}"
        )
