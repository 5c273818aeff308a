"""Masked encoders used as diffusion language models: BERT, RoBERTa and ModernBERT.

AutoModelForMaskedLM builds them. They attend both ways by themselves, and row i scores token i:
nothing is renamed or shifted. Their output layer is a small network, and the hidden state that
predictors get is the input of it. Texts end with the separator.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from model_adapters.checkpoints import Blueprint, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint

ENCODERS = ("bert", "roberta", "modernbert")
NOT_WEIGHTS = (r"\.pooler\.", r"^cls\.seq_relationship\.", r"\.position_ids$")


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether it is one of the encoders."""
    return str(config.get("model_type")).lower().removeprefix("a2d-") in ENCODERS


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """AutoModelForMaskedLM under its own names, old or new."""
    model_type = str(checkpoint.config["model_type"]).lower().removeprefix("a2d-")
    config = stock_config(model_type, checkpoint.config)
    # RoBERTa's positions begin after its padding id: two of its 514 are never used.
    first = config.pad_token_id + 1 if model_type == "roberta" else 0

    def stored_name(name: str) -> str:
        """BERT's oldest checkpoints call the parameters of a LayerNorm gamma and beta."""
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )
        return old if old in checkpoint.weight_names else name

    return Blueprint(
        config,
        auto_class=AutoModelForMaskedLM,
        stored_name=stored_name,
        not_weights=NOT_WEIGHTS,
        head=head,
        max_length=config.max_position_embeddings - first,
        first_position=first,
        keeps_cache=False,
    )


def head(model: PreTrainedModel) -> torch.nn.Module:
    """All modules after the encoder.

    These are `cls` in BERT, `lm_head` in RoBERTa, `head` and `decoder` in ModernBERT.
    """
    parts = [part for part in model.children() if part is not model.base_model]
    return torch.nn.Sequential(*parts)
