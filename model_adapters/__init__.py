"""Families of diffusion language models, and the lm-eval model `varlen_dlm` on top of them.

    from model_adapters import load_backbone
    backbone = load_backbone("GSAI-ML/LLaDA-8B-Instruct", device="cuda", dtype="bfloat16")

Importing this package loads neither torch nor lm_eval; `load_backbone` does when it is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from model_adapters.dtypes import dtype_name
from model_adapters.hub import resolve_folder
from model_adapters.loading import attends_between_blocks, load_backbone

if TYPE_CHECKING:
    from model_adapters.export import save_llada
    from model_adapters.trainable import Trainable, load_trainable

__all__ = [
    "Trainable",
    "attends_between_blocks",
    "dtype_name",
    "load_backbone",
    "load_trainable",
    "resolve_folder",
    "save_llada",
]
# What needs torch is imported when it is asked for.
_LAZY = {"Trainable": "trainable", "load_trainable": "trainable", "save_llada": "export"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
