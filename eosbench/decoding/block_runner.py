"""One forward pass of sequences whose committed blocks are kept: only what is not kept runs.

The sequences of a batch share the pass whatever their lengths and blocks are: each brings the
columns that its step runs, and sees its own kept keys. Those that see none, since their prompt is
run first, are in a pass of their own; it would be long and the others short. A very long prompt is
run in pieces, because the attention mask has a number for each pair of tokens that a pass brings
together.

Legend: R rows of a pass, K kept columns, T columns that run, N positions of all steps, D width.
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, replace

import torch

from eosbench.backbone import Backbone
from eosbench.decoding.block_settings import BlockSettings
from eosbench.decoding.model_runner import HiddenStates
from eosbench.decoding.policy import Step
from eosbench.decoding.scheduler import Batch
from eosbench.decoding.sequence import Sequence
from eosbench.forward import send_together

PIECE = 2048  # columns of a piece; a row of twice as many is run in pieces


@dataclass(frozen=True, eq=False)
class _Row:
    """A sequence's part of a pass: the columns that run, and how many kept ones it sees."""

    sequence: Sequence
    first: int
    stop: int
    past: int
    keeps: bool
    positions_N: torch.Tensor

    @classmethod
    def of(cls, sequence: Sequence, step: Step) -> _Row:
        """The part that a sequence's step asks for; all columns where it names none."""
        first, stop = step.columns or (0, len(sequence))
        return cls(sequence, first, stop, step.past, step.keeps, step.positions_N)

    def __len__(self) -> int:
        return self.stop - self.first

    def raw_rows(self) -> torch.Tensor:
        """[N] columns of the pass whose raw rows score the positions."""
        shift = int(self.sequence.spec.logits_shifted)
        return self.sequence.prompt_length + self.positions_N - self.first - shift


class BlockRunner:
    """Runs batches of block models.

    Args:
        backbone: a model that attends causally between blocks, and keeps keys and values.
    """

    def __init__(self, backbone: Backbone) -> None:
        from eosbench.forward import KeptKeys

        self.backbone = backbone
        self._kept = KeptKeys()
        self._owners: list[Sequence] = []

    def run(self, batch: Batch) -> HiddenStates:
        """The passes of one batch: one, or two where some of its sequences see nothing kept."""
        self._let_go(batch.sequences)
        rows = [_Row.of(one, one.step) for one in batch.sequences if one.step is not None]
        ran = [len(row) for row in rows]
        for place, row in enumerate(rows):
            if row.past and row.sequence not in self._kept:
                ran[place] += self._again(row)
        rows = [self._last_piece(row) for row in rows]
        hidden: list[torch.Tensor] = [torch.empty(0)] * len(rows)
        fresh = [place for place, row in enumerate(rows) if not row.past]
        others = [place for place, row in enumerate(rows) if row.past]
        for group in (*_alike(fresh, rows), others):
            if group:
                states = self._pass([rows[place] for place in group])
                for place, states_nD in zip(group, states, strict=True):
                    hidden[place] = states_nD
        return HiddenStates(
            hidden=(torch.cat(hidden),),
            of_steps_count=sum(map(len, hidden)),
            first=[None] * len(rows),
            token_positions=ran,
        )

    def _let_go(self, sequences: abc.Sequence[Sequence]) -> None:
        """Frees what was kept of sequences that are done."""
        for one in self._owners:
            if one.done:
                self._kept.let_go(one)
        left = [one for one in self._owners if not one.done and one not in sequences]
        self._owners = [*left, *sequences]

    def _again(self, row: _Row) -> int:
        """Runs what a sequence sees kept, once more, after it had to wait for memory."""
        again = _Row(row.sequence, 0, row.past, 0, True, row.positions_N[:0])
        self._pass([self._last_piece(again)])
        return row.past

    def _last_piece(self, row: _Row) -> _Row:
        """Runs all pieces of a row that keeps its keys but the last; pieces end with a block."""
        block = BlockSettings.of(row.sequence.spec, row.sequence.config).length
        length = max(1, PIECE // block) * block
        while row.keeps and len(row) >= 2 * length:
            stop = row.first // block * block + length
            self._pass([replace(row, stop=stop, positions_N=row.positions_N[:0])])
            row = replace(row, first=stop, past=stop)
        return row

    def _pass(self, rows: abc.Sequence[_Row]) -> list[torch.Tensor]:
        """One forward pass: each row's hidden states [n, D] that score its positions."""
        kept, width = max(row.past for row in rows), max(map(len, rows))
        ids_RT = torch.full((len(rows), width), self.backbone.spec.pad_id)
        sees_RK = torch.zeros(len(rows), kept, dtype=torch.long)
        runs_RT = torch.zeros_like(ids_RT)
        first_R1 = torch.tensor([[row.first] for row in rows])
        for place, row in enumerate(rows):
            ids_RT[place, : len(row)] = row.sequence.ids[row.first : row.stop]
            runs_RT[place, : len(row)] = 1
            sees_RK[place, : row.past] = 1
            sees_RK[place, row.first : row.stop] = 0
        counts = [len(row.positions_N) for row in rows]
        raw_N = torch.cat([place * width + row.raw_rows() for place, row in enumerate(rows)])
        slots = self._kept.slots([row.sequence for row in rows])
        on_host = (
            ids_RT,
            torch.cat([sees_RK, runs_RT], dim=1),
            first_R1 + torch.arange(width),
            raw_N,
            torch.tensor(slots),
        )
        ids, mask, positions, raw, slot_R = send_together(self.backbone.device, on_host)
        hidden_RTD = self.backbone.hidden(
            ids,
            mask,
            needed=raw,
            position_ids=positions,
            past=self._kept.cache(slots, slot_R, kept),
            block_length=rows[0].sequence.config.block_length,
        )  # type: ignore[call-arg]
        for place, row in enumerate(rows):
            if row.keeps:
                self._kept.keep(place, row.sequence, row.first, row.stop)
        hidden_ND = hidden_RTD.flatten(0, 1).index_select(0, raw.to(hidden_RTD.device))
        return list(hidden_ND.split(counts))


def _alike(places: list[int], rows: abc.Sequence[_Row]) -> list[list[int]]:
    """Groups of rows of like width, so that most of a padded pass is tokens."""
    groups: list[list[int]] = []
    for place in sorted(places, key=lambda place: -len(rows[place])):
        if groups and 4 * len(rows[place]) >= 3 * len(rows[groups[-1][0]]):
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
