"""The block `config["eosbench"]` of a results file, in which a run describes itself.

The report and the check read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import eosbench
from eosbench import embedded
from eosbench.backbone import Backbone
from eosbench.predictors import FittedPredictor
from eosbench.results import BLOCK_SCHEMA
from eosbench.strategies import Strategy
from model_adapters.varlen_dlm.arguments import Arguments
from model_adapters.varlen_dlm.training_record import training_record


def model_info(
    arguments: Arguments,
    backbone: Backbone,
    method: FittedPredictor | Strategy,
    fingerprint: str,
    costs: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """The content of the block; docs/results-format.md describes each field.

    Args:
        arguments: of the model.
        backbone: the model itself.
        method: the fitted predictor, or the strategy.
        fingerprint: of the settings.
        costs: of each task.
    """
    spec = backbone.spec
    predictor = arguments.predictor
    if predictor is None and arguments.predictor_folder() is not None:
        predictor = embedded.NAME
    if isinstance(method, FittedPredictor):
        fitted, options = method, method.predictor.options
    else:  # it predicts no bound
        fitted, options = None, method.options
    return {
        "schema": BLOCK_SCHEMA,
        "version": eosbench.__version__,
        "backbone": {
            "name": arguments.pretrained,
            "family": spec.family,
            "fingerprint": spec.fingerprint,
            "attention": spec.attention,
            "dtype": str(backbone.dtype).removeprefix("torch."),
            "mask_id": spec.mask_id,
            "eos_ids": sorted(spec.eos_ids),
            "pad_id": spec.pad_id,
            **training_record(arguments.pretrained, arguments.revision, arguments.subfolder),
        },
        "method": arguments.method,
        "method_options": dict(options),
        "predictor": predictor,
        "predictor_fit": None if fitted is None else _fit(fitted),
        "calibration": None if fitted is None else _promise(arguments, fitted),
        **_expected_cost(arguments, fitted),
        "rounding": arguments.rounding_of_bounds if fitted else None,
        "window_rounding": arguments.rounding_of_windows if fitted else None,
        "overflow": arguments.overflow if fitted else None,
        "canvas": arguments.max_gen_toks,
        "decoding": arguments.settings(),
        "fingerprint": fingerprint,
        "costs": {task: dict(cost) for task, cost in costs.items()},
    }


def _fit(fitted: FittedPredictor) -> dict[str, Any] | None:
    """The fit as the predictor's folder describes it.

    Two predictors whose descriptions differ in `seed` alone are repeats of one fit.
    """
    fit = _part(fitted, "fit")
    if not fit:
        return None
    documents = {
        name: part for name, part in _part(fitted, "data").items() if isinstance(part, Mapping)
    }
    return {
        "seed": fit.get("seed"),
        **{name: part.get("digest") for name, part in documents.items()},
        "scale": _part(fitted, "calibration").get("scale"),
        **(fit.get("settings") or {}),
    }


def _part(fitted: FittedPredictor, name: str) -> Mapping[str, Any]:
    """A block of the folder's config.json, empty where the folder lacks it."""
    part = fitted.info.get(name)
    return part if isinstance(part, Mapping) else {}


def _expected_cost(arguments: Arguments, fitted: FittedPredictor | None) -> dict[str, Any]:
    """The expected cost of an answer, for bounds that are to cost least; else nothing."""
    promise = arguments.usual_promise
    if fitted is None or fitted.calibration is None or promise is None:
        return {}
    cost = fitted.calibration.expected_cost(promise, canvas=arguments.max_gen_toks)
    return {} if cost is None else {"expected_cost": asdict(cost)}


def _promise(arguments: Arguments, fitted: FittedPredictor) -> dict[str, Any] | None:
    """The promise that the bounds are calibrated for; None where they are not calibrated."""
    promise, calibration = arguments.usual_promise, fitted.calibration
    if calibration is None or promise is None:
        return None
    return {
        "kind": promise.kind.name,
        **promise.settings(),
        "samples": calibration.documents,
    }
