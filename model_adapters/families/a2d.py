"""Masked models on a stock architecture: Qwen3, Qwen2, LLaMA or GPT-2 with full attention.

"A2D" is "autoregressive to diffusion": dllm-hub's checkpoints call themselves a2d-qwen3 and the
like. A checkpoint that names the stock architecture itself is taken as one when it has a mask
token; without a mask token it is a causal model, and an error says so. Logits are not shifted
unless config.json says `logits_shifted: true` or `right_shift_logits: true`, or the user does.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, own_name, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint

STOCK = ("qwen3", "qwen2", "llama", "gpt2")


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether it is one of the stock architectures."""
    return _stock_type(config) in STOCK


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The stock architecture's causal model, under its own names."""
    config = checkpoint.config
    # GPT-2 itself is published without the first part of its weights' names, and with its causal
    # masks.
    bare = "wte.weight" in checkpoint.weight_names
    return Blueprint(
        stock_config(_stock_type(config), config),
        stored_name=_without_prefix if bare else own_name,
        not_weights=(r"rotary_emb\.inv_freq$", r"\.attn\.(masked_)?bias$"),
        logits_shifted=bool(config.get("logits_shifted", config.get("right_shift_logits", False))),
    )


def _stock_type(config: dict[str, Any]) -> str:
    return str(config.get("model_type")).lower().removeprefix("a2d-").removeprefix("a2d_")


def _without_prefix(name: str) -> str:
    return name.removeprefix("transformer.")
