"""A fitted predictor on disk: `config.json`, and `model.safetensors` with weights and scores.

The text files of a method (a tokenizer) and a model card (`README.md`) stand beside them. What
config.json says, and whether it fits, is in config.py; tensors are in tensors.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eosbench.errors import ConfigurationError, PredictorError
from eosbench.places import give_usual_mode, writing
from eosbench.predictors import build
from eosbench.predictors.card import model_card
from eosbench.predictors.config import (
    CONFIG,
    WEIGHTS,
    check_config,
    predictor_config,
    read_config,
)
from eosbench.predictors.methods import row_of
from eosbench.predictors.protocol import FittedPredictor
from eosbench.predictors.tensors import all_tensors, calibration_of, restore_weights
from eosbench.strict_json import strict_dumps

if TYPE_CHECKING:
    from eosbench.backbone import Backbone

logger = logging.getLogger(__name__)
CARD = "README.md"

__all__ = ["load_folder", "save_folder"]


def save_folder(
    folder: Path, fitted: FittedPredictor, *, backbone: Backbone, canvas: int
) -> FittedPredictor:
    """Writes a fitted predictor.

    Args:
        folder: where; an error leaves it as it was.
        fitted: the predictor; what its `info` says of its fit goes into config.json.
        backbone: the one that it was fitted for.
        canvas: C, in tokens.

    Returns:
        The predictor with the content of config.json as its `info`.
    """
    files: Mapping[str, str] = getattr(fitted.predictor, "files", {})
    config = predictor_config(fitted, files, backbone=backbone, canvas=canvas)
    texts = {**files, CARD: model_card(config), CONFIG: strict_dumps(config, indent=2) + "\n"}
    with writing(f"the folder {folder} of a predictor"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # An error leaves no half of a predictor.
        with TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
            for name, text in texts.items():
                Path(unfinished, name).write_text(text, encoding="utf-8")
            save_file(all_tensors(fitted), Path(unfinished, WEIGHTS))
            give_usual_mode(Path(unfinished, WEIGHTS))
            folder.mkdir(exist_ok=True)
            for name in (*files, CARD, WEIGHTS, CONFIG):
                Path(unfinished, name).replace(folder / name)
    return replace(fitted, info=config)


def load_folder(
    folder: Path,
    method: str,
    *,
    backbone: Backbone,
    canvas: int,
    device: str,
    options: Mapping[str, Any] | None = None,
) -> FittedPredictor:
    """The predictor that `save_folder` wrote, checked against what it is to be used for.

    Options that only `predict` reads (`free` of a method, as `tau` of `classification`) may differ
    from those of the folder. The result is not calibrated then, since the scores are those of the
    fitted rule.

    Args:
        folder: where it lies.
        method: the method that it must be of.
        backbone: the one that it must have been fitted for.
        canvas: C, in tokens, likewise.
        device: where its weights go.
        options: options of the method that are asked for.

    Raises:
        ConfigurationError: an option that is not free and differs from that of the folder.
        PredictorError: the folder is missing, broken, of another method, or fitted for another
            backbone or canvas.
    """
    config = read_config(folder)
    check_config(folder, config, method, backbone, canvas)
    fitted = {**_defaults(method), **config["options"]}
    changed = _changed_options(folder, method, fitted, options or {})
    try:
        tensors = load_file(folder / WEIGHTS)
        files = {
            name: (folder / Path(name).name).read_text(encoding="utf-8") for name in config["files"]
        }
    except (OSError, SafetensorError) as error:
        raise PredictorError(
            f"predictor '{folder}' cannot be read: {error}: fit it again with eosbench fit"
        ) from error
    predictor = build(
        method, backbone=backbone, canvas=canvas, options={**fitted, **changed}, files=files
    )
    restore_weights(folder, predictor, tensors, device)
    if changed:
        logger.warning(
            "predictor '%s' was calibrated with %s: with %s its bounds are not calibrated",
            folder,
            {name: fitted[name] for name in changed},
            changed,
        )
        return FittedPredictor(method, predictor, None, config)
    return FittedPredictor(method, predictor, calibration_of(tensors, config), config)


def _defaults(method: str) -> dict[str, Any]:
    """The defaults of a method's options: what a folder holds that was written before them."""
    known = row_of(method).options()
    return {name: one.default for name, one in known.items() if one.default is not one.empty}


def _changed_options(
    folder: Path, method: str, fitted: Mapping[str, Any], asked: Mapping[str, Any]
) -> dict[str, Any]:
    """The free options whose values are not those of the folder.

    Raises:
        ConfigurationError: an option that is not free and differs.
    """
    changed = {
        name: value for name, value in asked.items() if name not in fitted or fitted[name] != value
    }
    free: frozenset[str] = getattr(row_of(method).load(), "free", frozenset())
    for name in changed.keys() - free:
        raise ConfigurationError(
            f"predictor '{folder}' was fitted with {name}={fitted.get(name)!r}, asked for is "
            f"{changed[name]!r}: leave the option out, or fit again with it: "
            f"eosbench fit --method {method} --option {name}={changed[name]} ..."
        )
    return changed
