"""DiffuGPT (diffusionfamily/diffugpt-s, -m) on transformers' GPT-2, with full attention.

Raw row i scores token i + 1. The checkpoints were published by a wrapper that renamed its parts:
the blocks are `denoise_model.*`, the embeddings `embed_tokens`, and the output layer is `lm_head`
where it is not tied to them. The config is GPT-2's own, so only the weights' names tell the two
apart. Token ids come from the tokenizer.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from model_adapters.checkpoints import Blueprint, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether it is a GPT-2 under the wrapper's names."""
    return config.get("model_type") == "gpt2" and any(
        name.startswith("denoise_model.") for name in weight_names
    )


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """GPT2LMHeadModel under the wrapper's names."""
    return Blueprint(
        stock_config("gpt2", checkpoint.config),
        stored_name=stored_name,
        # The causal masks of the model it was made from, and its word embeddings: the wrapper uses
        # neither.
        not_weights=(r"\.attn\.(masked_)?bias$", r"^denoise_model\.wte\.weight$"),
        logits_shifted=True,
    )


def stored_name(name: str) -> str:
    """The wrapper's name of a weight.

    >>> stored_name("transformer.h.0.ln_1.weight"), stored_name("transformer.wte.weight")
    ('denoise_model.h.0.ln_1.weight', 'embed_tokens.weight')
    """
    if name == "transformer.wte.weight":
        return "embed_tokens.weight"
    return name.replace("transformer.", "denoise_model.", 1)
