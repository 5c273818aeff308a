"""The training of a model by `eosbench train`, as its results files tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from eosbench import embedded
from eosbench.digest import digest_of_json


def training_record(
    pretrained: str, revision: str | None = None, subfolder: str = ""
) -> dict[str, Any]:
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
