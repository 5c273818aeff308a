"""From a blueprint to a backbone: the model on the meta device, weights streamed in, buffers
computed, facts collected.

Nothing here knows a family. Memory holds the weights once: a parameter exists from the moment
its tensor is read, on the device and in the dtype that were asked for.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from transformers import PreTrainedModel

from eosbench.backbone import BackboneSpec
from eosbench.errors import CheckpointError, ConfigurationError
from model_adapters.backbones.full_canvas import FullCanvasBackbone, fingerprint
from model_adapters.backbones.last_block import blocks, chosen_weights, matrix_weights
from model_adapters.backbones.placement import Placement
from model_adapters.checkpoints import Blueprint, Checkpoint

# Settings that change what is computed and are no weights; a family has some of them.
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
)


def assemble(
    checkpoint: Checkpoint,
    plan: Blueprint,
    *,
    family: str,
    placement: Placement,
    dtype: torch.dtype | None,
    attn_implementation: str | None,
) -> FullCanvasBackbone:
    """The backbone that a family's blueprint describes.

    Raises: CheckpointError: token ids or weights do not fit. ConfigurationError: an attention
        implementation that is not installed, or no room on the devices.
    """
    mask_id, eos_ids, pad_id = checkpoint.token_ids(plan.config.vocab_size)
    model = _on_meta(plan, attn_implementation)
    ties = _ties(model, plan, checkpoint)
    names = {
        name: plan.stored_name(name)
        for name, _ in model.named_parameters(remove_duplicate=False)
        if name not in ties  # a tied weight has no tensor of its own
    }
    unused = {
        name
        for name in checkpoint.files
        if any(re.search(pattern, name) for pattern in plan.not_weights)
    }
    devices = placement.of(model, dtype or checkpoint.stored_dtype())
    weights = checkpoint.read_into(
        model, names, ignored=unused - set(names.values()), device=devices.of, dtype=dtype
    )
    ties |= {
        name: source
        for name, source in _tied_by_config(model)
        if name not in ties and _equal(model, name, source)
    }
    for name, source in ties.items():
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, model.get_parameter(source))
    _compute_buffers(model, devices.of)
    devices.dispatch(model)

    body: Any = model.base_model
    config = plan.config
    settings = {
        name: getattr(config, name)
        for name in ESSENTIALS
        if getattr(config, name, None) is not None
    }
    settings |= {"family": family, "mask_id": mask_id}
    settings |= {"logits_shifted": True} if plan.logits_shifted else {}
    spec = BackboneSpec(
        family=family,
        mask_id=mask_id,
        eos_ids=eos_ids,
        pad_id=pad_id,
        max_length=plan.max_length or config.max_position_embeddings,
        vocab_size=config.vocab_size,
        width=config.hidden_size,
        logits_shifted=plan.logits_shifted,
        fingerprint=fingerprint(settings, weights),
        name=checkpoint.name,
        layers=len(blocks(body)),
        block_parameters=matrix_weights(blocks(body)),
        last_parameters=chosen_weights(body),
    )
    return FullCanvasBackbone(
        body,
        plan.head(model),
        spec=spec,
        tokenizer=checkpoint.tokenizer,
        keeps_cache=plan.keeps_cache,
        first_position=plan.first_position,
    )


def _on_meta(plan: Blueprint, attn_implementation: str | None) -> PreTrainedModel:
    auto: Any = plan.auto_class
    try:
        with torch.device("meta"):
            model: PreTrainedModel = auto.from_config(
                plan.config, attn_implementation=attn_implementation
            )
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"attn_implementation={attn_implementation!r}: {error} (expected sdpa, eager, or one that is installed)"
        ) from error
    return model


def _tied_by_config(model: PreTrainedModel) -> list[tuple[str, str]]:
    return list(model.all_tied_weights_keys.items())


def _ties(model: PreTrainedModel, plan: Blueprint, checkpoint: Checkpoint) -> dict[str, str]:
    """Weights that are other weights -> those others. Where both are stored, both are read: a
    config can be wrong.
    """
    ties: dict[str, str] = {}
    for target, source in _tied_by_config(model):
        stored = [plan.stored_name(name) in checkpoint.files for name in (target, source)]
        if not all(stored):
            ties |= {source: target} if stored[0] else {target: source}
    return ties


def _equal(model: PreTrainedModel, one: str, other: str) -> bool:
    left, right = model.get_parameter(one), model.get_parameter(other)
    return left.device == right.device and torch.equal(left, right)


def _compute_buffers(model: PreTrainedModel, device_of: Any) -> None:
    """Buffers (rotary frequencies, position ids) are computed, not stored: transformers' own
    initialisation fills them in.
    """
    for name, buffer in list(model.named_buffers()):
        owner, _, leaf = name.rpartition(".")
        model.get_submodule(owner)._buffers[leaf] = torch.empty_like(buffer, device=device_of(name))
    for parameter in model.parameters():
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]  # what was read stays
    model.initialize_weights()
    left = [
        name
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        if tensor.is_meta
    ]
    if left:
        raise CheckpointError(
            f"nothing fills in {', '.join(left[:8])}: this version of transformers is not supported"
        )
