"""Fast-dLLM v2 (Efficient-Large-Model/Fast_dLLM_v2_1.5B, _7B) on transformers' Qwen2.

Qwen2's blocks and weight names; attention is causal between blocks of `bd_size` tokens, 32 where
config.json does not say; raw row i scores token i + 1. The mask token is an additional special
token of the tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint

BLOCK_LENGTH = 32


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether a config.json is of this family."""
    says = " ".join([*(config.get("architectures") or ()), str(config.get("model_type"))])
    return re.search(r"fast[-_]?dllm", says, re.IGNORECASE) is not None


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The checkpoint on transformers' Qwen2."""
    config = checkpoint.config
    block_length = config.get("bd_size") or config.get("block_size") or BLOCK_LENGTH
    return Blueprint(
        stock_config("qwen2", config),
        logits_shifted=True,
        block_length=block_length,
        block_rule="fast_dllm_v2",
    )
