"""A short hash of everything that an answer depends on.

Response caches, results files and baselines are compared by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eosbench.backbone import BackboneSpec
from eosbench.digest import digest_of_json, digest_of_parts
from model_adapters.varlen_dlm.arguments import Arguments


def predictor_digest(folder: Path | None) -> str | None:
    """A short hash of the files of a predictor's folder, None for a method without a folder."""
    if folder is None:
        return None
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors", ".txt")
    )
    return digest_of_parts(path.name.encode() + path.read_bytes() for path in paths)


def settings_fingerprint(
    spec: BackboneSpec,
    arguments: Arguments,
    predictor: str | None,
    fitted: Mapping[str, Any],
) -> str:
    """16 hex digits that tell settings apart under which answers may differ.

    Backbone, method, predictor and generation settings enter; device and batch size do not, nor
    does an option that says what would hold without it.

    Args:
        spec: of the backbone.
        arguments: of the model.
        predictor: the digest of the predictor's folder, None without one.
        fitted: the options that the folder holds, none without one.
    """
    defaults = {name: one.default for name, one in arguments.row.options().items()}
    untold = {**defaults, **fitted}
    facts = {
        "backbone": spec.fingerprint,
        "mask": spec.mask_id,
        "eos": sorted(spec.eos_ids),
        "predictor": predictor,
        "options": {
            name: value for name, value in arguments.options.items() if untold[name] != value
        },
        **arguments.settings(),
    }
    return digest_of_json(facts)
