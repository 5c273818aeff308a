"""The weights of a checkpoint beside those of the encoder that its config.json describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eosbench.errors import PredictorError

NAMED = 3  # weights that a message names

__all__ = ["check_weights"]


def check_weights(name: str, model: Any, info: Mapping[str, Any]) -> None:
    """Refuses a checkpoint whose body is not that of its config.json.

    Args:
        name: of the encoder, for the message.
        model: as it was loaded.
        info: what transformers says of the loading (`output_loading_info=True`).

    Raises:
        PredictorError: weights that are missing, of another shape, or of layers too many.
    """
    parts = {part for part, _ in model.named_children()} - {"pooler"}
    beside = []
    for key in map(str, info["unexpected_keys"]):
        own = key.removeprefix(f"{model.base_model_prefix}.")
        if own.partition(".")[0] in parts and own.endswith((".weight", ".bias")):
            beside.append(own)
    missing = [key for key in map(str, info["missing_keys"]) if not key.startswith("pooler.")]
    other_shape = [str(key[0]) for key in info["mismatched_keys"]]
    faults = [
        f"{fault} {_listed(keys)}"
        for fault, keys in (
            ("lacks", missing),
            ("holds in another shape", other_shape),
            ("holds beside them", beside),
        )
        if keys
    ]
    if faults:
        raise PredictorError(
            f"the encoder {name!r} does not hold the weights of the {type(model).__name__} that "
            f"its config.json describes: it {'; it '.join(faults)}. Expected all of them: download "
            "the checkpoint again, or name one whose weights fit its config.json"
        )


def _listed(keys: list[str]) -> str:
    """The first names, and the number of the others."""
    first = ", ".join(sorted(keys)[:NAMED])
    return f"{first} and {len(keys) - NAMED} more" if len(keys) > NAMED else first
