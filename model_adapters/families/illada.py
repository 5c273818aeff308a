"""iLLaDA (GSAI-ML/iLLaDA-8B-Base, -Instruct) on transformers' LLaMA, with full attention.

LLaMA's blocks and weight names with grouped queries; logits are not shifted. The mask token stands
in no config: it is found by its name in the vocabulary. The output layer is the embeddings, and is
stored or not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether a config.json is of this family."""
    return config.get("architectures") == ["ILLaDAForCausalLM"] or (
        not config.get("architectures") and config.get("model_type") == "illada"
    )


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The checkpoint on transformers' LLaMA."""
    # The published code gives its embeddings no padding row.
    config = {**checkpoint.config, "pad_token_id": None}
    return Blueprint(stock_config("llama", config))
