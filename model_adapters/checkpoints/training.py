"""The kind of model that `eosbench train` made, as its training.json says.

A model of the recipe `causal` keeps the mask token that it started with, so that nothing in its
config.json tells it from a diffusion language model on the same architecture.
"""

from __future__ import annotations

import json
from pathlib import Path

RECORD = "training.json"


def trained_causally(folder: Path) -> bool | None:
    """Whether a checkpoint was trained to write one token after another.

    Args:
        folder: of the checkpoint.

    Returns:
        False for a diffusion language model, and None where `eosbench train` did not make it.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        _, settings = record["recipe"], record["settings"]
        return bool(settings.get("noise") == "causal")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # none, or another's file of that name
