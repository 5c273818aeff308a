"""A backbone as it was loaded, with another longest sequence, or in mixed precision."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch

from eosbench.errors import ConfigurationError

logger = logging.getLogger(__name__)

# Parts of the names of weights that hold a row per position.
_LEARNED_POSITIONS = ("wpe.", "position_embedding")


def set_longest(backbone: Any, max_length: int) -> None:
    """Gives a backbone another longest sequence.

    Args:
        backbone: as it was loaded.
        max_length: tokens of a prompt and its canvas together.

    Raises:
        ConfigurationError: the model has learned fewer positions.
    """
    spec = backbone.spec
    if max_length > spec.max_length:
        names = [name for name, _ in backbone.model.named_parameters()]
        if any(part in name for part in _LEARNED_POSITIONS for name in names):
            raise ConfigurationError(
                f"max_length={max_length}: {spec.name} has learned {spec.max_length} positions "
                "and no more"
            )
        logger.warning(
            "max_length=%d: %s was made for %d positions", max_length, spec.name, spec.max_length
        )
    backbone.spec = replace(spec, max_length=max_length)


def set_mixed_precision(backbone: Any, dtype: torch.dtype) -> None:
    """Lets a backbone compute its products in another dtype than that of its weights.

    Args:
        backbone: as it was loaded.
        dtype: of the products; torch's autocast says which operations keep their own.
    """
    autocast = torch.autocast(device_type=backbone.device.type, dtype=dtype)
    for module in (backbone.model, getattr(backbone, "output", None)):
        if module is not None:
            module.forward = autocast(module.forward)
