"""The making of the embedded model: its start, its training, and the fitting of its predictors.

And the start of its autoregressive twin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eosbench.recipe.autoregressive import make_causal_start
    from eosbench.recipe.make import TEACHER, make_start

__all__ = ["TEACHER", "make_causal_start", "make_start"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "make_causal_start":
        from eosbench.recipe import autoregressive

        return autoregressive.make_causal_start
    from eosbench.recipe import make

    return getattr(make, name)
