"""LLaDA-MoE (inclusionAI/LLaDA-MoE-7B-A1B-Base, -Instruct) on transformers' Qwen3-MoE.

Full attention, norms per head on queries and keys, a softmax over all experts whose weights are not
normalised again; logits are not shifted. `model_type` is "llada", as LLaDA's own, or "lladamoe":
the architecture tells them apart. Settings that Qwen3-MoE's blocks do not have are errors.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from eosbench.errors import CheckpointError
from model_adapters.checkpoints import (
    Blueprint,
    checked_config,
    require_settings,
    rope_parameters,
    stacked_experts,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from model_adapters.checkpoints import Checkpoint

# What each setting has to be for Qwen3-MoE's blocks to compute the same; the first is the default.
REQUIRED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "clip_qkv": (None,),
    "moe_router_score_function": ("softmax",),
    "moe_router_enable_expert_bias": (False, None),
    "routed_scaling_factor": (1, None),
    "partial_rotary_factor": (1, None),
    "router_num_group": (None, 1),
    "router_topk_group": (None, 1),
    "shared_expert_intermediate_size": (None, 0),
    "qk_layernorm": (True,),
}


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether a config.json is of this family."""
    architectures = config.get("architectures") or []
    return "LLaDAMoEModelLM" in architectures or (
        not architectures and str(config.get("model_type")).lower() in ("lladamoe", "llada_moe")
    )


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The checkpoint on transformers' Qwen3-MoE."""
    config = qwen3_moe_config(checkpoint.config)
    return Blueprint(config, stored_name=partial(stacked_experts, experts=config.num_experts))


def qwen3_moe_config(config: dict[str, Any]) -> PreTrainedConfig:
    """LLaDA-MoE's config.json as the Qwen3MoeConfig that computes the same.

    Raises:
        CheckpointError: a setting is missing, or is one that Qwen3-MoE's blocks do not have.
    """
    require_settings("LLaDA-MoE", config, REQUIRED)
    try:
        layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
        sparse = config.get("moe_layer_freq") or [1] * layers
        settings = {
            "vocab_size": config["vocab_size"],
            "hidden_size": config["hidden_size"],
            "intermediate_size": config.get("dense_intermediate_size") or 1,
            "moe_intermediate_size": config["expert_intermediate_size"],
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": config.get("num_key_value_heads") or heads,
            "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
            "max_position_embeddings": config["max_position_embeddings"],
            "rms_norm_eps": config.get("rms_norm_eps", 1e-5),
            "rope_parameters": rope_parameters(config),
            "attention_bias": bool(config.get("attention_bias", False)),
            "num_experts": config["num_experts"],
            "num_experts_per_tok": config["num_experts_per_tok"],
            "norm_topk_prob": bool(config.get("norm_topk_prob")),
            "mlp_only_layers": [layer for layer in range(layers) if not sparse[layer]],
            "decoder_sparse_step": 1,
            "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
        }
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"LLaDA-MoE's config.json lacks the setting {error}") from error
    return checked_config("qwen3_moe", settings)
