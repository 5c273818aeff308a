"""A fitted predictor on disk: `config.json` (what it is, fitted for what and on what),
`model.safetensors` (weights, scores).

Tensors are called `module.<parameter>`, `calibration.<unmasked fraction>` (scores) and
`calibration_documents.<what>`; a method's text files (a tokenizer) and a model card (`README.md`)
stand beside them. A folder is bound to the backbone's fingerprint and tokenizer even where a method
reads only text: lengths are counted in its tokens.
"""

from __future__ import annotations

import json
import logging
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

from eosbench import embedded
from eosbench.bounds import Calibration
from eosbench.digest import digest_of_json
from eosbench.documents import encode_response
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.predictors import build
from eosbench.predictors.card import model_card
from eosbench.predictors.methods import row_of
from eosbench.predictors.protocol import FittedPredictor, Predictor

if TYPE_CHECKING:
    from eosbench.backbone import Backbone

logger = logging.getLogger(__name__)
FORMAT = 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
# Text that tokenizers cut differently.
PROBE = "Count from 3 to 12: 3, 4 … Größe, naïve, 東京\n\tdef f(x): return x**2"
REQUIRED = ("method", "options", "canvas", "backbone", "calibration", "files")


def save_folder(
    folder: Path, fitted: FittedPredictor, *, backbone: Backbone, canvas: int
) -> FittedPredictor:
    """Writes a fitted predictor; what `fitted.info` says of its fit goes into config.json. Returns
    it with that as its info.
    """
    predictor, calibration = fitted.predictor, fitted.calibration
    tensors = {
        f"module.{name}": tensor.detach().cpu().contiguous()
        for name, tensor in _state(predictor).items()
    }
    if calibration is not None:
        tensors |= _calibration_tensors(calibration)
    files: Mapping[str, str] = getattr(predictor, "files", {})
    spec = backbone.spec
    config = {
        "eosbench_predictor": FORMAT,
        "method": fitted.method,
        "options": predictor.options,
        "canvas": canvas,
        "backbone": {
            "name": _public_name(spec.name),
            "family": spec.family,
            "fingerprint": spec.fingerprint,
            "width": spec.width,
            "dtype": str(backbone.dtype).removeprefix("torch."),
            "tokenizer": tokenizer_digest(backbone.tokenizer),
        },
        "features": {
            name: [*one.shape, str(one.dtype)]
            for name, one in getattr(predictor, "kept", {}).items()
        },
        "calibration": None
        if calibration is None
        else {
            "scale": calibration.scale,
            "documents": calibration.documents,
            "edges": dict(calibration.edges),
        },
        "files": sorted(files),
        **fitted.info,
        "versions": {
            name: version(name)
            for name in ("eosbench", "numpy", "safetensors", "torch", "transformers")
        },
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    # An error leaves no half of a predictor.
    with TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
        for name, text in {
            **files,
            CARD: model_card(config),
            CONFIG: json.dumps(config, indent=2) + "\n",
        }.items():
            Path(unfinished, name).write_text(text, encoding="utf-8")
        save_file(tensors, Path(unfinished, WEIGHTS))
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
    """What `save_folder` wrote, checked against what it is to be used for.

    Options that only `predict` reads (`free` of a method, as `tau` of `classification`) may differ
    from the folder's; what comes out is not calibrated then, since the scores are those of the
    fitted rule.

    Raises: ConfigurationError: another option that contradicts the folder's. PredictorError: the
        folder is missing, broken, of another method, or fitted for another backbone or canvas.
    """
    config = _read_config(folder)
    _check(folder, config, method, backbone, canvas)
    asked, fitted = dict(options or {}), config["options"]
    changed = {
        name: value for name, value in asked.items() if name not in fitted or fitted[name] != value
    }
    for name in changed.keys() - getattr(row_of(method).load(), "free", frozenset()):
        raise ConfigurationError(
            f"predictor '{folder}' was fitted with {name}={fitted.get(name)!r}, asked for is {changed[name]!r}: "
            "leave the option out, or fit again with it"
        )
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
    _restore(folder, predictor, tensors, device)
    if changed:
        logger.warning(
            "predictor '%s' was calibrated with %s: with %s its bounds are not calibrated",
            folder,
            {name: fitted[name] for name in changed},
            changed,
        )
    return FittedPredictor(
        method, predictor, None if changed else _calibration(tensors, config), config
    )


def tokenizer_digest(tokenizer: Any) -> str | None:
    """A short hash of how a tokenizer cuts a text; None where there is no tokenizer."""
    if tokenizer is None:
        return None
    return digest_of_json(encode_response(tokenizer, PROBE))


def _public_name(name: str) -> str:
    """A hub id as it is; of a local folder its last part, since where it lies is nobody's business."""
    if not Path(name).is_dir():
        return name
    return (
        embedded.NAME
        if Path(name).resolve() == embedded.MODEL.resolve()
        else Path(name).resolve().name
    )


def _calibration_tensors(calibration: Calibration) -> dict[str, torch.Tensor]:
    documents = {"length": calibration.length_N, "prompt_length": calibration.prompt_length_N}
    tensors = {
        f"calibration.{fraction:g}": scores for fraction, scores in calibration.scores.items()
    }
    tensors |= {
        f"calibration_documents.{name}": value_N
        for name, value_N in documents.items()
        if value_N is not None
    }
    return {
        name: torch.from_numpy(np.ascontiguousarray(value_N)) for name, value_N in tensors.items()
    }


def _calibration(
    tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> Calibration | None:
    scores = {
        float(name.removeprefix("calibration.")): t.numpy()
        for name, t in tensors.items()
        if name.startswith("calibration.")
    }
    if not scores:
        return None
    length, prompt_length = (
        tensors.get(f"calibration_documents.{name}") for name in ("length", "prompt_length")
    )
    return Calibration(
        scores,
        config["calibration"]["scale"],
        length_N=None if length is None else length.numpy(),
        prompt_length_N=None if prompt_length is None else prompt_length.numpy(),
        edges=config["calibration"].get("edges", {}),
    )


def _state(predictor: Predictor) -> dict[str, torch.Tensor]:
    module: torch.nn.Module | None = getattr(predictor, "module", None)
    return {} if module is None else module.state_dict()


def _restore(
    folder: Path, predictor: Predictor, tensors: Mapping[str, torch.Tensor], device: str
) -> None:
    """Puts the weights into the predictor's module, if it has one."""
    module: torch.nn.Module | None = getattr(predictor, "module", None)
    if module is None:
        return
    weights = {
        name.removeprefix("module."): tensor
        for name, tensor in tensors.items()
        if name.startswith("module.")
    }
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
        raise PredictorError(
            f"predictor '{folder}': {CONFIG} is not one of eosbench's predictors (eosbench_predictor={FORMAT})"
        )
    missing = [name for name in REQUIRED if name not in config]
    if missing:
        raise PredictorError(f"predictor '{folder}': {CONFIG} lacks {', '.join(missing)}")
    return config


def _check(
    folder: Path, config: Mapping[str, Any], method: str, backbone: Backbone, canvas: int
) -> None:
    again = f"fit it again with eosbench fit --method {method} --pretrained {backbone.spec.name or '...'}"
    if config["method"] != method:
        raise PredictorError(
            f"predictor '{folder}' is a {config['method']!r}, asked for is {method!r}: choose method={config['method']}"
        )
    fitted_for, this = config["backbone"]["fingerprint"], backbone.spec.fingerprint
    if fitted_for != this:
        raise PredictorError(
            f"predictor '{folder}' was fitted for backbone {fitted_for}, this one is {this}: {again}"
        )
    tokenizer, its = config["backbone"].get("tokenizer"), tokenizer_digest(backbone.tokenizer)
    if None not in (tokenizer, its) and tokenizer != its:
        raise PredictorError(
            f"predictor '{folder}' was fitted with another tokenizer ({tokenizer}, this one is {its}): {again}"
        )
    dtype, its_dtype = config["backbone"].get("dtype"), str(backbone.dtype).removeprefix("torch.")
    if dtype not in (None, its_dtype):
        logger.warning(
            "predictor '%s' was fitted on %s hidden states, these are %s: bounds may differ a little",
            folder,
            dtype,
            its_dtype,
        )
    if config["canvas"] != canvas:
        raise PredictorError(
            f"predictor '{folder}' was fitted for a canvas of {config['canvas']}, this one is {canvas}: "
            f"choose a canvas of {config['canvas']}, or {again}"
        )
