"""config.json of a predictor folder: what the predictor is, fitted for what and on what.

A folder is bound to the fingerprint and tokenizer of its backbone even where a method reads only
text: lengths are counted in its tokens.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosbench import embedded
from eosbench.digest import digest_of_json
from eosbench.documents import encode_response
from eosbench.errors import PredictorError
from eosbench.places import is_there
from eosbench.predictors.protocol import FittedPredictor

if TYPE_CHECKING:
    from eosbench.backbone import Backbone
    from eosbench.bounds import Calibration

logger = logging.getLogger(__name__)
FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Text that tokenizers cut differently.
PROBE = "Count from 3 to 12: 3, 4 … Größe, naïve, 東京\n\tdef f(x): return x**2"
REQUIRED = ("method", "options", "canvas", "backbone", "calibration", "files")
PACKAGES = ("eosbench", "numpy", "safetensors", "torch", "transformers")

__all__ = ["CONFIG", "WEIGHTS", "check_config", "predictor_config", "public_name", "read_config"]


def predictor_config(
    fitted: FittedPredictor, files: Mapping[str, str], *, backbone: Backbone, canvas: int
) -> dict[str, Any]:
    """The content of config.json.

    Args:
        fitted: the predictor; its `info` is taken over.
        files: the text files of the method, by name.
        backbone: the one that it was fitted for.
        canvas: C, in tokens.
    """
    spec = backbone.spec
    kept = getattr(fitted.predictor, "kept", {})
    return {
        "eosbench_predictor": FORMAT,
        "method": fitted.method,
        "options": fitted.predictor.options,
        "canvas": canvas,
        "backbone": {
            "name": public_name(spec.name),
            "family": spec.family,
            "fingerprint": spec.fingerprint,
            "width": spec.width,
            "dtype": _dtype_of(backbone),
            "tokenizer": _tokenizer_digest(backbone.tokenizer),
        },
        "features": {name: [*one.shape, str(one.dtype)] for name, one in kept.items()},
        "calibration": _facts_of(fitted.calibration),
        "files": sorted(files),
        **fitted.info,
        "versions": {name: version(name) for name in PACKAGES},
    }


def read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json.

    Raises:
        PredictorError: there is no such folder or file, or it is not that of a predictor.
    """
    if not (is_there(folder) and folder.is_dir()):
        raise PredictorError(
            f"no predictor folder '{folder}': expected a folder with {CONFIG} and {WEIGHTS}, as "
            "eosbench fit writes it"
        )
    try:
        config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictorError(f"predictor '{folder}': {CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("eosbench_predictor") != FORMAT:
        raise PredictorError(
            f"predictor '{folder}': {CONFIG} is not one of eosbench's predictors "
            f"(eosbench_predictor={FORMAT})"
        )
    missing = [name for name in REQUIRED if name not in config]
    if missing:
        raise PredictorError(f"predictor '{folder}': {CONFIG} lacks {', '.join(missing)}")
    return config


def check_config(
    folder: Path, config: Mapping[str, Any], method: str, backbone: Backbone, canvas: int
) -> None:
    """Checks that a predictor is used for what it was fitted for.

    Hidden states of another dtype are a warning.

    Raises:
        PredictorError: another method, backbone, tokenizer or canvas.
    """
    again = (
        f"fit it again with eosbench fit --method {method} "
        f"--pretrained {shlex.quote(backbone.spec.name or 'MODEL')}"
    )
    if config["method"] != method:
        raise PredictorError(
            f"predictor '{folder}' is a {config['method']!r}, asked for is {method!r}: "
            f"choose method={config['method']}"
        )
    fitted_for, this = config["backbone"]["fingerprint"], backbone.spec.fingerprint
    if fitted_for != this:
        raise PredictorError(
            f"predictor '{folder}' was fitted for backbone {fitted_for}, this one is {this}: "
            f"{again}"
        )
    tokenizer, its = config["backbone"].get("tokenizer"), _tokenizer_digest(backbone.tokenizer)
    if None not in (tokenizer, its) and tokenizer != its:
        raise PredictorError(
            f"predictor '{folder}' was fitted with another tokenizer ({tokenizer}, this one is "
            f"{its}): {again}"
        )
    dtype, its_dtype = config["backbone"].get("dtype"), _dtype_of(backbone)
    if dtype not in (None, its_dtype):
        logger.warning(
            "predictor '%s' was fitted on %s hidden states, these are %s: "
            "bounds may differ a little",
            folder,
            dtype,
            its_dtype,
        )
    if config["canvas"] != canvas:
        raise PredictorError(
            f"predictor '{folder}' was fitted for a canvas of {config['canvas']}, this one is "
            f"{canvas}: choose a canvas of {config['canvas']}, or {again} --canvas {canvas}"
        )


def _facts_of(calibration: Calibration | None) -> dict[str, Any] | None:
    """The facts of a calibration that stand in config.json; its scores are tensors."""
    if calibration is None:
        return None
    return {
        "scale": calibration.scale,
        "documents": calibration.documents,
        "edges": dict(calibration.edges),
    }


def public_name(name: str) -> str:
    """A hub id as it is; the last part of a local folder, whose place is nobody's business."""
    folder = Path(name)
    if not (is_there(folder) and folder.is_dir()):
        return name
    if folder.resolve() == embedded.MODEL.resolve():
        return embedded.NAME
    return folder.resolve().name


def _dtype_of(backbone: Backbone) -> str:
    return str(backbone.dtype).removeprefix("torch.")


def _tokenizer_digest(tokenizer: Any) -> str | None:
    """A short hash of how a tokenizer cuts a text; None where there is no tokenizer."""
    if tokenizer is None:
        return None
    return digest_of_json(encode_response(tokenizer, PROBE))
