"""The embedded model and its fitted predictors, one per method.

The model is a small checkpoint in LLaDA's format, trained on the embedded benchmark. `varlen_dlm`
runs it when no other is named, so that every command works anywhere. `make embedded-model` makes
all of it (eosbench/recipe/make.py); docs/embedded-model.md has the numbers.
"""

from __future__ import annotations

from pathlib import Path

NAME = "embedded"  # pretrained=embedded
CANVAS = 256
BLOCK_LENGTH = 32
METHOD = "classification"
MODEL = Path(__file__).parent / "model"


def predictor_folder(method: str) -> Path | None:
    """The folder of a method's embedded predictor; None where it has none (`fixed`, `oracle`)."""
    folder = Path(__file__).parent / "predictors" / method
    return folder if folder.is_dir() else None
