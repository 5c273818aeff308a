"""A short hash of everything an answer depends on: what response caches, results files and
baselines are compared by.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from eosbench.backbone import BackboneSpec
from model_adapters.varlen_dlm.arguments import Arguments


def predictor_digest(folder: Path | None) -> str | None:
    """SHA-256 over a predictor folder's config and weights, None for a method without one."""
    if folder is None:
        return None
    digest = hashlib.sha256()
    for path in sorted(
        path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors", ".txt")
    ):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


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
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
