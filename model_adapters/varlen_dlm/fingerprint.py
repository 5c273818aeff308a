"""A short hash of everything an answer depends on: what response caches, results files and
baselines are compared by.
"""

from __future__ import annotations

from pathlib import Path

from eosbench.backbone import BackboneSpec
from eosbench.digest import digest_of_json, digest_of_parts
from model_adapters.varlen_dlm.arguments import Arguments


def predictor_digest(folder: Path | None) -> str | None:
    """SHA-256 over a predictor folder's config and weights, None for a method without one."""
    if folder is None:
        return None
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors", ".txt")
    )
    return digest_of_parts(path.name.encode() + path.read_bytes() for path in paths)


def settings_fingerprint(spec: BackboneSpec, arguments: Arguments, predictor: str | None) -> str:
    """16 hex digits over backbone, method, predictor and generation settings; device and batch size
    do not enter.
    """
    facts = {
        "backbone": spec.fingerprint,
        "mask": spec.mask_id,
        "eos": sorted(spec.eos_ids),
        "predictor": predictor,
        "options": arguments.options,
        **arguments.settings(),
    }
    return digest_of_json(facts)
