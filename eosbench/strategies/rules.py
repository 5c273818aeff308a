"""Rules that strategies share: the next block, the ids of ends, what settings and options may be.

Legend: C canvas, N masked positions.
"""

from __future__ import annotations

import torch

from eosbench.backbone import BackboneSpec
from eosbench.decoding import DecodeConfig
from eosbench.errors import ConfigurationError
from eosbench.predictors import check_share
from eosbench.strategies.protocol import Strategy

__all__ = ["at_least", "complete_blocks", "ending_id", "ends", "refuse", "shares"]


def complete_blocks(canvas_C: torch.Tensor, start: int, block_length: int, mask_id: int) -> int:
    """The start of the first block from `start` on that holds a mask token, or C where none does.

    Args:
        canvas_C: the canvas.
        start: the start of a block.
        block_length: the tokens of a block.
        mask_id: the mask token.

    Example:
        >>> complete_blocks(torch.tensor([7, 7, 7, 7, 0]), 0, 2, mask_id=0)
        4
        >>> complete_blocks(torch.tensor([7, 7, 7]), 0, 2, mask_id=0)
        3
    """
    while start < len(canvas_C) and not (canvas_C[start : start + block_length] == mask_id).any():
        start += block_length
    return min(start, len(canvas_C))


def refuse(method: str, settings: DecodeConfig) -> None:
    """Refuses decode settings that DAEDAL and rho-EOS have no place for.

    They unmask by confidence, on a canvas that changes its length.

    Args:
        method: the strategy's name, for the message.
        settings: the decode settings.

    Raises:
        ConfigurationError: a number of steps, another schedule or remasking, a cache, or a second
            threshold.
    """
    reasons = {
        "steps": (
            settings.steps,
            "it keeps every token it is sure of and has no schedule: leave steps and "
            "tokens_per_step out",
        ),
        "schedule": (
            settings.schedule if settings.schedule != "even" else None,
            "it has no schedule: leave it out",
        ),
        "threshold": (settings.threshold, "its own is called high_conf_threshold: give that one"),
        "cache": (
            settings.cache,
            "kept keys and values would stand at wrong positions after an insertion: leave it out",
        ),
        "remasking": (
            settings.remasking if settings.remasking != "low_confidence" else None,
            "it needs low_confidence",
        ),
    }
    for name, (value, reason) in reasons.items():
        if value is not None:
            raise ConfigurationError(
                f"method {method!r} cannot work with {name}={value!r}: {reason}"
            )


def at_least(strategy: Strategy, least: int, *names: str) -> None:
    """Refuses options of a strategy below `least`, other than None.

    Raises:
        ConfigurationError: one of them is smaller.
    """
    for name in names:
        value = getattr(strategy, name)
        if value is not None and value < least:
            raise ConfigurationError(f"{name}={value!r}: expected at least {least}")


def shares(strategy: Strategy, *names: str) -> None:
    """Refuses options of a strategy that are no shares.

    Raises:
        ConfigurationError: one of them is no number from 0 to 1.
    """
    for name in names:
        check_share(name, getattr(strategy, name))


def ending_id(spec: BackboneSpec) -> int:
    """The id to end a canvas with.

    It is the padding, where that ends a text too, as it does in published families.
    """
    return spec.pad_id if spec.pad_id in spec.eos_ids else min(spec.eos_ids)


def ends(tokens_N: torch.Tensor, spec: BackboneSpec) -> torch.Tensor:
    """[N] mask of the tokens that end a text."""
    return torch.isin(tokens_N, torch.tensor(sorted(spec.eos_ids)))
