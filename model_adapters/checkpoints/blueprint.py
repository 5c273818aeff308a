"""The blueprint: all that a family's file says of a checkpoint, and the model that follows from it.

A family is a file in model_adapters/families with two functions, and a row in FAMILIES there:

    recognises(config, weight_names)    does the checkpoint belong to the family?
    blueprint(checkpoint)               the model of transformers that computes it, and the names
                                        of its weights

Everything else is the same for all families and stands in model_adapters/backbones.
docs/families.md shows how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from eosbench.errors import CheckpointError
from model_adapters.checkpoints.pieces import Stored

# What a checkpoint says of itself: the stock model's config must not take over these names.
_NOT_OF_THE_MODEL = (
    "model_type",
    "architectures",
    "auto_map",
    "transformers_version",
    "_name_or_path",
    "quantization_config",
    # The way its own code was run, not what it computes.
    "attn_implementation",
    "_attn_implementation",
)


def own_name(name: str) -> str:
    """The stored name of a weight where the checkpoint calls it as transformers does."""
    return name


def linear_head(model: PreTrainedModel) -> torch.nn.Module:
    """The output layer of a causal model."""
    head: torch.nn.Module = model.get_output_embeddings()
    return head


@dataclass(frozen=True)
class Blueprint:
    """A description of how one of transformers' own models computes a checkpoint.

    Attributes:
        config: the config of that model.
        auto_class: its version with an output layer: AutoModelForCausalLM or AutoModelForMaskedLM.
        stored_name: transformers' name of a weight -> its name in the checkpoint, or the pieces
            that it is made of (none: it is computed).
        not_weights: patterns (re.search) of stored tensors that the model has no use for: buffers,
            heads of other tasks.
        logits_shifted: whether raw row i scores token i + 1.
        head: the model -> the module that turns last hidden states into logits.
        max_length: longest sequence; None is the config's max_position_embeddings.
        first_position: the position id of a sequence's first token (2 in RoBERTa).
        keeps_cache: whether the model can keep keys and values (encoders cannot).
        block_length: tokens of a block, where attention is causal between blocks; None: every
            position sees every position.
        block_rule: name of the way in which blocks are decoded.
        starts_as_noise: whether a canvas starts as noise: there is no mask token then.

    Raises:
        CheckpointError: a block length that is none.
    """

    config: PreTrainedConfig
    auto_class: type = AutoModelForCausalLM
    stored_name: Callable[[str], Stored] = own_name
    not_weights: tuple[str, ...] = (r"rotary_emb\.inv_freq$",)
    logits_shifted: bool = False
    head: Callable[[PreTrainedModel], torch.nn.Module] = linear_head
    max_length: int | None = None
    first_position: int = 0
    keeps_cache: bool = True
    block_length: int | None = None
    block_rule: str = ""
    starts_as_noise: bool = False

    def __post_init__(self) -> None:
        length = self.block_length
        if length is not None and (not isinstance(length, int) or length < 1):
            raise CheckpointError(
                f"config.json says blocks of {length!r} tokens: expected a whole number of at "
                "least 1"
            )


def stock_config(model_type: str, config: dict[str, Any]) -> PreTrainedConfig:
    """transformers' config of a model type, from a config.json that uses its names.

    Raises:
        CheckpointError: the values do not describe such a model.
    """
    settings = {key: value for key, value in config.items() if key not in _NOT_OF_THE_MODEL}
    return checked_config(model_type, settings)


def checked_config(model_type: str, settings: dict[str, Any]) -> PreTrainedConfig:
    """transformers' config of a model type with these settings.

    Raises:
        CheckpointError: the settings do not describe such a model.
    """
    try:
        found: PreTrainedConfig = AutoConfig.for_model(model_type, **settings)
    except (TypeError, ValueError, KeyError, StrictDataclassError) as error:
        raise CheckpointError(
            f"config.json does not describe a {model_type} model: {error}"
        ) from error
    return found


def require_settings(
    family: str, config: dict[str, Any], required: Mapping[str, tuple[Any, ...]]
) -> None:
    """Refuses settings that transformers' model of the family does not have.

    Args:
        family: for the message.
        config: config.json.
        required: the values that each setting may have; what config.json leaves out has the first.

    Raises:
        CheckpointError: a setting has another value.
    """
    for name, allowed in required.items():
        if config.get(name, allowed[0]) not in allowed:
            raise CheckpointError(
                f"unsupported {family} setting {name}={config[name]!r}: "
                f"expected {' or '.join(map(repr, allowed))}"
            )


def rope_parameters(config: dict[str, Any]) -> dict[str, Any]:
    """transformers' rotary settings from a config.json that says `rope_theta` and `rope_scaling`.

    Example:
        >>> rope_parameters({"rope_theta": 5e5, "rope_scaling": None})
        {'rope_type': 'default', 'rope_theta': 500000.0}
    """
    if given := config.get("rope_parameters"):
        return dict(given)
    scaling = dict(config.get("rope_scaling") or {})
    kind = scaling.pop("type", "default")
    return {"rope_type": kind, "rope_theta": config.get("rope_theta", 10_000.0), **scaling}
