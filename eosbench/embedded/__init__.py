"""The embedded model: a small LLaDA-format checkpoint trained on the embedded benchmark, with a
fitted predictor per method.

It is what `varlen_dlm` runs when nothing else is named, so that every command works anywhere.
Made by `make embedded-model` (eosbench/fitting/embedded.py); its numbers are in
docs/embedded-model.md.
"""

from __future__ import annotations

from pathlib import Path

NAME = "embedded"  # pretrained=embedded
CANVAS = 256
BLOCK_LENGTH = 32
METHOD = "classification"
MODEL = Path(__file__).parent / "model"


def predictor_folder(method: str) -> Path | None:
    """The embedded predictor of a method, None where the method has none (`fixed`, `oracle`)."""
    folder = Path(__file__).parent / "predictors" / method
    return folder if folder.is_dir() else None
