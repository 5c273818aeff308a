"""Canvases on which a part of the answer is already unmasked (the benchmark's fraction u).

Before a prediction floor(u * L) of the L response tokens are revealed, at positions drawn from a
generator that is seeded by the document alone. So the same document reveals the same tokens under
every method, batch size and process, and all that is revealed at a smaller fraction is revealed at
a larger one too. EOS positions are never revealed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eosbench.digest import seed_from
from eosbench.errors import ConfigurationError

FRACTIONS = (0.0, 0.25, 0.5, 0.75)
MODES = ("random", "prefix")


def revealed_positions(
    length: int, fraction: float, document: str, mode: str = "random"
) -> list[int]:
    """The canvas positions of the revealed tokens, sorted.

    Args:
        length: L, tokens of the reference response.
        fraction: u in [0, 1].
        document: text that identifies the document; it alone seeds the draw.
        mode: "random" (uniform without replacement) or "prefix" (the first ones).

    Raises:
        ConfigurationError: fraction outside [0, 1] or an unknown mode.

    Example:
        >>> revealed_positions(8, 0.5, "any", mode="prefix")
        [0, 1, 2, 3]
    """
    if not 0.0 <= fraction <= 1.0:
        raise ConfigurationError(f"unmasked fraction {fraction!r}: expected a number from 0 to 1")
    if mode not in MODES:
        raise ConfigurationError(f"reveal mode {mode!r}: expected one of {', '.join(MODES)}")
    count = int(fraction * length)
    if mode == "prefix":
        return list(range(count))
    drawn = np.random.default_rng(seed_from(document)).permutation(length)[:count]
    return sorted(drawn.tolist())


def partly_masked_canvas(
    reference_ids: Sequence[int],
    canvas: int,
    mask_id: int,
    fraction: float,
    document: str,
    mode: str = "random",
) -> tuple[tuple[int, ...], list[int]]:
    """A canvas with the revealed tokens in place, and their positions.

    Args:
        reference_ids: token ids of the reference response [L].
        canvas: C, the number of positions; tokens beyond it are dropped.
        mask_id: the id that stands at every other position.
        fraction, document, mode: as for `revealed_positions`.

    Returns:
        The canvas [C], and the sorted positions of the revealed tokens in it.

    Raises:
        ConfigurationError: as `revealed_positions`.

    Example:
        >>> partly_masked_canvas([7, 8, 9], canvas=4, mask_id=0, fraction=0.7, document="any")
        ((0, 8, 9, 0), [1, 2])
    """
    revealed = revealed_positions(len(reference_ids), fraction, document, mode)
    positions = [position for position in revealed if position < canvas]
    ids = [mask_id] * canvas
    for position in positions:
        ids[position] = reference_ids[position]
    return tuple(ids), positions
