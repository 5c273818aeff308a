"""Checkpoint folders, and the blueprint by which a family describes its own."""

from __future__ import annotations

from model_adapters.checkpoints.blueprint import Blueprint, checked_config, own_name, stock_config
from model_adapters.checkpoints.checkpoint import Checkpoint, fingerprint_of_files, open_checkpoint

__all__ = [
    "Blueprint",
    "Checkpoint",
    "checked_config",
    "fingerprint_of_files",
    "open_checkpoint",
    "own_name",
    "stock_config",
]
