"""Rows that wait for a place in a batch, and which of them may join it.

Rows share a batch when everything of their DecodeConfig but lengths and steps is equal and most of
the padded batch is tokens. The longest that may join comes next: where the longest of all would
leave too much padding, it waits for a batch of its like (a retry in a doubled window, say) and a
shorter one goes first. Every row has its turn, since the others come to an end.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import replace

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.sequence import Row


class WaitingRows:
    """Add rows in any order; take those that fit.

    Args:
        full_enough: how much of a padded batch must be tokens for another row to join it.
    """

    def __init__(self, full_enough: float) -> None:
        self._full_enough = full_enough
        # By kind, from the shortest to the longest, the first of equals last.
        self._queues: dict[DecodeConfig, list[Row]] = {}

    def add(self, row: Row) -> None:
        insort(self._queues.setdefault(_kind(row), []), row, key=lambda one: (len(one), -one.index))

    def take(self, rows: Sequence[Row]) -> Row | None:
        """The longest row that may join these, None where none may; with no rows, the longest of
        the kind that came first.
        """
        if not self._queues:
            return None
        kind = _kind(rows[0]) if rows else next(iter(self._queues))
        queue = self._queues.get(kind, [])
        longest, tokens = max(map(len, rows), default=0), sum(map(len, rows))

        def fits(row: Row) -> bool:
            padded = (len(rows) + 1) * max(longest, len(row))
            return not rows or tokens + len(row) >= self._full_enough * padded

        # Rows beyond the longest fit up to a length; of the others the longest leaves the least
        # padding.
        place = bisect_left(queue, True, key=lambda row: len(row) > longest and not fits(row)) - 1
        if place < 0 or not fits(queue[place]):
            return None
        row = queue.pop(place)
        if not queue:
            del self._queues[kind]
        return row


def _kind(row: Row) -> DecodeConfig:
    """What rows of one batch must have in common."""
    return replace(row.config, gen_length=1, steps=None, block_length=None)
