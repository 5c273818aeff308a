"""From a blueprint to a backbone.

The model is built on the meta device, its weights are streamed in, its buffers computed, and the
facts collected. Nothing here knows a family. Memory holds the weights once: a parameter exists from
the moment its tensor is read, on the device and in the dtype that were asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from eosbench.backbone import BackboneSpec
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.backbones.full_canvas import FullCanvasBackbone, fingerprint
from model_adapters.backbones.last_block import (
    active_share,
    blocks,
    chosen_weights,
    matrix_weights,
)
from model_adapters.backbones.noise_canvas import NoiseCanvasBackbone
from model_adapters.backbones.placement import Devices, Placement
from model_adapters.backbones.quantised import replace_layers
from model_adapters.checkpoints import Blueprint, Checkpoint, Stored, TokenIds, Weights

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
        stored = checkpoint.adapter.merged_into(stored, plan, _parameters_and_buffers(model))
    weights = _read_weights(model, plan, stored, devices, dtype)
    _compute_buffers(model, devices.of)
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


def _read_weights(
    model: PreTrainedModel,
    plan: Blueprint,
    weights: Weights,
    devices: Devices,
    dtype: torch.dtype | None,
) -> str:
    """Fills the parameters of a model on the meta device, and returns a fingerprint of them."""
    ties = _ties(model, plan, weights)
    names = {
        name: plan.stored_name(name)
        for name in _parameters_and_buffers(model)
        if name not in ties and plan.stored_name(name)  # a tied weight has no tensor of its own
    }
    whole = {stored for stored in names.values() if isinstance(stored, str)}
    unused = {name for name in weights.files if _is_no_weight(name, plan)}
    fingerprint_of_weights = weights.read_into(
        model, names, ignored=unused - whole, device=devices.of, dtype=dtype
    )
    for name, source in _tied_by_config(model):
        if name not in ties and _equal(model, name, source):
            ties[name] = source
    for name, source in ties.items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, model.get_parameter(source))
    return fingerprint_of_weights


def _parameters_and_buffers(model: PreTrainedModel) -> list[str]:
    """Names of all parameters, tied ones too, and of the buffers that a checkpoint stores."""
    parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return parameters + sorted(dict(model.named_buffers()).keys() & model.state_dict().keys())


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


def _is_no_weight(stored: str, plan: Blueprint) -> bool:
    return any(re.search(pattern, stored) for pattern in plan.not_weights)


def _tied_by_config(model: PreTrainedModel) -> list[tuple[str, str]]:
    return list(model.all_tied_weights_keys.items())


def _ties(model: PreTrainedModel, plan: Blueprint, weights: Weights) -> dict[str, str]:
    """Names of weights that are other weights -> the names of those.

    Where both are stored both are read, because a config can be wrong.
    """
    ties: dict[str, str] = {}
    for target, source in _tied_by_config(model):
        stored = [_is_stored(plan.stored_name(name), weights) for name in (target, source)]
        if not all(stored):
            ties |= {source: target} if stored[0] else {target: source}
    return ties


def _is_stored(stored: Stored, weights: Weights) -> bool:
    pieces = [stored] if isinstance(stored, str) else [piece.name for piece in stored]
    return all(name in weights.files for name in pieces)


def _equal(model: PreTrainedModel, one: str, other: str) -> bool:
    left, right = model.get_parameter(one), model.get_parameter(other)
    return left.device == right.device and torch.equal(left, right)


def _compute_buffers(model: PreTrainedModel, device_of: Any) -> None:
    """Fills in the buffers that were not read (rotary frequencies, position ids).

    transformers' own initialisation computes them.
    """
    for name, buffer in list(model.named_buffers()):
        if not buffer.is_meta:
            buffer._is_hf_initialized = True  # type: ignore[attr-defined]  # what was read stays
            continue
        owner, _, leaf = name.rpartition(".")
        model.get_submodule(owner)._buffers[leaf] = torch.empty_like(buffer, device=device_of(name))
    for parameter in model.parameters():
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]  # what was read stays
    model.initialize_weights()
    tensors = [*model.named_parameters(), *model.named_buffers()]
    left = [name for name, tensor in tensors if tensor.is_meta]
    if left:
        raise CheckpointError(
            f"nothing fills in {', '.join(left[:8])}: this version of transformers is not supported"
        )
