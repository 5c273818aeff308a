"""Training of masked diffusion models: `eosbench train`.

    from eosbench.training import parse, train
    train(*parse(["eospad", "--pretrained", "...", "--output", "out/eospad"]), load=load_trainable)

What needs torch is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from eosbench.training.arguments import describe, parse, recipe_names
from eosbench.training.settings import Settings

if TYPE_CHECKING:
    from eosbench.training.layout import Document
    from eosbench.training.monitor import held_out_metrics
    from eosbench.training.protocol import TrainableModel
    from eosbench.training.run import train

_LAZY = {
    "Document": "layout",
    "TrainableModel": "protocol",
    "held_out_metrics": "monitor",
    "train": "run",
}

__all__ = [
    "Document",
    "Settings",
    "TrainableModel",
    "describe",
    "held_out_metrics",
    "parse",
    "recipe_names",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
