"""The making of the embedded model: its start, its training, and the fitting of its predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eosbench.recipe.make import TEACHER, make_start

__all__ = ["TEACHER", "make_start"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eosbench.recipe import make

    return getattr(make, name)
