"""eosbench measures how long the canvas of a diffusion language model must be.

    import eosbench
    model = eosbench.load("GSAI-ML/LLaDA-8B-Instruct", method="logit", device="cuda")
    model.predict_lengths(["Is 89 an even number?"])

This module runs at the start of every interpreter that has eosbench installed (docs/plugin.md), so
it loads nothing. What it offers beside the version stands in eosbench/api.py, which is imported,
with torch and lm_eval, when it is first asked for.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # typing.TYPE_CHECKING without importing typing
if TYPE_CHECKING:
    from eosbench.api import Generated, Model, PredictedLength, load

__all__ = ["Generated", "Model", "PredictedLength", "__version__", "load"]


def __getattr__(name: str) -> object:
    """One of the names above, from eosbench/api.py."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("eosbench.api"), name)


def __dir__() -> list[str]:
    """The names that are here, loaded or not."""
    return sorted({*globals(), *__all__})
