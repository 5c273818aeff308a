"""Sequences that wait for a place in the batch, and which of them are in the next pass.

Sequences share a batch when everything of their DecodeConfig but lengths and steps is equal and
most of the padded batch is tokens. A batch begins with the largest group of like length; a sequence
keeps its place until it is done, and the longest that fits takes its place. Where the longest of
all would leave too much padding, it waits for a batch of its like (a retry in a doubled window,
say) and a shorter one goes first. Every sequence has its turn, since the others come to an end.
When a canvas has changed its length, the batch begins anew, since canvases grow apart.

With a cache, whose first pass in a block computes what the other passes keep, sequences begin a
block together and wait for each other at its end.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import abc
from dataclasses import dataclass

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.sequence import Sequence

FULL_ENOUGH = 0.75  # the part of a padded batch that must be tokens

OpenBlock = tuple[int, tuple[int, int]]  # a sequence's length, and the block that is open in it


@dataclass(frozen=True, eq=False)
class Batch:
    """The sequences of one pass.

    Attributes:
        sequences: those of one kind, at least one.
        kept: with a cache, where in the pass before they stood whose block goes on; None where a
            block begins.
    """

    sequences: list[Sequence]
    kept: list[int] | None = None


class Scheduler:
    """Add sequences in any order; ask for the batch of each pass.

    Args:
        full_enough: the part of a padded batch that must be tokens for another sequence to join it.
    """

    def __init__(self, full_enough: float = FULL_ENOUGH) -> None:
        self._full_enough = full_enough
        # By kind, from the shortest to the longest, the first of equals last.
        self._waiting: dict[DecodeConfig, list[Sequence]] = {}
        # Those that have a place, with the length at which they took it.
        self._running: dict[Sequence, int] = {}
        # With a cache, those of the last pass, with the block that was open then.
        self._in_block: dict[Sequence, OpenBlock] = {}

    def add(self, sequence: Sequence) -> None:
        """Lets a sequence wait for a place."""
        queue = self._waiting.setdefault(sequence.kind, [])
        insort(queue, sequence, key=lambda one: (len(one), -one.index))

    def schedule(self, limit: int) -> Batch | None:
        """The batch of the coming pass, `limit` sequences at most; None where nothing waits."""
        self._let_go()
        if not self._running:
            self._begin(limit)
        while len(self._running) < limit and (joins := self.take(list(self._running))) is not None:
            self._running[joins] = len(joins)
        if not self._running:
            return None
        if next(iter(self._running)).config.cache is None:
            return Batch(list(self._running))
        return self._block_batch()

    def _let_go(self) -> None:
        """Takes away the places of those that are done.

        Where a canvas has another length than it had, all lose their places, but not in the midst
        of a block with a cache.
        """
        running = self._running
        resized = any(not one.done and len(one) != length for one, length in running.items())
        in_block = [one for one in self._in_block if self._goes_on(one)]
        for sequence, length in list(running.items()):
            leaves = resized and not in_block
            if sequence.done or leaves or len(sequence) != length:
                del running[sequence]
                if not sequence.done:
                    self.add(sequence)

    def _begin(self, limit: int) -> None:
        """Gives places to the largest group of like length that waits; of equals, the longest."""
        longest_first = next(iter(self._waiting.values()), [])[::-1]
        best: list[Sequence] = []
        for start in range(len(longest_first)):
            if len(best) >= min(limit, len(longest_first) - start):
                break  # no later start has more
            group = self._alike(longest_first[start : start + limit])
            best = max(best, group, key=len)
        for sequence in best:
            self._remove(sequence)
            self._running[sequence] = len(sequence)

    def _alike(self, longest_first: abc.Sequence[Sequence]) -> list[Sequence]:
        """As many of these, from the first, as fill a padded batch well enough."""
        tokens = 0
        for count, sequence in enumerate(longest_first):
            tokens += len(sequence)
            if tokens < self._full_enough * len(longest_first[0]) * (count + 1):
                return list(longest_first[:count])
        return list(longest_first)

    def take(self, running: abc.Sequence[Sequence]) -> Sequence | None:
        """Takes out the longest sequence that may join these; None where none may.

        With none running it is the longest of the kind that came first.
        """
        if not self._waiting:
            return None
        kind = running[0].kind if running else next(iter(self._waiting))
        queue = self._waiting.get(kind, [])
        longest, tokens = max(map(len, running), default=0), sum(map(len, running))

        def fits(one: Sequence) -> bool:
            padded = (len(running) + 1) * max(longest, len(one))
            return not running or tokens + len(one) >= self._full_enough * padded

        # Sequences beyond the longest fit up to a length; of the others the longest leaves the
        # least padding.
        place = bisect_left(queue, True, key=lambda one: len(one) > longest and not fits(one)) - 1
        if place < 0 or not fits(queue[place]):
            return None
        sequence = queue[place]
        self._remove(sequence)
        return sequence

    def _remove(self, sequence: Sequence) -> None:
        """Takes a sequence out of those that wait."""
        queue = self._waiting[sequence.kind]
        queue.remove(sequence)
        if not queue:
            del self._waiting[sequence.kind]

    def make_room(self, limit: int) -> None:
        """Lets all but `limit` sequences wait, after a pass that did not fit into memory.

        What a cache kept goes, so that the next pass begins the block anew (docs/engine.md).
        """
        self._in_block = {}
        for sequence in list(self._running)[limit:]:
            del self._running[sequence]
            self.add(sequence)

    def _block_batch(self) -> Batch:
        """With a cache, those of the last pass whose block goes on, or those that begin one.

        Blocks that begin together are of one length.
        """
        last = list(self._in_block)
        kept = [place for place, one in enumerate(last) if self._goes_on(one)]
        if kept:
            batch = Batch([last[place] for place in kept], kept)
        else:
            first = next(iter(self._running)).block
            alike = [one for one in self._running if _length(one.block) == _length(first)]
            batch = Batch(alike)
        self._in_block = {one: (len(one), one.block) for one in batch.sequences}
        return batch

    def _goes_on(self, sequence: Sequence) -> bool:
        """Whether the block that was open in the last pass is open still."""
        if sequence not in self._running:
            return False
        return self._in_block[sequence] == (len(sequence), sequence.block)


def _length(block: tuple[int, int]) -> int:
    start, end = block
    return end - start
