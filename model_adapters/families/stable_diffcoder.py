"""Stable-DiffCoder (ByteDance-Seed/Stable-DiffCoder-8B-Base, -Instruct) on transformers' LLaMA.

LLaMA's blocks and weight names, and its `model_type`: the architecture alone tells it. Attention is
causal between blocks of 4 tokens where config.json does not say otherwise; logits are not shifted.
The mask token stands in no config: it is found by its name in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint

BLOCK_LENGTH = 4


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether a config.json is of this family."""
    says = [*(config.get("architectures") or ()), str(config.get("model_type"))]
    return any(name.lower().startswith("stablediffcoder") for name in says)


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The checkpoint on transformers' LLaMA."""
    block_length = checkpoint.config.get("block_size") or BLOCK_LENGTH
    config = {**checkpoint.config, "pad_token_id": None}
    return Blueprint(
        stock_config("llama", config), block_length=block_length, block_rule="stable_diffcoder"
    )
