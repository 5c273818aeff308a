"""Token-positions of windows and of their retries, from lengths alone. No torch.

A pass over a window of W tokens behind a prompt of P is charged P + W token-positions. A window
holds the end of an answer of L tokens if W > L, since the EOS stands at index L; one that holds
none is doubled, up to the canvas C, and what stands in it is kept. So a bound B costs

    cost(B) = sum over the windows W = B, min(2B, C), min(4B, C), ... up to the first W > L, or C,
              of n(W) (P + W)

with n(W) the passes that fill the positions of W that are still masked, block after block. With
`stop_at_eos` no block behind the EOS is entered; its own block is charged whole, the most that the
engine charges for it. What comes is a prompt's part and a part of its own: cost = a P + b.

Legend: U lengths of answers, K first windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Windows", "window_costs"]


class Windows(Protocol):
    """The passes over windows, as decoding makes them; equal ones are equal and hash alike.

    Attributes:
        stop_at_eos: whether decoding ends at the EOS, or fills every window to its end.
    """

    @property
    def stop_at_eos(self) -> bool:
        """See the attributes."""
        ...

    def blocks(self, window: int) -> Iterable[tuple[int, int, int]]:
        """(start, end, passes) of each block of a window that is all masked, from the left."""
        ...


def window_costs(
    windows: Windows, first_K: Sequence[int], length_U: NDArray[np.int64], canvas: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cost of an answer that is decoded in a first window and, where that is short, in larger.

    Args:
        windows: how a window is decoded.
        first_K: the first windows, in tokens.
        length_U: the lengths of answers, in tokens.
        canvas: C, the largest window.

    Returns:
        a and b, [K, U] each: with a prompt of P tokens the passes charge a P + b token-positions.

    Example:
        >>> class TokenByToken:
        ...     stop_at_eos = False
        ...     def blocks(self, window):
        ...         return [(0, window, window)]
        >>> a, b = window_costs(TokenByToken(), [4, 8], np.array([5]), canvas=16)
        >>> a.tolist(), b.tolist()  # 4 passes over 4 tokens and 4 over 8; 8 passes over 8
        ([[8], [8]], [[48], [64]])
    """
    Part = tuple[NDArray[np.int64], NDArray[np.int64]]
    known: dict[int, Part] = {}

    def retries(window: int) -> Part:
        """The cost of the windows after this one; 0 for answers that end in it."""
        if window >= canvas:
            return np.zeros_like(length_U), np.zeros_like(length_U)
        if window not in known:
            larger = min(2 * window, canvas)
            passes_U = _passes(windows, window, larger, length_U)
            a_U, b_U = retries(larger)
            short_U = length_U >= window
            known[window] = short_U * (passes_U + a_U), short_U * (passes_U * larger + b_U)
        return known[window]

    a_KU = np.empty((len(first_K), len(length_U)), dtype=np.int64)
    b_KU = np.empty_like(a_KU)
    for place, window in enumerate(first_K):
        passes_U = _passes(windows, 0, window, length_U)
        a_U, b_U = retries(window)
        a_KU[place], b_KU[place] = passes_U + a_U, passes_U * window + b_U
    return a_KU, b_KU


def _passes(
    windows: Windows, kept: int, window: int, length_U: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[U] passes over a window whose first `kept` positions stand, for answers of these lengths."""
    starts: list[int] = []
    passes = [0]
    for start, end, steps in windows.blocks(window):
        masked = end - max(start, kept)
        if masked > 0:
            starts.append(start)
            passes.append(-(-steps * masked // (end - start)))
    total = np.cumsum(passes, dtype=np.int64)
    if not windows.stop_at_eos:
        return np.full_like(length_U, total[-1])
    return np.asarray(total[np.searchsorted(starts, length_U, side="right")])
