"""Tensors of a predictor folder: the weights and the calibration.

They are called `module.<parameter>`, `calibration.<unmasked fraction>` (scores) and
`calibration_documents.<what>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eosbench.bounds import Calibration
from eosbench.errors import PredictorError
from eosbench.predictors.config import CONFIG, WEIGHTS
from eosbench.predictors.protocol import FittedPredictor, Predictor

MODULE, SCORES, DOCUMENTS = "module.", "calibration.", "calibration_documents."

__all__ = ["all_tensors", "calibration_of", "restore_weights"]


def all_tensors(fitted: FittedPredictor) -> dict[str, torch.Tensor]:
    """Everything that model.safetensors holds of a predictor, on the CPU."""
    module = _module_of(fitted.predictor)
    weights = {} if module is None else module.state_dict()
    tensors = {
        f"{MODULE}{name}": weight.detach().cpu().contiguous() for name, weight in weights.items()
    }
    if fitted.calibration is not None:
        tensors |= _calibration_tensors(fitted.calibration)
    return tensors


def calibration_of(
    tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any]
) -> Calibration | None:
    """The calibration that the tensors and config.json hold, None where there are no scores."""
    scores = {
        float(name.removeprefix(SCORES)): tensor.numpy()
        for name, tensor in tensors.items()
        if name.startswith(SCORES)
    }
    if not scores:
        return None
    length, prompt_length = (
        tensors.get(f"{DOCUMENTS}{name}") for name in ("length", "prompt_length")
    )
    return Calibration(
        scores,
        config["calibration"]["scale"],
        length_N=None if length is None else length.numpy(),
        prompt_length_N=None if prompt_length is None else prompt_length.numpy(),
        edges=config["calibration"].get("edges", {}),
    )


def restore_weights(
    folder: Path, predictor: Predictor, tensors: Mapping[str, torch.Tensor], device: str
) -> None:
    """Puts the weights into the module of the predictor, if it has one.

    Raises:
        PredictorError: they are not those that config.json describes.
    """
    module = _module_of(predictor)
    if module is None:
        return
    weights = {
        name.removeprefix(MODULE): tensor
        for name, tensor in tensors.items()
        if name.startswith(MODULE)
    }
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise PredictorError(
            f"predictor '{folder}': {WEIGHTS} does not hold the weights that {CONFIG} describes: "
            f"{error}"
        ) from error
    module.to(device).eval()


def _calibration_tensors(calibration: Calibration) -> dict[str, torch.Tensor]:
    documents = {"length": calibration.length_N, "prompt_length": calibration.prompt_length_N}
    arrays = {f"{SCORES}{fraction:g}": scores for fraction, scores in calibration.scores.items()}
    for name, value_N in documents.items():
        if value_N is not None:
            arrays[f"{DOCUMENTS}{name}"] = value_N
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _module_of(predictor: Predictor) -> torch.nn.Module | None:
    module: torch.nn.Module | None = getattr(predictor, "module", None)
    return module
