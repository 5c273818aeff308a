"""Lengths that are rounded up: to a power of two, to whole blocks, or to whole tokens. No torch.

The length of an answer is a whole number, so rounding up forgives `TOLERANCE` tokens: 64.0000001 is
64, not 65 (nor 128). This never costs coverage: a value at or above a whole number L still rounds
to at least L.
"""

from __future__ import annotations

import math

from eosbench.errors import ConfigurationError
from eosbench.metrics import ROUNDING_TOLERANCE

ROUNDINGS = ("pow2", "block", "none")
TOLERANCE = ROUNDING_TOLERANCE

__all__ = ["ROUNDINGS", "TOLERANCE", "check_rounding", "round_up", "rounded_lengths"]


def round_up(length: float, rounding: str = "pow2", block_length: int = 32) -> int:
    """A length in tokens, rounded up; at least 1.

    Args:
        length: in tokens.
        rounding: "pow2" for the next power of two, "block" for the next multiple of `block_length`,
            "none" for the next whole number.
        block_length: in tokens, for rounding="block".

    Raises:
        ConfigurationError: an unknown rounding, or a block length below 1.

    Example:
        >>> [round_up(length) for length in (0.2, 64.0000001, 65)]
        [1, 64, 128]
        >>> round_up(33, "block", block_length=32)
        64
    """
    check_rounding(rounding, block_length)
    whole = max(1, math.ceil(length - TOLERANCE))
    if rounding == "pow2":
        return 1 << (whole - 1).bit_length()
    if rounding == "block":
        return -(-whole // block_length) * block_length
    return whole


def rounded_lengths(canvas: int, rounding: str = "pow2", block_length: int = 32) -> list[int]:
    """All bounds that rounding can give on a canvas of so many tokens, rising; the last is C.

    Raises:
        ConfigurationError: an unknown rounding, or a block length below 1.

    Example:
        >>> rounded_lengths(100), rounded_lengths(100, "block", 48)
        ([1, 2, 4, 8, 16, 32, 64, 100], [48, 96, 100])
    """
    lengths = [min(round_up(1, rounding, block_length), canvas)]
    while lengths[-1] < canvas:
        lengths.append(min(round_up(lengths[-1] + 1, rounding, block_length), canvas))
    return lengths


def check_rounding(rounding: str, block_length: int) -> None:
    """Refuses a rounding that does not exist.

    Raises:
        ConfigurationError: neither "pow2", "block" nor "none", or a block length below 1.
    """
    if rounding not in ROUNDINGS:
        raise ConfigurationError(f"rounding {rounding!r}: expected one of {', '.join(ROUNDINGS)}")
    if block_length < 1:
        raise ConfigurationError(f"block_length={block_length!r}: expected at least 1")
