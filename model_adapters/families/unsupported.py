"""Families that are known and do not fit, each with the reason.

An error that says why is worth more than "unknown".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_UNKNOWN_BLOCKS = (
    "it denoises blocks, and no published outputs were at hand that an implementation of its "
    "attention and of its decoding could be held against"
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
    Unsupported(
        "BD3LM",
        r"bd3[-_]?lm",
        "its blocks are those of a diffusion transformer, which none of transformers' own models "
        "computes; on a stock architecture, no published outputs were at hand to hold an "
        "implementation against",
    ),
    Unsupported(
        "WeDLM",
        r"wedlm",
        "its attention is causal: it moves what is masked behind all that stands and decodes in a "
        "sliding window, so that there is neither a canvas nor a block to denoise",
    ),
    Unsupported(
        "Nemotron diffusion",
        r"nemotron.*diffusion",
        "it decodes by diffusion, autoregressively, or both in turn, on blocks whose queries are "
        "scaled by their position, and no published outputs were at hand to hold an implementation "
        "against",
    ),
    Unsupported(
        "LFM2 diffusion",
        r"lfm2.*diffusion|diffusion.*lfm2",
        "most of its layers are short convolutions, which carry on what stands before a token "
        "whatever the attention mask says",
    ),
    Unsupported(
        "DreamReasoner",
        r"dreamreasoner|dreamforcausallm",
        "the code of its model was not found, so that nothing says what it computes",
    ),
    Unsupported(
        "a mixture of experts",
        r"moe|mixtral",
        "only the mixtures of the supported families are known here; if it brings code of its own, "
        "trust_remote_code=True runs that",
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
        >>> why_unsupported({"model_type": "wedlm", "architectures": ["WeDLMForCausalLM"]}).name
        'WeDLM'
    """
    says = " ".join([*(config.get("architectures") or ()), str(config.get("model_type"))])
    for row in UNSUPPORTED:
        if re.search(row.pattern, says, re.IGNORECASE):
            return row
    if stock_name is None:
        return None
    for setting in BLOCK_SETTINGS:
        if isinstance(config.get(setting), int) and config[setting] > 1:
            name = f"block diffusion ({setting}={config[setting]})"
            return Unsupported(name, "", _UNKNOWN_BLOCKS)
    last = stock_name.rstrip("/").rsplit("/", 1)[-1]
    return next((row for row in UNSUPPORTED if re.search(row.pattern, last, re.IGNORECASE)), None)
