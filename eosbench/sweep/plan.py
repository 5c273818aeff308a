"""The runs of a sweep: which methods, at which levels and rules, with which model arguments.

A run is one frozen record. Runs of one method that differ only in their promise share a predictor,
and so do their forward passes; a run with a rule of its own has a predictor of its own.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eosbench import embedded
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.places import is_there
from eosbench.predictors import METHODS, STEP_ZERO, needs_whole_canvas, row_of
from eosbench.strategies import ALL_METHODS, STRATEGIES
from model_adapters import attends_between_blocks
from model_adapters.varlen_dlm import OF_BOUNDS, OTHER_PROMISES, Arguments, parse_arguments

logger = logging.getLogger(__name__)

# Rules beside the fitted one: the option that a sweep goes through -> the methods that have it,
# with the other options that choose the rule.
RULES: dict[str, dict[str, dict[str, Any]]] = {
    "tau": {"logit": {"variant": "threshold"}, "smartcrop": {}, "classification": {}},
    "q": {"logit": {"variant": "quantile"}},
}

__all__ = ["Grid", "Run", "Variant", "planned_runs"]


@dataclass(frozen=True)
class Variant:
    """The part of a run that tells it from the other runs of its method.

    Attributes:
        settings: model arguments beside those of the whole sweep.
        name: what tells the run from the others of its method, e.g. "alpha=0.1"; empty where the
            method runs once as it is.
        own_rule: True where the predictor follows another rule than the one it was fitted with, so
            that its calibration does not hold.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    own_rule: bool = False


