"""Weights in 4 or 8 bits, by bitsandbytes, with transformers' settings for it.

The linear layers of the blocks are replaced before anything is read, and each weight becomes small
as soon as it was read. Embeddings, output layer and stacked experts stay as they are.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from eosbench.errors import CheckpointError, ConfigurationError


def bits_asked(load_in_4bit: bool, load_in_8bit: bool) -> int | None:
    """4, 8, or None for weights as they are stored.

    Raises:
        ConfigurationError: both are asked for, or bitsandbytes is not installed.
    """
    if load_in_4bit and load_in_8bit:
        raise ConfigurationError("load_in_4bit and load_in_8bit: give one of them")
    bits = 4 if load_in_4bit else 8 if load_in_8bit else None
    if bits is not None and find_spec("bitsandbytes") is None:
        raise ConfigurationError(
            f"load_in_{bits}bit=True: the package bitsandbytes is not installed: "
            "pip install bitsandbytes"
        )
    return bits


def refuse_stored(config: dict[str, Any], name: str) -> None:
    """Refuses a checkpoint whose stored weights are quantised.

    Args:
        config: its config.json.
        name: of the checkpoint.

    Raises:
        CheckpointError: config.json has a quantization_config.
    """
    said = config.get("quantization_config")
    if said:
        method = said.get("quant_method") if isinstance(said, dict) else said
        raise CheckpointError(
            f"{name}: config.json has a quantization_config (quant_method={method!r}), and stored "
            "weights that are quantised are not read here: take the checkpoint that it was made "
            "from, and load_in_4bit=True or load_in_8bit=True"
        )


def replace_layers(model: PreTrainedModel, bits: int, dtype: torch.dtype) -> None:
    """Puts bitsandbytes' linear layers in the place of those of a model on the meta device.

    Args:
        model: with its output layer, which stays as it is.
        bits: 4 or 8.
        dtype: that products are computed in.
    """
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers.base import get_keys_to_not_convert

    config = (
        BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype)
        if bits == 4
        else BitsAndBytesConfig(load_in_8bit=True)
    )
    kept = get_keys_to_not_convert(model)
    replace_with_bnb_linear(model, modules_to_not_convert=kept, quantization_config=config)
