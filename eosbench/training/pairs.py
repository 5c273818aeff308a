"""Micro-batches of prompts with answers, as pure functions of (seed, step).

    data = PairBatches(
        documents, make=make, seed=0, steps=100, per_step=2, tokens=3_072, canvas=256
    )
    data[5]    # the second micro-batch of the third optimizer step, whoever asks, in what order

The draws are one stream from the seed, and a batch that is asked for out of order is reached by
drawing again: about a millisecond a batch. So a resumed run, two data workers and two processes get
the batches of one, and no state has to be kept.

Rows of a batch are of like length: many rows are drawn, sorted, and cut into groups of a number of
tokens or of rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from eosbench.training.batch import Batch, MakeBatch
from eosbench.training.layout import Document, room_behind

SORTED_AT_ONCE = 2_048  # rows among which those of like length are looked for
WINDOWS = ("drawn", "full", "exact", "ended")


class PairBatches(torch.utils.data.Dataset[Batch]):
    """Batches of documents that fit into memory; item i is micro-batch i of the run.

    Args:
        documents: prompts with answers.
        make: `make_batch` with a recipe's settings.
        seed: of everything that is drawn.
        steps: optimizer steps.
        per_step: micro-batches of one, over all processes.
        tokens: of a micro-batch, about; 0: `rows` say it.
        rows: of a micro-batch, where tokens do not.
        canvas: longest window behind a prompt.
        windows: `drawn` (see `room_behind`), `full` (always the canvas), `exact` (no room) or
            `ended` (room for the end).
        longest: optimizer step -> tokens that an answer has at most; for all rows but `free_share`.
        free_share: of the rows, which have answers of any length.
        shares: of families among the rows; 1 where nothing is said.
        flows: documents that are drawn beside the rows of a batch, for the layout `text`.
        grid: positions of the canvas that run in a share of the micro-batches, whose windows are
            the canvas.
        grid_share: that share.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        *,
        make: MakeBatch,
        seed: int,
        steps: int,
        per_step: int = 1,
        tokens: int = 0,
        rows: int = 16,
        canvas: int = 256,
        windows: str = "drawn",
        longest: Callable[[int], int] | None = None,
        free_share: float = 0.25,
        shares: Mapping[str, float] | None = None,
        flows: bool = False,
        grid: int = 0,
        grid_share: float = 0.0,
    ) -> None:
        families: dict[str, list[Document]] = defaultdict(list)
        for one in sorted(documents, key=lambda one: one.length):
            families[one.family].append(one)
        self.families = list(families.values())
        self.share_F = torch.tensor([(shares or {}).get(name, 1.0) for name in families])
        self.make, self.seed, self.steps, self.per_step = make, seed, steps, per_step
        self.tokens, self.rows, self.canvas, self.windows = tokens, rows, canvas, windows
        self.longest, self.free_share, self.flows = longest, free_share, flows
        self.grid, self.grid_share = grid, grid_share
        self._stream: Iterator[Batch] | None = None
        self._at = 0

    def __len__(self) -> int:
        return self.steps * self.per_step

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(f"micro-batch {index}: the run has {len(self)}")
        if self._stream is None or index < self._at:
            self._stream, self._at = self._batches(), 0
        for _ in range(index - self._at):
            next(self._stream)
        self._at = index + 1
        return next(self._stream)

    def _batches(self) -> Iterator[Batch]:
        """The micro-batches from the first on, without end."""
        rng = torch.Generator().manual_seed(self.seed)
        made = 0
        while True:
            drawn = self._draw(rng, made // self.per_step)
            sizes = [len(one.prompt) + one.length + self._room(rng, one.length) for one in drawn]
            groups = like_lengths(sizes, tokens=self.tokens, rows=self.rows)
            for group in torch.randperm(len(groups), generator=rng).tolist():
                members = groups[group]
                chosen = [drawn[index] for index in members]
                ends = [sizes[index] for index in members]
                if self.windows == "drawn":  # of equal length by choosing the room
                    ends = [ends[-1]] * len(ends)
                yield self._made(chosen, ends, step=made // self.per_step, rng=rng)
                made += 1

    def _made(
        self, chosen: Sequence[Document], ends: Sequence[int], *, step: int, rng: torch.Generator
    ) -> Batch:
        """The micro-batch of these documents, up to these ends or on a grid of whole canvases."""
        if self.grid_share and float(torch.rand(1, generator=rng)) < self.grid_share:
            whole = [len(one.prompt) + self.canvas for one in chosen]
            return self.make(chosen, whole, step=step, rng=rng, grid=self.grid)
        missing = sum(ends) - sum(len(one.prompt) + one.length for one in chosen)
        more = self._others(rng, missing) if self.flows else []
        return self.make(chosen, ends, step=step, rng=rng, more=more)

    def _draw(self, rng: torch.Generator, step: int) -> list[Document]:
        """Documents by the shares of their families, short ones first where the recipe says so."""
        drawn = []
        for family in torch.multinomial(
            self.share_F, SORTED_AT_ONCE, replacement=True, generator=rng
        ).tolist():
            own = self.families[family]
            free, place = torch.rand(2, generator=rng, dtype=torch.float64).tolist()
            within = len(own)
            if self.longest is not None and free >= self.free_share:
                most = self.longest(step)
                within = max(1, bisect_right(own, most, key=lambda one: one.length))
            drawn.append(own[int(place * within)])
        return drawn

    def _room(self, rng: torch.Generator, length: int) -> int:
        if self.windows == "drawn":
            return room_behind(rng, length, self.canvas)
        if self.windows == "ended":
            return 1
        return max(self.canvas - length, 0) if self.windows == "full" else 0

    def _others(self, rng: torch.Generator, tokens: int) -> list[Document]:
        """Documents of at least so many tokens together."""
        drawn: list[Document] = []
        while tokens > 0:
            own = self.families[int(torch.multinomial(self.share_F, 1, generator=rng))]
            drawn.append(own[int(torch.randint(len(own), (1,), generator=rng))])
            tokens -= max(1, len(drawn[-1].prompt) + drawn[-1].length)
        return drawn


def like_lengths(sizes: Sequence[int], *, tokens: int = 0, rows: int = 16) -> list[list[int]]:
    """Indices of rows in groups of like size, the longest last in each.

    A group holds so many tokens at most, the longest row counted for all, or so many rows.

    Example:
        >>> like_lengths([5, 1, 4, 2], tokens=6)
        [[1, 3], [2], [0]]
        >>> like_lengths([5, 1, 4, 2], rows=2)
        [[1, 3], [2, 0]]
    """
    groups: list[list[int]] = [[]]
    for index in sorted(range(len(sizes)), key=sizes.__getitem__):
        more = len(groups[-1]) + 1
        full = more * sizes[index] > tokens if tokens else more > rows
        if groups[-1] and full:
            groups.append([])
        groups[-1].append(index)
    return groups
