"""LLaDA on transformers' LLaMA: GSAI-ML/LLaDA-8B-Base, -Instruct, LLaDA-1.5, dLLM-Var.

Small models in the same format are of this family too. LLaDA is LLaMA with full attention and other
names for everything: its config speaks of d_model and n_heads, its weights of wte, ff_proj and
ff_out. `llama_config` and `weight_names` are that dictionary. Logits are not shifted. Settings that
LLaMA's blocks do not have are errors.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from eosbench.errors import CheckpointError
from model_adapters.checkpoints import Blueprint, checked_config, require_settings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from model_adapters.checkpoints import Checkpoint

# The values of each setting with which LLaMA's blocks compute the same; a setting that config.json
# leaves out has the first one.
REQUIRED: dict[str, tuple[Any, ...]] = {
    "block_type": ("llama",),
    "block_group_size": (1,),
    "activation_type": ("silu",),
    "layer_norm_type": ("rms",),
    "layer_norm_with_affine": (True,),
    "rope": (True,),
    "alibi": (False,),
    "attention_layer_norm": (False,),
    "input_emb_norm": (False,),
    "scale_logits": (False,),
    "include_bias": (False,),
    "include_qkv_bias": (False, None),
    "bias_for_layer_norm": (False, None),
}
LAYER_NAMES = {
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
}


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether it is LLaDA's architecture, or no other and LLaDA's model type."""
    return config.get("architectures") == ["LLaDAModelLM"] or (
        not config.get("architectures") and config.get("model_type") == "llada"
    )


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """LlamaForCausalLM under LLaDA's names."""
    config = llama_config(checkpoint.config)
    return Blueprint(config, stored_name=weight_names(config.num_hidden_layers).__getitem__)


def llama_config(config: dict[str, Any]) -> PreTrainedConfig:
    """LLaDA's config.json as the LlamaConfig that computes the same.

    Raises:
        CheckpointError: a setting is missing, or is one that LLaMA's blocks do not have.
    """
    require_settings("LLaDA", config, REQUIRED)
    try:
        heads, width = config["n_heads"], config["d_model"]
        key_value_heads = 1 if config.get("multi_query_attention") else heads
        settings = {
            "vocab_size": config.get("embedding_size") or config["vocab_size"],
            "hidden_size": width,
            "intermediate_size": config.get("mlp_hidden_size") or config["mlp_ratio"] * width,
            "num_hidden_layers": config["n_layers"],
            "num_attention_heads": heads,
            "num_key_value_heads": config.get("n_kv_heads") or key_value_heads,
            "max_position_embeddings": config["max_sequence_length"],
            "rms_norm_eps": config.get("rms_norm_eps", 1e-5),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": config.get("rope_theta", 10_000.0),
            },
            "tie_word_embeddings": bool(config.get("weight_tying", False)),
        }
    except KeyError as error:
        raise CheckpointError(f"LLaDA's config.json lacks the setting {error}") from error
    return checked_config("llama", settings)


def weight_names(n_layers: int) -> dict[str, str]:
    """LLaDA's name of every parameter, keyed by its name in LlamaForCausalLM."""
    names = {
        "model.embed_tokens.weight": "model.transformer.wte.weight",
        "model.norm.weight": "model.transformer.ln_f.weight",
        "lm_head.weight": "model.transformer.ff_out.weight",
    }
    for layer in range(n_layers):
        for ours, theirs in LAYER_NAMES.items():
            names[f"model.layers.{layer}.{ours}.weight"] = (
                f"model.transformer.blocks.{layer}.{theirs}.weight"
            )
    return names
