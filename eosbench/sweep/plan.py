"""The runs of a sweep: which methods, in which variants, with which model arguments.

A run is one frozen record. Runs of one method that differ only in their promise share a predictor,
and so do their forward passes; a run with a rule of its own has a predictor of its own, and so has
one at another part of the canvas.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eosbench import embedded
from eosbench.canvas_view import FULL, CanvasView
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.places import is_there
from eosbench.predictors import METHODS, STEP_ZERO, folder_name, needs_whole_canvas, row_of
from eosbench.strategies import ALL_METHODS, STRATEGIES
from eosbench.sweep.grid import Grid, Variant
from model_adapters import attends_between_blocks
from model_adapters.varlen_dlm import OF_BOUNDS, OTHER_PROMISES, Arguments, parse_arguments

logger = logging.getLogger(__name__)

__all__ = ["Run", "planned_runs"]


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
        return Path(self.method, self.variant.name.replace(":", "-"))

    @property
    def predictor(self) -> str:
        """The name of its predictor, which runs that differ in alpha alone share."""
        return self.label if self.variant.own_rule else folder_name(self.method, self.variant.view)


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
        predictors: a folder of fitted predictors, one folder per method and part of the canvas.
        grid: levels, rules and parts of the canvas to go through.

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
    for method in _possible(methods, given, predictors, grid.views):
        views = _fitted_views(method, grid.views, given, predictors)
        for variant in replace(grid, views=views).variants(method):
            model_args = _model_args(method, variant, given, predictors)
            run = Run(method, variant, model_args, parse_arguments({**model_args, **flags}))
            runs[run.label] = run
    if not runs:
        raise ConfigurationError(
            "a sweep over no methods that can run: expected all, five, or names with commas"
        )
    return list(runs.values())


def _possible(
    methods: Sequence[str],
    given: Mapping[str, Any],
    predictors: Path | None,
    swept: Sequence[CanvasView],
) -> list[str]:
    """The methods, on a block model without those that could only be fitted for a whole canvas.

    A warning names the others: nobody is to be told to fit what cannot be fitted.
    """
    pretrained = str(given.get("pretrained", embedded.NAME))
    views = swept or [CanvasView.of(str(given.get(STEP_ZERO, FULL)))]
    unfit = [
        method
        for method in methods
        if method in METHODS
        and METHODS[method].fitting == "weights"
        and needs_whole_canvas(method, {})
        and not _fitted_among(method, views, predictors)
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


def _fitted_views(
    method: str, views: Sequence[CanvasView], given: Mapping[str, Any], predictors: Path | None
) -> Sequence[CanvasView]:
    """The parts of the canvas that a method has a fitted predictor for; all where it has for none.

    A warning names the others.
    """
    is_embedded = given.get("pretrained", embedded.NAME) == embedded.NAME
    brings = is_embedded and embedded.predictor_folder(method) is not None
    there = _fitted_among(method, views, predictors)
    fitted = [view for view in views if view in there or (brings and view == FULL)]
    left_out = [str(view) for view in views if view not in fitted]
    if not fitted or not left_out:
        return views
    logger.warning(
        "method %s is left out at step_zero=%s: no predictor was fitted there",
        method,
        ", ".join(left_out),
    )
    return fitted


def _fitted_among(
    method: str, views: Sequence[CanvasView], predictors: Path | None
) -> list[CanvasView]:
    """Those parts of the canvas for which the folder of predictors holds one of a method."""
    if predictors is None:
        return []
    return [view for view in views if (predictors / folder_name(method, view)).is_dir()]


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
    view = CanvasView.of(str(given.get(STEP_ZERO, FULL)))
    folder = None if predictors is None else predictors / folder_name(method, view)
    if folder is not None and folder.is_dir():
        return folder
    pretrained = given.get("pretrained", embedded.NAME)
    if fitting != "calibration" and pretrained != embedded.NAME:
        there = "--predictors names none" if folder is None else f"there is none at {folder}"
        others = [] if predictors is None else sorted(predictors.glob(f"{method}-*"))
        if others:
            there += f" (for another part of the canvas, --step_zero, there is {others[0].name})"
        output = shlex.quote(str(folder or f"FOLDER/{folder_name(method, view)}"))
        part = "" if view == FULL else f"--step_zero {view} "
        raise PredictorError(
            f"method {method!r} needs a fitted predictor and {there}: make it with eosbench fit "
            f"--method {method} --pretrained {shlex.quote(str(pretrained))} --data ... {part}"
            f"--output {output}"
        )
    return None


def _without(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}
