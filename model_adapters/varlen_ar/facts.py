"""The facts of an autoregressive model that its costs and its results file name."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from eosbench.backbone import BackboneSpec
from eosbench.digest import digest_of_json
from model_adapters.backbones import sizes_of
from model_adapters.checkpoints import hold

__all__ = ["spec_of"]

# Settings that change what is computed in no way.
_NAMES = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")


def spec_of(model: PreTrainedModel, tokenizer: Any, *, name: str, max_length: int) -> BackboneSpec:
    """The facts of a model that predicts the next token.

    Args:
        model: of transformers, decoder alone.
        tokenizer: of it.
        name: the path or hub id that it was loaded from.
        max_length: its positions.
    """
    config: Any = model.config.get_text_config()
    settings = {key: value for key, value in config.to_dict().items() if key not in _NAMES}
    weights = hold(model, name=name, tokenizer=tokenizer).weights.fingerprint()
    sizes = sizes_of(model)
    return BackboneSpec(
        family=str(config.model_type),
        mask_id=-1,
        eos_ids=frozenset(eos_ids_of(model, tokenizer)),
        pad_id=-1 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id),
        max_length=max_length,
        vocab_size=config.vocab_size,
        width=config.hidden_size,
        logits_shifted=True,
        fingerprint=digest_of_json([settings, weights]),
        name=name,
        layers=sizes.layers,
        block_parameters=sizes.block_parameters,
        attention="causal",
        attention_width=sizes.attention_width,
    )


def eos_ids_of(model: PreTrainedModel, tokenizer: Any) -> set[int]:
    """The ids at which `generate` ends a row, or else the tokenizer's EOS."""
    generation = getattr(model, "generation_config", None)
    found = getattr(generation, "eos_token_id", None)
    if found is None:
        found = tokenizer.eos_token_id
    if found is None:
        return set()
    return {int(one) for one in (found if isinstance(found, list | tuple) else [found])}
