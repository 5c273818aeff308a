"""The part of the canvas that a method reads: its option `step_zero`.

Every method that reads the model has the option, and holds the view as `view`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eosbench.canvas_view import FULL, PROMPT, CanvasView
from eosbench.errors import ConfigurationError
from eosbench.predictors.methods import row_of

if TYPE_CHECKING:
    from eosbench.predictors.protocol import Predictor

OPTION = "step_zero"

__all__ = ["OPTION", "check_step_zero", "folder_name", "view_of"]


def folder_name(method: str, view: CanvasView) -> str:
    """The folder of a method's predictor among those of other methods and parts of the canvas.

    >>> folder_name("logit", FULL), folder_name("logit", CanvasView.of("grid:31"))
    ('logit', 'logit-grid-31')
    """
    return method if view == FULL else f"{method}-{view}".replace(":", "-")


def view_of(predictor: Predictor) -> CanvasView:
    """The part of the canvas that step zero runs for a predictor."""
    view: CanvasView = getattr(predictor, "view", FULL)
    return view


def check_step_zero(method: str, options: Mapping[str, Any], *, has_folder: bool = False) -> None:
    """Refuses a `step_zero` that the method cannot read, before anything is loaded.

    Args:
        method: a name of METHODS.
        options: of the method.
        has_folder: whether a predictor's folder holds further options.

    Raises:
        ConfigurationError: it is no value of the option, or it shows no canvas to a method that
            reads one.
    """
    if CanvasView.of(str(options.get(OPTION, FULL))) != PROMPT:
        return
    if "pooling" not in row_of(method).options():
        raise ConfigurationError(
            f"method {method!r} reads positions of the canvas, and step_zero=prompt runs none: "
            "take step_zero=grid:31, or method=average_regression with pooling=prompt"
        )
    pooling = options.get("pooling", "prompt" if has_folder else "both")
    if pooling != "prompt":
        raise ConfigurationError(
            f"method {method!r} with pooling={pooling} reads the canvas, and step_zero=prompt runs "
            "none: take pooling=prompt beside it"
        )
