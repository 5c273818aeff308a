"""Dream on transformers' Qwen2: Dream-org/Dream-v0-Base-7B, -Instruct-7B, Dream-Coder, DiffuCoder.

It has Qwen2's blocks and weight names, with full attention. Raw row i scores token i + 1, as in the
autoregressive model that it was adapted from. Its own sampler is remasking=entropy (or
low_confidence, topk_margin) with schedule=time: eosbench/decoding/dream_rules.py.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether it is Dream's architecture, or no other and Dream's model type."""
    return config.get("architectures") == ["DreamModel"] or (
        not config.get("architectures") and str(config.get("model_type")).lower() == "dream"
    )


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """Qwen2ForCausalLM under its own names."""
    return Blueprint(stock_config("qwen2", checkpoint.config), logits_shifted=True)
