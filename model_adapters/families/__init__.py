"""The families of diffusion language models, a file each: how a checkpoint is recognised, and what
its weights are called.

To add a family, write one file with `recognises` and `blueprint`
(model_adapters/checkpoints/blueprint.py) and add one row to FAMILIES: docs/families.md. Nothing
here knows where a checkpoint lives. A family's file is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any

from eosbench.errors import CheckpointError
from model_adapters.families.unsupported import why_unsupported

__all__ = ["FAMILIES", "family_file", "family_of", "recognised", "why_unsupported"]

# Name of a family's file -> the checkpoints it is for. The first whose `recognises` says yes builds
# the backbone.
FAMILIES: dict[str, str] = {
    "llada": "LLaDA-8B-Base, -Instruct, LLaDA-1.5, dLLM-Var",
    "dream": "Dream-v0, Dream-Coder, DiffuCoder",
    "diffugpt": "DiffuGPT-s, -m",
    "diffullama": "DiffuLLaMA",
    "masked_encoder": "BERT, RoBERTa, ModernBERT",
    "a2d": "Qwen3, Qwen2, LLaMA or GPT-2 with a mask token",
}


def family_of(config: dict[str, Any], weights: Collection[str] = (), name: str = "") -> str:
    """Name of the family that a checkpoint belongs to, by its config.json and the names of its
    weights.

    Raises: CheckpointError: none of the table; where the family is known, with the reason why it
        does not fit.

    Example:
        >>> family_of({"model_type": "llada", "architectures": ["LLaDAModelLM"]})
        'llada'
    """
    found = recognised(config, weights)
    unfit = why_unsupported(config, name if found == "a2d" else None)
    if found and unfit is None:
        return found
    says = f"config.json says model_type={config.get('model_type')!r}, architectures={config.get('architectures')!r}"
    supported = "; ".join(f"{family} ({checkpoints})" for family, checkpoints in FAMILIES.items())
    if unfit:
        raise CheckpointError(
            f"{name or 'this checkpoint'} is {unfit.name} ({says}): {unfit.reason}. Supported: {supported}"
        )
    raise CheckpointError(
        f"no supported family: {says}; expected one of: {supported}. A model that brings its own code and returns logits for "
        "every position can be run with trust_remote_code=True"
    )


def recognised(config: dict[str, Any], weights: Collection[str]) -> str | None:
    """Name of the first family whose file recognises the checkpoint, or None."""
    return next((name for name in FAMILIES if family_file(name).recognises(config, weights)), None)


def family_file(family: str) -> Any:
    """The module of a family, with its `recognises` and `blueprint`."""
    return importlib.import_module(f"model_adapters.families.{family}")
