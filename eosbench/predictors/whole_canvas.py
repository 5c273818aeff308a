"""Methods that look at a whole canvas, which models that attend causally between blocks never show.

Such a model decodes block after block, so that no pass of it sees more than the blocks so far.
Methods that read nothing of the model, or its states of the prompt alone, work on it as a cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eosbench.errors import ConfigurationError
from eosbench.predictors.methods import row_of

if TYPE_CHECKING:
    from eosbench.backbone import BackboneSpec

INSTEAD = (
    "take method=blocks, the model's own way to end, or a bound from the prompt alone: fixed, "
    "mean, max, random, prompt_length, oracle, distilbert, or average_regression fitted with "
    "pooling=prompt"
)

__all__ = ["needs_whole_canvas", "refuse_whole_canvas"]


def needs_whole_canvas(method: str, options: Mapping[str, Any]) -> bool:
    """Whether a method looks at positions of the canvas.

    Args:
        method: a name of METHODS.
        options: of its predictor.

    Example:
        >>> needs_whole_canvas("classification", {}), needs_whole_canvas("mean", {})
        (True, False)
        >>> needs_whole_canvas("average_regression", {"pooling": "prompt"})
        False
    """
    return bool(row_of(method).needs) and options.get("pooling") != "prompt"


def refuse_whole_canvas(method: str, spec: BackboneSpec) -> None:
    """Says why a method that looks at a whole canvas cannot work on a model, and what to take.

    Args:
        method: its name.
        spec: of a model that attends causally between blocks.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(
        f"method {method!r} looks at the whole canvas, and {spec.family!r} attends causally "
        f"between blocks, so that no pass shows one: {INSTEAD}"
    )
