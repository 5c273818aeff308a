"""DiffusionGemma (google/diffusiongemma-26B-A4B-it) on transformers' own model.

It has no mask token: a canvas starts as uniform noise and is denoised after rules of its own, which
are transformers' `generate`. An encoder attends causally to the prompt and to the canvases that are
done; a decoder of the same weights attends to all of that and to its whole canvas.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from transformers import AutoModelForMultimodalLM

from eosbench.errors import CheckpointError
from model_adapters.checkpoints import Blueprint, stock_config

if TYPE_CHECKING:
    from model_adapters.checkpoints import Checkpoint


def recognises(config: dict[str, Any], weight_names: Collection[str]) -> bool:
    """Whether a config.json is of this family."""
    return config.get("model_type") == "diffusion_gemma"


def blueprint(checkpoint: Checkpoint) -> Blueprint:
    """The checkpoint on transformers' DiffusionGemmaForBlockDiffusion."""
    text = checkpoint.config.get("text_config")
    if not isinstance(text, dict) or not text:
        raise CheckpointError(
            f"text_config={text!r} in config.json of {checkpoint.name}: expected the sizes of a "
            "diffusion_gemma model"
        )
    config = stock_config("diffusion_gemma", checkpoint.config)
    return Blueprint(
        config,
        auto_class=AutoModelForMultimodalLM,
        max_length=config.get_text_config().max_position_embeddings,
        block_length=config.canvas_length,
        starts_as_noise=True,
    )
