"""LLaDA (GSAI-ML/LLaDA-8B-Base, -Instruct, LLaDA-1.5, and small models in the same format) on transformers' LlamaModel.

LLaDA is LLaMA with full attention and other names for everything: its config speaks of d_model and n_heads, its weights of wte,
ff_proj and ff_out. `llama_config` and `weight_names` are that dictionary, `build` applies it. Settings that LLaMA's blocks do not
have are errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig, LlamaModel

from eosbench.backbone import BackboneSpec
from eosbench.errors import CheckpointError
from model_adapters.full_canvas import FullCanvasBackbone, fingerprint

if TYPE_CHECKING:
    from model_adapters.checkpoint import Checkpoint

# What each setting has to be for LLaMA's blocks to compute the same; a setting that config.json leaves out has this value.
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


def llama_config(config: dict[str, Any], *, attn_implementation: str = "sdpa") -> LlamaConfig:
    """LLaDA's config.json as the LlamaConfig that computes the same.

    Raises:
        CheckpointError: a setting is missing, or is one that LLaMA's blocks do not have.
    """
    for name, allowed in REQUIRED.items():
        if config.get(name, allowed[0]) not in allowed:
            raise CheckpointError(
                f"unsupported LLaDA setting {name}={config[name]!r}: expected {' or '.join(map(repr, allowed))}"
            )
    try:
        heads = config["n_heads"]
        settings = {
            "vocab_size": config.get("embedding_size") or config["vocab_size"],
            "hidden_size": config["d_model"],
            "intermediate_size": config.get("mlp_hidden_size") or config["mlp_ratio"] * config["d_model"],
            "num_hidden_layers": config["n_layers"],
            "num_attention_heads": heads,
            "num_key_value_heads": config.get("n_kv_heads") or (1 if config.get("multi_query_attention") else heads),
            "max_position_embeddings": config["max_sequence_length"],
            "rms_norm_eps": config.get("rms_norm_eps", 1e-5),
            "rope_parameters": {"rope_type": "default", "rope_theta": config.get("rope_theta", 10_000.0)},
            "attn_implementation": attn_implementation,
            "tie_word_embeddings": bool(config.get("weight_tying", False)),
        }
        return LlamaConfig(**settings)
    except KeyError as error:
        raise CheckpointError(f"LLaDA's config.json lacks the setting {error}") from error
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise CheckpointError(f"LLaDA's config.json does not describe a model: {error}") from error


def weight_names(n_layers: int) -> dict[str, str]:
    """LLaDA's name of every parameter, keyed by its name in ModuleDict(model=LlamaModel, output=Linear)."""
    names = {
        "model.embed_tokens.weight": "model.transformer.wte.weight",
        "model.norm.weight": "model.transformer.ln_f.weight",
        "output.weight": "model.transformer.ff_out.weight",
    }
    for layer in range(n_layers):
        for ours, theirs in LAYER_NAMES.items():
            names[f"model.layers.{layer}.{ours}.weight"] = f"model.transformer.blocks.{layer}.{theirs}.weight"
    return names


def build(
    checkpoint: Checkpoint, *, device: torch.device, dtype: torch.dtype | None, attn_implementation: str
) -> FullCanvasBackbone:
    """The backbone of a LLaDA checkpoint; see `model_adapters.load_backbone`."""
    config = llama_config(checkpoint.config, attn_implementation=attn_implementation)
    mask_id, eos_ids, pad_id = checkpoint.token_ids(config.vocab_size)
    with torch.device("meta"):
        model = LlamaModel(config)
        output = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
    parts = {"model": model} if config.tie_word_embeddings else {"model": model, "output": output}
    weights = checkpoint.read_into(torch.nn.ModuleDict(parts), weight_names(config.num_hidden_layers), device=device, dtype=dtype)
    if config.tie_word_embeddings:
        output.weight = model.embed_tokens.weight
    # The rotary buffers are computed, not stored: on the meta device they hold nothing.
    model.rotary_emb = type(model.rotary_emb)(config).to(device)

    essentials = ("vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "rms_norm_eps", "rope_parameters")
    settings = {name: getattr(config, name) for name in essentials} | {"family": "llada", "mask_id": mask_id}
    spec = BackboneSpec(
        family="llada",
        mask_id=mask_id,
        eos_ids=eos_ids,
        pad_id=pad_id,
        max_length=config.max_position_embeddings,
        vocab_size=config.vocab_size,
        width=config.hidden_size,
        logits_shifted=False,
        fingerprint=fingerprint(settings, weights),
        name=checkpoint.name,
        layers=config.num_hidden_layers,
        block_parameters=sum(p.numel() for p in model.layers.parameters() if p.ndim == 2),
    )
    return FullCanvasBackbone(model, output, spec=spec, tokenizer=checkpoint.tokenizer)
