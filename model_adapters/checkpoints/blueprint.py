"""What a family's file says of a checkpoint, and the model that follows from it.

A family is a file with two functions, and a row in loading.py:

    recognises(config, weights)      does this config.json (with these weight names) belong to the family?
    blueprint(checkpoint)            which of transformers' models computes it, how its weights are called, which rows score what

Everything else is the same for all families and stands in assembly.py. docs/families.md shows how
to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from eosbench.errors import CheckpointError


def own_name(name: str) -> str:
    """For checkpoints that call their weights as transformers does."""
    return name


def linear_head(model: PreTrainedModel) -> torch.nn.Module:
    """The output layer of a causal model."""
    head: torch.nn.Module = model.get_output_embeddings()
    return head


@dataclass(frozen=True)
class Blueprint:
    """How to run a checkpoint on one of transformers' own models.

    Attributes: config: of that model. auto_class: which of its versions has an output layer:
        AutoModelForCausalLM or AutoModelForMaskedLM. stored_name: transformers' name of a weight ->
        its name in the checkpoint. not_weights: patterns (re.search) of stored tensors that the
        model has no use for: buffers, heads of other tasks. logits_shifted: whether raw row i
        scores token i + 1. head: the model -> the module that turns last hidden states into logits.
        max_length: longest sequence; None is the config's max_position_embeddings. first_position:
        the position id of a row's first token (2 in RoBERTa). keeps_cache: whether the model can
        keep keys and values (encoders cannot).
    """

    config: PreTrainedConfig
    auto_class: type = AutoModelForCausalLM
    stored_name: Callable[[str], str] = own_name
    not_weights: tuple[str, ...] = (r"rotary_emb\.inv_freq$",)
    logits_shifted: bool = False
    head: Callable[[PreTrainedModel], torch.nn.Module] = linear_head
    max_length: int | None = None
    first_position: int = 0
    keeps_cache: bool = True


def stock_config(model_type: str, config: dict[str, Any]) -> PreTrainedConfig:
    """transformers' config of that type from a config.json that uses its names.

    Raises:
        CheckpointError: the values do not describe such a model.
    """
    return checked_config(
        model_type, {key: value for key, value in config.items() if key not in _NOT_OF_THE_MODEL}
    )


def checked_config(model_type: str, settings: dict[str, Any]) -> PreTrainedConfig:
    try:
        found: PreTrainedConfig = AutoConfig.for_model(model_type, **settings)
    except (TypeError, ValueError, KeyError, StrictDataclassError) as error:
        raise CheckpointError(
            f"config.json does not describe a {model_type} model: {error}"
        ) from error
    return found


# What the checkpoint says of itself; a generic wrapper's names must not follow the stock model.
_NOT_OF_THE_MODEL = (
    "model_type",
    "architectures",
    "auto_map",
    "transformers_version",
    "_name_or_path",
    "quantization_config",
)
