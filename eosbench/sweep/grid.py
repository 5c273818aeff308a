"""The levels, rules and parts of the canvas that a sweep goes through: variants of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eosbench.canvas_view import FULL, CanvasView
from eosbench.predictors import STEP_ZERO, row_of
from eosbench.strategies import ALL_METHODS

# Rules beside the fitted one: the option that a sweep goes through -> the methods that have it,
# with the other options that choose the rule.
RULES: dict[str, dict[str, dict[str, Any]]] = {
    "tau": {"logit": {"variant": "threshold"}, "smartcrop": {}, "classification": {}},
    "q": {"logit": {"variant": "quantile"}},
}

__all__ = ["Grid", "Variant"]


@dataclass(frozen=True)
class Variant:
    """The part of a run that tells it from the other runs of its method.

    Attributes:
        settings: model arguments beside those of the whole sweep.
        name: what tells the run from the others of its method, e.g. "alpha=0.1"; empty where the
            method runs once as it is.
        own_rule: True where the predictor follows another rule than the one it was fitted with, so
            that its calibration does not hold.
        view: the part of the canvas that it reads, where the sweep goes through several.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    own_rule: bool = False
    view: CanvasView = FULL

    def at(self, view: CanvasView) -> Variant:
        """The same at a part of the canvas, which the name says unless it is the whole canvas."""
        name = self.name if view == FULL else f"{STEP_ZERO}={view} {self.name}".rstrip()
        return replace(self, settings={STEP_ZERO: str(view), **self.settings}, name=name, view=view)


@dataclass(frozen=True)
class Grid:
    """Levels, rules and parts of the canvas that a sweep goes through.

    Attributes:
        alphas: methods that can be calibrated run once for each of them, instead of at the alpha
            among the model arguments.
        taus: `logit` (threshold), `smartcrop` and `classification` also run at each of these
            thresholds. Their calibration is that of the rule they were fitted with, so these runs
            are not calibrated.
        quantiles: `logit` also runs at each of these quantiles, likewise uncalibrated.
        views: methods that read the model run at each of these parts of the canvas, each with the
            predictor that was fitted for it.
    """

    alphas: Sequence[float] = ()
    taus: Sequence[float] = ()
    quantiles: Sequence[float] = ()
    views: Sequence[CanvasView] = ()

    def arguments(self) -> list[str]:
        """The model arguments that are swept over."""
        swept: dict[str, Sequence[Any]] = {"alpha": self.alphas, "tau": self.taus}
        swept |= {"q": self.quantiles, STEP_ZERO: self.views}
        return [name for name, values in swept.items() if values]

    def variants(self, method: str) -> list[Variant]:
        """The runs of a method.

        >>> grid = Grid(alphas=[0.1, 0.2], quantiles=[0.5])
        >>> [variant.name for variant in grid.variants("logit")]
        ['alpha=0.1', 'alpha=0.2', 'q=0.5']
        >>> [variant.name for variant in grid.variants("fixed")]
        ['']
        >>> grid = Grid(taus=[0.3], views=[FULL, CanvasView.of("grid:31")])
        >>> [variant.name for variant in grid.variants("smartcrop")]
        ['', 'tau=0.3', 'step_zero=grid:31', 'step_zero=grid:31 tau=0.3']
        """
        row = row_of(method, ALL_METHODS)
        alphas = self.alphas if row.fitting != "none" else ()
        levels = [Variant({"alpha": alpha}, f"alpha={alpha:g}") for alpha in alphas]
        rules = []
        for option, values in (("tau", self.taus), ("q", self.quantiles)):
            if method not in RULES[option]:
                continue
            for value in values:
                settings = {**RULES[option][method], option: value}
                rules.append(Variant(settings, f"{option}={value:g}", own_rule=True))
        runs = [*(levels or [Variant()]), *rules]
        if not (row.needs and self.views):
            return runs
        return [one.at(view) for view in self.views for one in runs]
