"""LLaDA2.0 and LLaDA2.1 (inclusionAI/LLaDA2.0-mini, -flash, ...) on transformers' GLM-4-MoE.

Attention is causal between blocks; logits are not shifted. Experts are chosen in groups by a
sigmoid and a bias of their own, and some are shared by all tokens. Embeddings and attention have
other names: queries, keys and values are rows of one stored projection. The two versions decode
otherwise, but compute the same. Mask and end stand in the tokenizer alone.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from eosbench.errors import CheckpointError
from model_adapters.checkpoints import (
    Blueprint,
    Piece,
    Stored,
    checked_config,
    require_settings,
    rope_parameters,
    stacked_experts,
)

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from model_adapters.checkpoints import Checkpoint

BLOCK_LENGTH = 32  # as published; config.json does not say
# What each setting has to be for GLM-4-MoE's blocks to compute the same; the first is the default.
REQUIRED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "score_function": ("sigmoid",),
    "norm_head": (False, None),
    "norm_softmax": (False, None),
    "use_rmsnorm": (True, None),
    "use_bias": (False, None),
    "use_sliding_window": (False, None),
    "use_qk_norm": (True, None),
}
# Settings that GLM-4-MoE calls the same, and that every config.json has.
SAME = (
    *("vocab_size", "hidden_size", "intermediate_size", "moe_intermediate_size"),
    *("num_hidden_layers", "num_attention_heads", "num_experts_per_tok"),
    "max_position_embeddings",
)
RENAMED = {
    "self_attn.o_proj.": "attention.dense.",
    "self_attn.q_norm.": "attention.query_layernorm.",
    "self_attn.k_norm.": "attention.key_layernorm.",
    "model.embed_tokens.": "model.word_embeddings.",
    "mlp.gate.e_score_correction_bias": "mlp.gate.expert_bias",
}


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether a config.json is of this family."""
    architectures = config.get("architectures") or []
    return "LLaDA2MoeModelLM" in architectures or (
        not architectures and str(config.get("model_type")).lower() == "llada2_moe"
    )


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The checkpoint on transformers' GLM-4-MoE."""
    config = glm4_moe_config(checkpoint.config)
    biased = bool(checkpoint.config.get("moe_router_enable_expert_bias", True))
    names = partial(stored, config=config, biased=biased)
    return Blueprint(config, stored_name=names, block_length=BLOCK_LENGTH, block_rule="llada2")


def stored(name: str, config: PreTrainedConfig, biased: bool) -> Stored:
    """The published name of a weight of GLM-4-MoE, or the pieces that it is made of."""
    if name.endswith("e_score_correction_bias") and not biased:
        return ()
    layer, _, projection = name.partition("self_attn.")
    part = projection.partition("_proj.")[0]
    if part in ("q", "k", "v"):
        queries = config.num_attention_heads * config.head_dim
        others = config.num_key_value_heads * config.head_dim
        ends = {"q": queries, "k": queries + others, "v": queries + 2 * others}
        first = {"q": 0, "k": ends["q"], "v": ends["k"]}[part]
        kind = projection.rpartition(".")[2]
        return (Piece(f"{layer}attention.query_key_value.{kind}", (first, ends[part])),)
    for ours, theirs in RENAMED.items():
        name = name.replace(ours, theirs)
    return stacked_experts(name, config.n_routed_experts)


def glm4_moe_config(config: dict[str, Any]) -> PreTrainedConfig:
    """LLaDA2's config.json as the Glm4MoeConfig that computes the same.

    Raises:
        CheckpointError: a setting is missing, or is one that GLM-4-MoE's blocks do not have.
    """
    require_settings("LLaDA2", config, REQUIRED)
    if lacking := [name for name in (*SAME, "num_experts") if name not in config]:
        raise CheckpointError(f"LLaDA2's config.json lacks the settings {', '.join(lacking)}")
    heads, rotary = config["num_attention_heads"], config.get("partial_rotary_factor", 1.0)
    settings = {name: config[name] for name in SAME} | {
        "num_key_value_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "n_routed_experts": config["num_experts"],
        "n_shared_experts": config.get("num_shared_experts") or 0,
        "n_group": config.get("n_group") or 1,
        "topk_group": config.get("topk_group") or 1,
        "first_k_dense_replace": config.get("first_k_dense_replace", 0),
        "routed_scaling_factor": config.get("routed_scaling_factor", 1.0),
        "norm_topk_prob": bool(config.get("norm_topk_prob", True)),
        "use_qk_norm": True,
        "attention_bias": bool(config.get("use_qkv_bias", False)),
        "rms_norm_eps": config.get("rms_norm_eps", 1e-6),
        "rope_parameters": rope_parameters(config) | {"partial_rotary_factor": rotary},
        "num_nextn_predict_layers": 0,
        "tie_word_embeddings": bool(config.get("tie_word_embeddings", False)),
    }
    return checked_config("glm4_moe", settings)
