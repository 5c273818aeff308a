"""A fitted predictor on disk: `config.json` (what it is, fitted for what and on what), `model.safetensors` (weights, scores).

Tensors are called `module.<parameter>` and `calibration.<unmasked fraction>`; a method's text files (a tokenizer) stand beside
them. A folder is bound to the backbone's fingerprint even where a method reads only text: lengths are counted in its tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eosbench.bounds import Calibration
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.predictors import build
from eosbench.predictors.protocol import FittedPredictor, Predictor

if TYPE_CHECKING:
    from eosbench.backbone import Backbone

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
REQUIRED = ("method", "options", "canvas", "backbone", "calibration", "files")


def save_folder(folder: Path, fitted: FittedPredictor, *, backbone: Backbone, canvas: int) -> FittedPredictor:
    """Writes a fitted predictor; what `fitted.info` says of its fit goes into config.json. Returns it with that as its info."""
    predictor, calibration = fitted.predictor, fitted.calibration
    tensors = {f"module.{name}": tensor.detach().cpu().contiguous() for name, tensor in _state(predictor).items()}
    if calibration is not None:
        tensors |= {f"calibration.{fraction:g}": torch.from_numpy(scores) for fraction, scores in calibration.scores.items()}
    files: Mapping[str, str] = getattr(predictor, "files", {})
    config = {
        "eosbench_predictor": FORMAT,
        "method": fitted.method,
        "options": predictor.options,
        "canvas": canvas,
        "backbone": {name: getattr(backbone.spec, name) for name in ("name", "family", "fingerprint", "width")},
        "calibration": None if calibration is None else {"scale": calibration.scale},
        "files": sorted(files),
        **fitted.info,
        "versions": {name: version(name) for name in ("numpy", "torch", "transformers")},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:  # an error leaves no half of a predictor
        for name, text in {**files, CONFIG: json.dumps(config, indent=2) + "\n"}.items():
            Path(unfinished, name).write_text(text, encoding="utf-8")
        save_file(tensors, Path(unfinished, WEIGHTS))
        folder.mkdir(exist_ok=True)
        for name in (*files, WEIGHTS, CONFIG):
            Path(unfinished, name).replace(folder / name)
    return replace(fitted, info=config)


def load_folder(
    folder: Path, method: str, *, backbone: Backbone, canvas: int, device: str, options: Mapping[str, Any] | None = None
) -> FittedPredictor:
    """What `save_folder` wrote, checked against what it is to be used for.

    Raises:
        ConfigurationError: an option that contradicts the folder's.
        PredictorError: the folder is missing, broken, of another method, or fitted for another backbone or canvas.
    """
    config = _read_config(folder)
    _check(folder, config, method, backbone, canvas)
    for name, value in (options or {}).items():
        if config["options"].get(name) != value:
            raise ConfigurationError(
                f"predictor '{folder}' was fitted with {name}={config['options'].get(name)!r}, asked for is {value!r}: "
                "leave the option out, or fit again with it"
            )
    try:
        tensors = load_file(folder / WEIGHTS)
        files = {name: (folder / Path(name).name).read_text(encoding="utf-8") for name in config["files"]}
    except (OSError, SafetensorError) as error:
        raise PredictorError(f"predictor '{folder}' cannot be read: {error}: fit it again with eosbench fit") from error
    predictor = build(method, backbone=backbone, canvas=canvas, options=config["options"], files=files)
    _restore(folder, predictor, tensors, device)
    scores = {
        float(name.removeprefix("calibration.")): t.numpy() for name, t in tensors.items() if name.startswith("calibration.")
    }
    calibration = Calibration({u: np.asarray(s) for u, s in scores.items()}, config["calibration"]["scale"]) if scores else None
    return FittedPredictor(method, predictor, calibration, config)


def _state(predictor: Predictor) -> dict[str, torch.Tensor]:
    module: torch.nn.Module | None = getattr(predictor, "module", None)
    return {} if module is None else module.state_dict()


def _restore(folder: Path, predictor: Predictor, tensors: Mapping[str, torch.Tensor], device: str) -> None:
    """Puts the weights into the predictor's module, if it has one."""
    module: torch.nn.Module | None = getattr(predictor, "module", None)
    if module is None:
        return
    weights = {name.removeprefix("module."): tensor for name, tensor in tensors.items() if name.startswith("module.")}
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise PredictorError(
            f"predictor '{folder}': {WEIGHTS} does not hold the weights that {CONFIG} describes: {error}"
        ) from error
    module.to(device).eval()


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise PredictorError(
            f"no predictor folder '{folder}': expected a folder with {CONFIG} and {WEIGHTS}, as eosbench fit writes it"
        )
    try:
        config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PredictorError(f"predictor '{folder}': {CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("eosbench_predictor") != FORMAT:
        raise PredictorError(f"predictor '{folder}': {CONFIG} is not one of eosbench's predictors (eosbench_predictor={FORMAT})")
    missing = [name for name in REQUIRED if name not in config]
    if missing:
        raise PredictorError(f"predictor '{folder}': {CONFIG} lacks {', '.join(missing)}")
    return config


def _check(folder: Path, config: Mapping[str, Any], method: str, backbone: Backbone, canvas: int) -> None:
    again = f"fit it again with eosbench fit --method {method} --pretrained {backbone.spec.name or '...'}"
    if config["method"] != method:
        raise PredictorError(
            f"predictor '{folder}' is a {config['method']!r}, asked for is {method!r}: choose method={config['method']}"
        )
    fitted_for, this = config["backbone"]["fingerprint"], backbone.spec.fingerprint
    if fitted_for != this:
        raise PredictorError(f"predictor '{folder}' was fitted for backbone {fitted_for}, this one is {this}: {again}")
    if config["canvas"] != canvas:
        raise PredictorError(
            f"predictor '{folder}' was fitted for a canvas of {config['canvas']}, this one is {canvas}: "
            f"choose a canvas of {config['canvas']}, or {again}"
        )
