"""Several methods through lm-eval in one process: `eosbench sweep`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from eosbench.sweep.choice import chosen_methods

if TYPE_CHECKING:
    from eosbench.sweep.evaluation import sweep
    from eosbench.sweep.grid import Grid

# What needs torch and lm-eval is imported when it is asked for.
_LAZY = {"Grid": "eosbench.sweep.grid", "sweep": "eosbench.sweep.evaluation"}

__all__ = ["Grid", "chosen_methods", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
