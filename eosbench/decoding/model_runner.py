"""The model runner: lays a batch out in columns, runs it, and reads the hidden states asked for.

A batch forwards the sequences as they are, padded to the longest of them with padding that no token
attends to. Hidden states are read where a step asks for them and nowhere else. With a cache, a
block begins with a pass over everything; the passes after it run some of the columns
(eosbench/forward/block_cache.py), and the blocks of all sequences share their columns.

Legend: R rows of a pass, T columns, M hidden states that are read, N positions of one step, D
width.
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass

import torch

from eosbench.backbone import Backbone
from eosbench.decoding.scheduler import Batch
from eosbench.decoding.sequence import Sequence
from eosbench.forward import BlockPasses


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """The hidden states that one pass read.

    Attributes:
        hidden: [M, D]; with guidance once more, without prompts. Those of the steps' own positions
            come first, sequence after sequence, then those of whole canvases.
        of_steps_count: how many of them are of the steps' own positions.
        first: where those of each sequence's whole canvas begin; None where it did not ask for it.
        token_positions: how many tokens of each sequence ran through the model.
    """

    hidden: tuple[torch.Tensor, ...]
    of_steps_count: int
    first: list[int | None]
    token_positions: list[int]

    def of_steps(self) -> list[torch.Tensor]:
        """[N, D] of all steps' positions, one after the other; with guidance two of them."""
        return [hidden_MD[: self.of_steps_count] for hidden_MD in self.hidden]

    def of(self, place: int, positions_N: torch.Tensor) -> list[torch.Tensor]:
        """[N, D] of any canvas positions of one sequence that asked for its whole canvas.

        Positions that follow each other are read without a copy to the device.
        """
        first = self.first[place]
        assert first is not None, "the step did not ask for its whole canvas"
        rows_N = first + positions_N
        if not len(rows_N):
            return [hidden_MD[:0] for hidden_MD in self.hidden]
        begin, end = int(rows_N[0]), int(rows_N[-1]) + 1
        if rows_N.equal(torch.arange(begin, end)):
            return [hidden_MD[begin:end] for hidden_MD in self.hidden]
        return [hidden_MD[rows_N.to(hidden_MD.device)] for hidden_MD in self.hidden]


class ModelRunner:
    """Runs batches through the model.

    Args:
        backbone: the model.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._passes: BlockPasses | None = None  # those over the block that is open
        self._columns = self._rows = 0  # of the first pass over that block, and of the last one

    def run(self, batch: Batch) -> HiddenStates:
        """One forward pass.

        Raises:
            ConfigurationError: the config asks for a cache, and the model keeps none.
        """
        sequences = batch.sequences
        guided = sequences[0].config.cfg_scale > 0
        passes = self._block_passes(batch)
        offsets = [_offset(passes, one) for one in sequences]
        ids_RT = torch.full((len(sequences), self._columns), self.backbone.spec.pad_id)
        blind_RT = ids_RT.clone() if guided else ids_RT
        for row, (one, offset) in enumerate(zip(sequences, offsets, strict=True)):
            ids_RT[row, offset : offset + len(one)] = one.ids
            if guided:
                blind_RT[row, offset : offset + len(one)] = one.blind()
        mask_RT = _filled(offsets, [len(one) for one in sequences], self._columns)
        row_M, column_M, first, of_steps_count = _read_where(sequences, offsets)
        if guided:
            ids_RT, mask_RT = torch.cat([ids_RT, blind_RT]), mask_RT.repeat(2, 1)
            row_M, column_M = torch.cat([row_M, row_M + len(sequences)]), column_M.repeat(2)
        hidden_MD, tokens_R = passes(ids_RT, mask_RT, row_M, column_M)
        return HiddenStates(
            hidden=hidden_MD.chunk(2) if guided else (hidden_MD,),
            of_steps_count=of_steps_count,
            first=first,
            token_positions=[(1 + guided) * tokens for tokens in tokens_R[: len(sequences)]],
        )

    def _block_passes(self, batch: Batch) -> BlockPasses:
        """The passes over the open block: new ones where it begins.

        Where it goes on they are those of before, without the rows that have left.
        """
        sequences = batch.sequences
        config = sequences[0].config
        if self._passes is None or batch.kept is None:
            # Blocks in the same columns need padding on the left; without a cache all of it stands
            # on the right.
            starts = [one.prompt_length + one.block[0] for one in sequences]
            start = max(starts) if config.cache else 0
            length = sequences[0].block[1] - sequences[0].block[0]
            self._passes = BlockPasses(self.backbone, start, start + length, config.cache)
            self._columns = max(len(one) + _offset(self._passes, one) for one in sequences)
            self._rows = len(sequences)
        elif len(batch.kept) < self._rows:
            guided = [self._rows + row for row in batch.kept] if config.cfg_scale else []
            rows = torch.tensor(batch.kept + guided, device=self.backbone.device)
            self._passes.keep_rows(rows)
            self._rows = len(batch.kept)
        return self._passes


def _offset(passes: BlockPasses, sequence: Sequence) -> int:
    """The column in which a sequence begins."""
    if passes.cache is None:
        return 0
    return passes.start - sequence.prompt_length - sequence.block[0]


def _filled(offsets: list[int], lengths: list[int], columns: int) -> torch.Tensor:
    """[R, T] ones where a sequence of that length stands behind its offset, else zeros."""
    offset_R1 = torch.tensor(offsets)[:, None]
    column_T = torch.arange(columns)
    behind_RT = column_T >= offset_R1 + torch.tensor(lengths)[:, None]
    return ((column_T >= offset_R1) & ~behind_RT).long()


def _read_where(
    sequences: abc.Sequence[Sequence], offsets: abc.Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, list[int | None], int]:
    """The places of the hidden states that the steps may ask for.

    Returns:
        Their rows [M] and their columns [M], where those of each whole canvas begin, and how many
        are of the steps' own positions, which come first.
    """
    rows: list[int] = []
    counts: list[int] = []
    columns: list[torch.Tensor] = []
    first: list[int | None] = [None] * len(sequences)
    begin = [offset + one.prompt_length for one, offset in zip(sequences, offsets, strict=True)]
    for row, one in enumerate(sequences):
        if one.step is not None:
            rows.append(row)
            counts.append(len(one.step.positions_N))
            columns.append(begin[row] + one.step.positions_N)
    of_steps_count = sum(counts)
    for row, one in enumerate(sequences):
        if one.step is not None and one.step.whole_canvas:
            first[row] = sum(counts)
            rows.append(row)
            counts.append(len(one.canvas))
            columns.append(torch.arange(begin[row], begin[row] + len(one.canvas)))
    row_M = torch.tensor(rows).repeat_interleave(torch.tensor(counts))
    return row_M, torch.cat(columns), first, of_steps_count
