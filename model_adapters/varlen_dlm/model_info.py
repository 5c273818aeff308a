"""The block `config["eosbench"]` of a results file, in which a run describes itself.

The report and the check read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

import eosbench
from eosbench import embedded
from eosbench.backbone import Backbone
from eosbench.digest import digest_of_json
from eosbench.predictors import FittedPredictor
from eosbench.results import BLOCK_SCHEMA
from eosbench.strategies import Strategy
from model_adapters.varlen_dlm.arguments import Arguments


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
            **_training(arguments.pretrained, arguments.revision, arguments.subfolder),
        },
        "method": arguments.method,
        "method_options": dict(options),
        "predictor": predictor,
        "predictor_fit": None if fitted is None else _fit(fitted),
        "calibration": None if fitted is None else _promise(arguments, fitted),
        **_expected_cost(arguments, fitted),
        "rounding": arguments.rounding if fitted else None,
        "overflow": arguments.overflow if fitted else None,
        "canvas": arguments.max_gen_toks,
        "decoding": arguments.settings(),
        "fingerprint": fingerprint,
        "costs": {task: dict(cost) for task, cost in costs.items()},
    }


def _training(pretrained: str, revision: str | None = None, subfolder: str = "") -> dict[str, Any]:
    """The training of a model by `eosbench train`, as its training.json has it; else nothing."""
    try:
        folder = embedded.MODEL if pretrained == embedded.NAME else Path(pretrained)
        path: Any = folder / subfolder / "training.json"
        if not folder.is_dir():  # a hub id: what is not in the cache was not downloaded with it
            name = f"{subfolder}/training.json".lstrip("/")
            path = try_to_load_from_cache(pretrained, name, revision=revision)
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        told = {**record["settings"], **record["arguments"]}
        for name in ("output", "resume", "seed", "data_seed"):
            told.pop(name, None)
        return {
            "recipe": record["recipe"],
            "training_seed": record["seed"],
            "training_steps": record["steps"],
            "training_start": record["start"]["fingerprint"],
            "training_data": record["data"].get("digest"),
            "training_settings": digest_of_json(told),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # another's model, or another's file of that name; no run is lost for it


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
