"""SDAR (JetLM/SDAR-1.7B-Chat to -30B-A3B-Chat) and TraDo on transformers' Qwen3 and Qwen3-MoE.

Qwen3's blocks and weight names; attention is causal between blocks of `block_size` tokens, 4 where
config.json does not say; logits are not shifted.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, stacked_experts, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint

BLOCK_LENGTH = 4


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether a config.json is of this family."""
    says = " ".join([*(config.get("architectures") or ()), str(config.get("model_type"))])
    return re.search(r"sdar|trado", says, re.IGNORECASE) is not None


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The checkpoint on transformers' Qwen3."""
    config = checkpoint.config
    block_length = config.get("block_size") or BLOCK_LENGTH
    if not (config.get("num_experts") or config.get("num_local_experts")):
        return Blueprint(
            stock_config("qwen3", config), block_length=block_length, block_rule="sdar"
        )
    moe = stock_config("qwen3_moe", config)
    stored_name = partial(stacked_experts, experts=moe.num_experts)
    return Blueprint(moe, stored_name=stored_name, block_length=block_length, block_rule="sdar")
