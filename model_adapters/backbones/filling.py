"""A model on the meta device, filled: stored weights, weights that are others, computed buffers.

Memory holds the weights once: a parameter exists from the moment its tensor is read, on the device
and in the dtype that were asked for.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from transformers import PreTrainedModel

from eosbench.errors import CheckpointError
from model_adapters.backbones.placement import Devices
from model_adapters.checkpoints import Blueprint, Stored, Weights

__all__ = ["compute_buffers", "parameters_and_buffers", "read_weights"]


def read_weights(
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
        for name in parameters_and_buffers(model)
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


def parameters_and_buffers(model: PreTrainedModel) -> list[str]:
    """Names of all parameters, tied ones too, and of the buffers that a checkpoint stores."""
    parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return parameters + sorted(dict(model.named_buffers()).keys() & model.state_dict().keys())


def compute_buffers(model: PreTrainedModel, device_of: Any) -> None:
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
