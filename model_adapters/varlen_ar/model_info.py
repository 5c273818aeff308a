"""The block `config["eosbench"]` of a results file, in the shape that `varlen_dlm` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import eosbench
from eosbench.digest import digest_of_json
from eosbench.results import BLOCK_SCHEMA
from model_adapters.varlen_dlm import training_record

if TYPE_CHECKING:
    from model_adapters.varlen_ar.model import VarLenAR

METHOD = "autoregressive"
# Arguments of `hf` on which no answer depends, or which are said otherwise.
_NO_SETTINGS = ("device", "batch_size", "max_batch_size", "parallelize", "tokenizer")


def model_info(model: VarLenAR, costs: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The content of the block; docs/results-format.md describes each field.

    Args:
        model: the model.
        costs: of each task.
    """
    spec = model.spec
    given = {name: one for name, one in model.given.items() if name not in _NO_SETTINGS}
    decoding = {
        "method": METHOD,
        "dtype": str(model.model.dtype).removeprefix("torch."),
        "max_gen_toks": model.max_gen_toks,
        **{name: one for name, one in given.items() if isinstance(one, str | int | float)},
    }
    revision, subfolder = given.get("revision"), given.get("subfolder") or ""
    return {
        "schema": BLOCK_SCHEMA,
        "version": eosbench.__version__,
        "backbone": {
            "name": spec.name,
            "family": spec.family,
            "fingerprint": spec.fingerprint,
            "attention": spec.attention,
            "dtype": decoding["dtype"],
            "mask_id": None,
            "eos_ids": sorted(spec.eos_ids),
            "pad_id": spec.pad_id,
            **training_record(spec.name, revision, subfolder),
        },
        "method": METHOD,
        "method_options": {},
        "predictor": None,
        "predictor_fit": None,
        "calibration": None,
        "rounding": None,
        "overflow": None,
        "canvas": model.max_gen_toks,
        "decoding": decoding,
        "fingerprint": digest_of_json({"backbone": spec.fingerprint, **decoding}),
        "costs": {task: dict(cost) for task, cost in costs.items()},
    }
