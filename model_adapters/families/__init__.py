"""The families of diffusion language models, a file each.

A family's file says how a checkpoint of it is recognised, and what its weights are called. To add
one, write a file with `recognises` and `blueprint` (model_adapters/checkpoints/blueprint.py) and
add a row to FAMILIES (docs/families.md). Nothing here knows where a checkpoint lives. A family's
file is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from typing import Any

from eosbench.errors import CheckpointError
from model_adapters.families.unsupported import why_unsupported

__all__ = [
    "BLOCK_FAMILIES",
    "FAMILIES",
    "family_file",
    "family_of",
    "recognised",
    "why_unsupported",
]

# Name of a family's file -> the checkpoints it is for. The first one that recognises a checkpoint
# describes it.
FAMILIES: dict[str, str] = {
    "llada": "LLaDA-8B-Base, -Instruct, LLaDA-1.5, dLLM-Var",
    "illada": "iLLaDA-8B-Base, -Instruct",
    "llada_moe": "LLaDA-MoE-7B-A1B",
    "llada2": "LLaDA2.0 and LLaDA2.1, mini and flash",
    "sdar": "SDAR, dense and mixtures of experts, TraDo",
    "fast_dllm_v2": "Fast-dLLM v2",
    "stable_diffcoder": "Stable-DiffCoder",
    "diffusion_gemma": "DiffusionGemma",
    "dream": "Dream-v0, Dream-Coder, DiffuCoder",
    "diffugpt": "DiffuGPT-s, -m",
    "diffullama": "DiffuLLaMA",
    "masked_encoder": "BERT, RoBERTa, ModernBERT",
    "a2d": "Qwen3, Qwen2, LLaMA or GPT-2 with a mask token",
}
# Those that attend causally between blocks, so that no pass of theirs shows a whole canvas.
BLOCK_FAMILIES = ("llada2", "sdar", "fast_dllm_v2", "stable_diffcoder", "diffusion_gemma")


def family_of(config: dict[str, Any], weight_names: Collection[str] = (), name: str = "") -> str:
    """The name of the family that a checkpoint belongs to.

    Args:
        config: its config.json.
        weight_names: names of its stored tensors.
        name: its path or hub id, for messages, and for what only a name tells.

    Raises:
        CheckpointError: it belongs to no family of the table; where the family is known, the
            message says why it does not fit.

    Example:
        >>> family_of({"model_type": "llada", "architectures": ["LLaDAModelLM"]})
        'llada'
    """
    found = recognised(config, weight_names)
    if found and found != "a2d":
        return found
    unfit = why_unsupported(config, name if found else None)
    if found and unfit is None:
        return found
    says = (
        f"config.json says model_type={config.get('model_type')!r}, "
        f"architectures={config.get('architectures')!r}"
    )
    supported = "; ".join(f"{family} ({checkpoints})" for family, checkpoints in FAMILIES.items())
    if unfit:
        raise CheckpointError(
            f"{name or 'this checkpoint'} is {unfit.name} ({says}): {unfit.reason}. "
            f"Supported: {supported}"
        )
    raise CheckpointError(
        f"no supported family: {says}; expected one of: {supported}. A model that brings its own "
        "code and returns logits for every position can be run with trust_remote_code=True"
    )


def recognised(config: dict[str, Any], weight_names: Collection[str]) -> str | None:
    """The name of the first family whose file recognises the checkpoint, or None."""
    for name in FAMILIES:
        if family_file(name).recognises(config, weight_names):
            return name
    return None


def family_file(family: str) -> Any:
    """The module of a family, with its functions `recognises` and `blueprint`."""
    return importlib.import_module(f"model_adapters.families.{family}")
