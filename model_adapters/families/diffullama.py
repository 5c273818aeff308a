"""DiffuLLaMA (diffusionfamily/diffullama) on transformers' LLaMA, with full attention.

Raw row i scores token i + 1. It comes under two sets of names: LLaMA's own, or those of the wrapper
that it was trained in, as DiffuGPT does (`denoise_model.*`, `embed_tokens`, `lm_head`). Its config
says no more than that it is a LLaMA, so it is told by the wrapper's names, or by the checkpoint's
own name. Token ids come from the tokenizer.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, own_name, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether it is a LLaMA under the wrapper's names, or one that is called DiffuLLaMA."""
    named = "diffullama" in str(config.get("_name_or_path")).lower()
    wrapped = any(name.startswith("denoise_model.") for name in weight_names)
    return config.get("model_type") == "llama" and (named or wrapped)


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """LlamaForCausalLM under its own names or the wrapper's."""
    wrapped = any(name.startswith("denoise_model.") for name in checkpoint.weight_names)
    return Blueprint(
        stock_config("llama", checkpoint.config),
        stored_name=stored_name if wrapped else own_name,
        not_weights=(r"rotary_emb\.inv_freq$", r"^denoise_model\.embed_tokens\.weight$"),
        logits_shifted=True,
    )


def stored_name(name: str) -> str:
    """The wrapper's name of a weight.

    >>> stored_name("model.layers.0.mlp.up_proj.weight"), stored_name("model.embed_tokens.weight")
    ('denoise_model.layers.0.mlp.up_proj.weight', 'embed_tokens.weight')
    """
    if name == "model.embed_tokens.weight":
        return "embed_tokens.weight"
    return name.replace("model.", "denoise_model.", 1)
