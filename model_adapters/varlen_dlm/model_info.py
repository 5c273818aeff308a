"""What a run says about itself in the results file: the block `config["eosbench"]` that the report
and the check read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import eosbench
from eosbench import embedded
from eosbench.backbone import Backbone
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
    """The block's content; docs/results-format.md describes each field."""
    spec = backbone.spec
    # None: the method predicts no bound.
    fitted = method if isinstance(method, FittedPredictor) else None
    options = method.predictor.options if isinstance(method, FittedPredictor) else method.options
    return {
        "schema": BLOCK_SCHEMA,
        "version": eosbench.__version__,
        "backbone": {
            "name": arguments.pretrained,
            "family": spec.family,
            "fingerprint": spec.fingerprint,
            "dtype": str(backbone.dtype).removeprefix("torch."),
            "mask_id": spec.mask_id,
            "eos_ids": sorted(spec.eos_ids),
            "pad_id": spec.pad_id,
        },
        "method": arguments.method,
        "method_options": dict(options),
        "predictor": arguments.predictor
        or (embedded.NAME if arguments.predictor_folder() else None),
        "predictor_fit": None if fitted is None else _fit(fitted),
        "calibration": None if fitted is None else _promise(arguments, fitted),
        "rounding": arguments.rounding if fitted else None,
        "overflow": arguments.overflow if fitted else None,
        "canvas": arguments.max_gen_toks,
        "decoding": arguments.settings(),
        "fingerprint": fingerprint,
        "costs": {task: dict(cost) for task, cost in costs.items()},
    }


def _fit(fitted: FittedPredictor) -> dict[str, Any] | None:
    """What the predictor's folder says of its fit: two predictors that differ in `seed` alone are
    repeats of one fit.
    """
    said = {
        name: part if isinstance(part := fitted.info.get(name), Mapping) else {}
        for name in ("fit", "data", "calibration")
    }
    if not said["fit"]:
        return None
    digests = {
        name: part.get("digest") for name, part in said["data"].items() if isinstance(part, Mapping)
    }
    settings = said["fit"].get("settings") or {}
    return {
        "seed": said["fit"].get("seed"),
        **digests,
        "scale": said["calibration"].get("scale"),
        **settings,
    }


def _promise(arguments: Arguments, fitted: FittedPredictor) -> dict[str, Any] | None:
    """What the bounds are calibrated for; None where they are not calibrated."""
    promise, calibration = arguments.promise, fitted.calibration
    if calibration is None or promise is None:
        return None
    return {
        "kind": promise.kind.name,
        **promise.settings(),
        "samples": calibration.documents,
    }
