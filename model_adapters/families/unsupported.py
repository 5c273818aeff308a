"""Families that are known and do not fit, each with the reason.

An error that says why is worth more than "unknown".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_BLOCKS = (
    "it denoises blocks one after the other and attends causally between them, so a canvas has no "
    "step zero that shows where the answer ends, and no length to predict"
)


@dataclass(frozen=True)
class Unsupported:
    """A family that does not fit.

    Attributes:
        name: of the family.
        pattern: a regular expression that its architectures or model_type match, ignoring case.
        reason: why it does not fit.
        own_code_fits: whether a model of this kind can be run by code of its own
            (trust_remote_code=True).
    """

    name: str
    pattern: str
    reason: str
    own_code_fits: bool = False


UNSUPPORTED = (
    Unsupported("LLaDA2", r"llada2", _BLOCKS + "; its blocks are mixtures of experts"),
    Unsupported(
        "LLaDA-MoE",
        r"llada[-_]?moe",
        "its blocks are mixtures of experts, and only dense models are known here; its published "
        "code (trust_remote_code=True) was written for transformers 4 and does not run under "
        "transformers 5",
        own_code_fits=True,
    ),
    Unsupported("SDAR or TraDo", r"sdar|trado", _BLOCKS),
    Unsupported("Fast-dLLM v2", r"fast[-_]?dllm", _BLOCKS),
    Unsupported("BD3LM", r"bd3[-_]?lm", _BLOCKS),
    Unsupported("Nemotron diffusion", r"nemotron.*diffusion", _BLOCKS),
    Unsupported(
        "DiffusionGemma",
        r"diffusion[-_]?gemma",
        "it has no mask token: its canvas of 256 starts as uniform noise, where a masked diffusion "
        "model's starts as masks",
    ),
    Unsupported(
        "a mixture of experts",
        r"moe|mixtral",
        "only dense models are known here; if it brings code of its own, trust_remote_code=True "
        "runs that",
        own_code_fits=True,
    ),
)
# Settings that in a config of a stock architecture tell block diffusion, by a value above 1.
BLOCK_SETTINGS = ("block_size", "bd_size", "block_length")


def why_unsupported(config: dict[str, Any], stock_name: str | None = None) -> Unsupported | None:
    """The family that does not fit, or None where nothing speaks against the checkpoint.

    Args:
        config: its config.json.
        stock_name: its path or hub id where it is of a stock architecture. The config need not say
            more then: a block length in it tells block diffusion, or a part of this name.

    Example:
        >>> why_unsupported({"model_type": "sdar", "architectures": ["SDARForCausalLM"]}).name
        'SDAR or TraDo'
    """
    says = " ".join([*(config.get("architectures") or ()), str(config.get("model_type"))])
    for row in UNSUPPORTED:
        if re.search(row.pattern, says, re.IGNORECASE):
            return row
    if stock_name is None:
        return None
    for setting in BLOCK_SETTINGS:
        if isinstance(config.get(setting), int) and config[setting] > 1:
            return Unsupported(f"block diffusion ({setting}={config[setting]})", "", _BLOCKS)
    last = stock_name.rstrip("/").rsplit("/", 1)[-1]
    return next((row for row in UNSUPPORTED if re.search(row.pattern, last, re.IGNORECASE)), None)
