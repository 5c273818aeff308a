"""Length-prediction methods, by name.

    fitted = load_predictor("classification", "heads/cls", backbone=backbone, canvas=256)

To add a method, add a file with a class (see protocol.py) and a row to METHODS (methods.py).
Nothing is imported before it is asked for, so that the table can be listed without torch.
"""

from __future__ import annotations

import importlib
import inspect
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosbench.errors import PredictorError
from eosbench.predictors.methods import FACTS, METHODS, THE_FIVE, Method, row_of
from eosbench.predictors.protocol import (
    Features,
    FineTuning,
    FittedPredictor,
    Kept,
    LearnedPredictor,
    LengthsPredictor,
    Predictor,
    PromptsPredictor,
    check_share,
    refuse_promise,
)
from eosbench.predictors.views import OPTION as STEP_ZERO
from eosbench.predictors.views import check_step_zero, folder_name, view_of
from eosbench.predictors.whole_canvas import needs_whole_canvas, refuse_whole_canvas

if TYPE_CHECKING:
    from eosbench.backbone import Backbone
    from eosbench.predictors.folder import save_folder
    from eosbench.predictors.heads import device_of
    from eosbench.predictors.hub import local_folder, push
    from eosbench.predictors.reader import LengthReader, Reading

# These need torch or the hub, and are imported when they are asked for.
_LAZY = {
    "LengthReader": "eosbench.predictors.reader",
    "Reading": "eosbench.predictors.reader",
    "device_of": "eosbench.predictors.heads",
    "local_folder": "eosbench.predictors.hub",
    "push": "eosbench.predictors.hub",
    "save_folder": "eosbench.predictors.folder",
}

__all__ = [
    "METHODS",
    "STEP_ZERO",
    "THE_FIVE",
    "Features",
    "FineTuning",
    "FittedPredictor",
    "Kept",
    "LearnedPredictor",
    "LengthReader",
    "LengthsPredictor",
    "Method",
    "Predictor",
    "PromptsPredictor",
    "Reading",
    "build",
    "check_share",
    "check_step_zero",
    "device_of",
    "folder_name",
    "load_predictor",
    "local_folder",
    "needs_whole_canvas",
    "push",
    "refuse_promise",
    "refuse_whole_canvas",
    "row_of",
    "save_folder",
    "view_of",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def load_predictor(
    method: str,
    folder: str | Path | None = None,
    *,
    backbone: Backbone,
    canvas: int,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> FittedPredictor:
    """A method ready to predict.

    Args:
        method: a name of METHODS.
        folder: made by `eosbench fit`. Without one only zero-shot methods work, uncalibrated.
        backbone: the model that is evaluated; the folder must have been fitted for it.
        canvas: C, in tokens; the folder must have been fitted for it.
        device: of a learned predictor, by default that of the backbone.
        options: of a method without a folder, e.g. {"variant": "threshold", "tau": 0.3}; a folder
            brings its own.

    Raises:
        ConfigurationError: unknown method or option, or an option that contradicts the folder's.
        PredictorError: the folder is needed and not given, missing, broken, or fitted for something
            else.
    """
    row = row_of(method)
    where = str(backbone.device) if device is None else device
    if folder is not None:
        from eosbench.predictors.folder import load_folder

        return load_folder(
            Path(folder), method, backbone=backbone, canvas=canvas, device=where, options=options
        )
    if row.fitting in ("weights", "lengths", "prompts"):
        raise PredictorError(
            f"method {method!r} needs a fitted predictor: pass its folder (predictor=FOLDER), "
            f"which is made by eosbench fit --method {method} "
            f"--pretrained {shlex.quote(backbone.spec.name or 'MODEL')} --data ... --output FOLDER"
        )
    return FittedPredictor(method, build(method, backbone=backbone, canvas=canvas, options=options))


def build(
    method: str,
    *,
    backbone: Backbone,
    canvas: int,
    options: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
) -> Predictor:
    """A predictor with these options; one that learns weights is still untrained.

    Args:
        method: a name of METHODS.
        backbone: the model that it will predict for.
        canvas: C, in tokens.
        options: keywords of the class of the method.
        files: text files of the predictor's folder, by name.

    Raises:
        ConfigurationError: unknown method, an option that it does not have, or a part of the
            canvas that the method cannot read or the model cannot run.
    """
    row = row_of(method)
    row.check_options(method, options or {})
    check_step_zero(method, options or {})
    kind = row.load()
    facts = {"backbone": backbone, "canvas": canvas, "files": files, "width": backbone.spec.width}
    wanted = [name for name in FACTS if name in inspect.signature(kind).parameters]
    predictor: Predictor = kind(**{name: facts[name] for name in wanted}, **(options or {}))
    if row.needs:
        from eosbench.forward import check_view

        check_view(view_of(predictor), backbone.spec)
    return predictor
