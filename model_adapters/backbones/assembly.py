"""From a blueprint to a backbone.

The model is built on the meta device and filled (filling.py), and its facts are collected. Nothing
here knows a family.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from eosbench.backbone import BackboneSpec
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.backbones.filling import (
    compute_buffers,
    parameters_and_buffers,
    read_weights,
)
from model_adapters.backbones.full_canvas import FullCanvasBackbone, fingerprint
from model_adapters.backbones.last_block import (
    active_share,
    blocks,
    chosen_weights,
    matrix_weights,
)
from model_adapters.backbones.noise_canvas import NoiseCanvasBackbone
from model_adapters.backbones.placement import Placement
from model_adapters.backbones.quantised import replace_layers
from model_adapters.checkpoints import Blueprint, Checkpoint, TokenIds

# Settings of a config that change what is computed and are no weights; a family has some of them.
ESSENTIALS = (
    "vocab_size",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "rope_parameters",
    "layer_norm_epsilon",
    "layer_norm_eps",
    "norm_eps",
    "activation_function",
    "num_experts_per_tok",
    "norm_topk_prob",
    "routed_scaling_factor",
    "n_group",
    "topk_group",
)
# Attention that takes the mask of block models.
BLOCK_ATTENTION = ("sdpa", "eager")


@dataclass(frozen=True)
class Sizes:
    """The numbers of a model's layers and weights, before any of them is made small.

    Attributes:
        layers: its transformer blocks.
        block_parameters: weights in the matrices of all blocks that a token runs through.
        last_parameters: those of them that may run at chosen positions alone.
        attention_width: heads times the width of a head.
    """

    layers: int
    block_parameters: int
    last_parameters: int
    attention_width: int


def sizes_of(model: PreTrainedModel) -> Sizes:
    """The numbers of a model, which may stand on the meta device."""
    body: Any = model.base_model
    config = model.config.get_text_config()
    active = active_share(config)
    return Sizes(
        layers=len(blocks(body)),
        block_parameters=matrix_weights(blocks(body), active=active),
        last_parameters=chosen_weights(body, active=active),
        attention_width=_attention_width(config),
    )


def assemble(
    checkpoint: Checkpoint,
    plan: Blueprint,
    *,
    family: str,
    placement: Placement,
    dtype: torch.dtype | None,
    attn_implementation: str | None,
    bits: int | None = None,
) -> FullCanvasBackbone | NoiseCanvasBackbone:
    """The backbone that a family's blueprint describes.

    Args:
        checkpoint: the opened checkpoint.
        plan: the blueprint of it.
        family: name of the family's file.
        placement: the devices that the user asked for.
        dtype: of the weights; None keeps the stored one.
        attn_implementation: as in transformers.
        bits: 4 or 8 where bitsandbytes is to make the weights small.

    Raises:
        CheckpointError: token ids, weights or an adapter do not fit.
        ConfigurationError: the attention implementation is not installed, or there is no room on
            the devices.
    """
    vocab_size = plan.config.get_text_config().vocab_size
    tokens = checkpoint.token_ids(vocab_size, masked=not plan.starts_as_noise)
    model = _on_meta(plan, attn_implementation)
    kept_dtype = dtype or checkpoint.weights.dtype()
    devices = placement.of(model, kept_dtype)
    sizes = sizes_of(model)
    if bits is not None:
        replace_layers(model, bits, kept_dtype)
    stored = checkpoint.weights
    if checkpoint.adapter is not None:
        stored = checkpoint.adapter.merged_into(stored, plan, parameters_and_buffers(model))
    weights = read_weights(model, plan, stored, devices, dtype)
    compute_buffers(model, devices.of)
    devices.dispatch(model)
    body: Any = model.base_model
    spec = _spec(checkpoint.name, family, plan, tokens, sizes, weights, bits)
    gaps_end_texts = "flash" in str(body.config._attn_implementation)
    if spec.attention == "full" and not gaps_end_texts:
        spec = replace(spec, takes_positions=True)
    if plan.starts_as_noise:
        kind: Any = model.generation_config
        model.generation_config = type(kind)(**checkpoint.generation)
        return NoiseCanvasBackbone(model, spec=spec, tokenizer=checkpoint.tokenizer)
    return FullCanvasBackbone(
        body,
        plan.head(model),
        spec=spec,
        tokenizer=checkpoint.tokenizer,
        keeps_cache=plan.keeps_cache,
        first_position=plan.first_position,
        whole=model,
    )


def _spec(
    name: str,
    family: str,
    plan: Blueprint,
    tokens: TokenIds,
    sizes: Sizes,
    weights: str,
    bits: int | None,
) -> BackboneSpec:
    """The facts of a filled model.

    Args:
        name: of the checkpoint.
        family: name of its family's file.
        plan: its blueprint.
        tokens: its token ids.
        sizes: the numbers of its layers and weights.
        weights: fingerprint of its weights.
        bits: 4 or 8 where bitsandbytes made them small.
    """
    config: Any = plan.config.get_text_config()
    # As a dict, since attributes that differ between layers cannot be read off the config.
    found = config.to_dict()
    settings = {name: found[name] for name in ESSENTIALS if found.get(name) is not None}
    settings |= {"family": family, "mask_id": tokens.mask_id}
    if plan.logits_shifted:
        settings["logits_shifted"] = True
    if plan.block_length is not None:
        settings["block_length"] = plan.block_length
    if bits is not None:
        settings["bits"] = bits
    return BackboneSpec(
        family=family,
        mask_id=tokens.mask_id,
        eos_ids=tokens.eos_ids,
        declared_eos=tokens.declared_eos,
        pad_id=tokens.pad_id,
        max_length=plan.max_length or config.max_position_embeddings,
        vocab_size=config.vocab_size,
        width=config.hidden_size,
        logits_shifted=plan.logits_shifted,
        fingerprint=fingerprint(settings, weights),
        name=name,
        layers=sizes.layers,
        block_parameters=sizes.block_parameters,
        last_parameters=sizes.last_parameters,
        attention="full" if plan.block_length is None else "block",
        block_length=plan.block_length,
        block_rule=plan.block_rule,
        attention_width=sizes.attention_width,
    )


def _attention_width(config: Any) -> int:
    """Heads times the width of a head, which need not be the width of the model.

    Where heads differ between layers, it is the mean over the layers.
    """
    found = config.to_dict()
    if found.get("head_dim") is None:
        return int(config.hidden_size)
    other_layers = (found.get("per_layer_config") or {}).values()
    widths = [layer["head_dim"] for layer in other_layers if "head_dim" in layer]
    widths += [found["head_dim"]] * (found["num_hidden_layers"] - len(widths))
    width: int = round(found["num_attention_heads"] * sum(widths) / len(widths))
    return width


def _on_meta(plan: Blueprint, attn_implementation: str | None) -> PreTrainedModel:
    masks_blocks = plan.block_length is not None and not plan.starts_as_noise
    if masks_blocks and attn_implementation not in (None, *BLOCK_ATTENTION):
        raise ConfigurationError(
            f"attn_implementation={attn_implementation!r} takes no mask that is causal between "
            f"blocks: expected one of {', '.join(BLOCK_ATTENTION)}"
        )
    auto: Any = plan.auto_class
    try:
        with torch.device("meta"):
            model: PreTrainedModel = auto.from_config(
                plan.config, attn_implementation=attn_implementation
            )
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"attn_implementation={attn_implementation!r}: {error} "
            "(expected sdpa, eager, or one that is installed)"
        ) from error
    except (TypeError, ArithmeticError) as error:  # a size that is missing, or none
        raise CheckpointError(
            f"config.json does not describe a {plan.config.model_type} model: sizes are missing or "
            f"wrong ({error})"
        ) from error
    if _unaligned_experts(model):
        model.set_experts_implementation("eager")
    return model


def _unaligned_experts(model: PreTrainedModel) -> bool:
    """Whether rows of stacked experts do not begin at multiples of 16 bytes in every dtype.

    The grouped product that transformers runs by default needs that.
    """
    stacked = [parameter for parameter in model.parameters() if parameter.ndim == 3]
    return any(parameter.shape[-1] % 8 for parameter in stacked)