@dataclass(frozen=True)
class Grid:
    """Levels and rules that a sweep goes through.

    Attributes:
        alphas: methods that can be calibrated run once for each of them, instead of at the alpha
            among the model arguments.
        taus: `logit` (threshold), `smartcrop` and `classification` also run at each of these
            thresholds. Their calibration is that of the rule they were fitted with, so these runs
            are not calibrated.
        quantiles: `logit` also runs at each of these quantiles, likewise uncalibrated.
    """

    alphas: Sequence[float] = ()
    taus: Sequence[float] = ()
    quantiles: Sequence[float] = ()

    def arguments(self) -> list[str]:
        """The model arguments that are swept over."""
        swept = {"alpha": self.alphas, "tau": self.taus, "q": self.quantiles}
        return [name for name, values in swept.items() if values]

    def variants(self, method: str) -> list[Variant]:
        """The runs of a method.

        >>> grid = Grid(alphas=[0.1, 0.2], quantiles=[0.5])
        >>> [variant.name for variant in grid.variants("logit")]
        ['alpha=0.1', 'alpha=0.2', 'q=0.5']
        >>> grid.variants("fixed")
        [Variant(settings={}, name='', own_rule=False)]
        """
        alphas = self.alphas if row_of(method, ALL_METHODS).fitting != "none" else ()
        levels = [Variant({"alpha": alpha}, f"alpha={alpha:g}") for alpha in alphas]
        rules = []
        for option, values in (("tau", self.taus), ("q", self.quantiles)):
            if method not in RULES[option]:
                continue
            for value in values:
                settings = {**RULES[option][method], option: value}
                rules.append(Variant(settings, f"{option}={value:g}", own_rule=True))
        return [*(levels or [Variant()]), *rules]


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        method: a name of ALL_METHODS.
        variant: what this run sets beside the model arguments of the sweep.
        model_args: its model arguments, as the results file has them.
        arguments: the same, checked, with lm-eval's own flags.
    """

    method: str
    variant: Variant
    model_args: Mapping[str, Any]
    arguments: Arguments

    @property
    def label(self) -> str:
        """The name of the run: "logit", or "logit alpha=0.1"."""
        return f"{self.method} {self.variant.name}".rstrip()

    @property
    def folder(self) -> Path:
        """The folder of its results, below that of the sweep."""
        return Path(self.method, self.variant.name)

    @property
    def predictor(self) -> str:
        """The name of its predictor, which runs that differ in alpha alone share."""
        return self.label if self.variant.own_rule else self.method


def planned_runs(
    methods: Sequence[str],
    given: Mapping[str, Any],
    *,
    flags: Mapping[str, Any],
    predictors: Path | None,
    grid: Grid,
) -> list[Run]:
    """Every run of a sweep, checked before anything is loaded.

    Args:
        methods: names of ALL_METHODS.
        given: the model arguments of the whole sweep, without `method` and `predictor`.
        flags: lm-eval's own flags, which are model arguments too.
        predictors: a folder of fitted predictors, one folder per method.
        grid: levels and rules to go through.

    Raises:
        ConfigurationError: no methods, an unknown argument, one that a sweep sets itself, or the
            same one twice.
        PredictorError: a method needs a fitted predictor and there is none.
    """
    own = ("method", "predictor")
    _refuse(given, own, "a sweep sets {} itself: use --methods and --predictors")
    twice = "{} stands among the model arguments and is swept over: give it once"
    _refuse(given, grid.arguments(), twice)
    _refuse(given, flags, "{} stands among the model arguments and beside them: give it once")
    if predictors is not None and not (is_there(predictors) and predictors.is_dir()):
        raise ConfigurationError(
            f"no folder {predictors}: expected one with a fitted predictor per method, as "
            "eosbench fit makes it"
        )
    runs: dict[str, Run] = {}
    for method in _possible(methods, given, predictors):
        for variant in grid.variants(method):
            model_args = _model_args(method, variant, given, predictors)
            run = Run(method, variant, model_args, parse_arguments({**model_args, **flags}))
            runs[run.label] = run
    if not runs:
        raise ConfigurationError(
            "a sweep over no methods that can run: expected all, five, or names with commas"
        )
    return list(runs.values())


def _possible(
    methods: Sequence[str], given: Mapping[str, Any], predictors: Path | None
) -> list[str]:
    """The methods, on a block model without those that could only be fitted for a whole canvas.

    A warning names the others: nobody is to be told to fit what cannot be fitted.
    """
    pretrained = str(given.get("pretrained", embedded.NAME))
    unfit = [
        method
        for method in methods
        if method in METHODS
        and METHODS[method].fitting == "weights"
        and needs_whole_canvas(method, {})
        and not (predictors is not None and (predictors / method).is_dir())
    ]
    if not unfit or pretrained == embedded.NAME:
        return list(methods)
    where = [str(given.get(name) or "") for name in ("revision", "subfolder")]
    if not attends_between_blocks(pretrained, where[0] or None, where[1]):
        return list(methods)
    logger.warning(
        "left out: %s look at the whole canvas, and %s attends causally between blocks",
        ", ".join(unfit),
        pretrained,
    )
    return [method for method in methods if method not in unfit]


def _refuse(given: Mapping[str, Any], names: Iterable[str], message: str) -> None:
    """Refuses model arguments that may not be given, named in the message."""
    taken = sorted(set(given) & set(names))
    if taken:
        raise ConfigurationError(message.format(", ".join(taken)))


def _model_args(
    method: str, variant: Variant, given: Mapping[str, Any], predictors: Path | None
) -> dict[str, Any]:
    """The model arguments of one run: what was given, the method, and its fitted folder.

    What only some methods can use is left out for the others: settings of bounds for those that
    predict none, promises beyond a coverage for those that are not calibrated, and the part of the
    canvas that step zero runs for those that do not read the model.
    """
    given = {**given, **variant.settings}
    if not row_of(method, ALL_METHODS).needs:
        given = _without(given, (STEP_ZERO,))
    if method in STRATEGIES:
        return {**_without(given, OF_BOUNDS), "method": method}
    folder = _fitted_folder(method, variant, given, predictors)
    is_fitted = folder is not None or given.get("pretrained", embedded.NAME) == embedded.NAME
    calibrated = is_fitted and not variant.own_rule and row_of(method).fitting != "none"
    kept = given if calibrated else _without(given, OTHER_PROMISES)
    predictor = {} if folder is None else {"predictor": str(folder)}
    return {**kept, "method": method, **predictor}


def _fitted_folder(
    method: str, variant: Variant, given: Mapping[str, Any], predictors: Path | None
) -> Path | None:
    """The folder of a method among the fitted predictors; None where it runs without one.

    The embedded model brings its predictors itself, and a zero-shot rule of one's own has none.
    """
    fitting = row_of(method).fitting
    if fitting == "none" or (fitting == "calibration" and variant.own_rule):
        return None
    folder = None if predictors is None else predictors / method
    if folder is not None and folder.is_dir():
        return folder
    pretrained = given.get("pretrained", embedded.NAME)
    if fitting != "calibration" and pretrained != embedded.NAME:
        there = "--predictors names none" if folder is None else f"there is none at {folder}"
        model, output = shlex.quote(str(pretrained)), shlex.quote(str(folder or f"FOLDER/{method}"))
        raise PredictorError(
            f"method {method!r} needs a fitted predictor and {there}: make it with "
            f"eosbench fit --method {method} --pretrained {model} --data ... --output {output}"
        )
    return None


def _without(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}
