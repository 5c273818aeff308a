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
from itertools import accumulate

import torch

from eosbench.backbone import Backbone
from eosbench.decoding.scheduler import Batch
from eosbench.decoding.sequence import Sequence
from eosbench.forward import BlockPasses


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """The hidden states that one pass read.

    Attributes:
        hidden: [M, D], sequence after sequence; with guidance once more, without prompts.
        first: where those of each sequence begin.
        whole: whether they are those of the whole canvas, and not of the step's positions alone.
        token_positions: how many tokens of each sequence ran through the model.
    """

    hidden: tuple[torch.Tensor, ...]
    first: list[int]
    whole: list[bool]
    token_positions: list[int]

    def of_steps(self, steps: abc.Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """[N, D] of all steps' positions, one after the other; with guidance two of them."""
        if not any(self.whole):
            return list(self.hidden)
        rows = [self._rows(place, positions_N) for place, positions_N in enumerate(steps)]
        return self._read(torch.cat(rows))

    def of(self, place: int, positions_N: torch.Tensor) -> list[torch.Tensor]:
        """[N, D] of any canvas positions of one sequence that asked for its whole canvas."""
        return self._read(self.first[place] + positions_N)

    def _rows(self, place: int, positions_N: torch.Tensor) -> torch.Tensor:
        if self.whole[place]:
            return self.first[place] + positions_N
        return self.first[place] + torch.arange(len(positions_N))

    def _read(self, rows_N: torch.Tensor) -> list[torch.Tensor]:
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
        mask_RT = torch.zeros_like(ids_RT)
        where_RT = torch.zeros_like(ids_RT, dtype=torch.bool)
        blind_RT = ids_RT.clone() if guided else ids_RT
        reads = []
        for row, (one, offset) in enumerate(zip(sequences, offsets, strict=True)):
            columns = slice(offset, offset + len(one))
            ids_RT[row, columns] = one.ids
            mask_RT[row, columns] = 1
            reads.append(_read_where(one, where_RT[row, columns]))
            if guided:
                blind_RT[row, columns] = one.blind()
        if guided:
            ids_RT = torch.cat([ids_RT, blind_RT])
            mask_RT, where_RT = mask_RT.repeat(2, 1), where_RT.repeat(2, 1)
        device = self.backbone.device
        hidden_MD, cost_R = passes(ids_RT.to(device), mask_RT.to(device), where_RT.to(device))
        cost = cost_R[: len(sequences)].tolist()
        return HiddenStates(
            hidden=hidden_MD.chunk(2) if guided else (hidden_MD,),
            first=[0, *accumulate(reads)][:-1],
            whole=[one.step is not None and one.step.whole_canvas for one in sequences],
            token_positions=[2 * tokens if guided else tokens for tokens in cost],
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


def _read_where(sequence: Sequence, where_T: torch.Tensor) -> int:
    """Marks the positions whose hidden states the sequence's step may ask for; returns how many."""
    first = sequence.prompt_length
    canvas_C = where_T[first : first + len(sequence.canvas)]
    step = sequence.step
    if step is None or step.whole_canvas:
        canvas_C[:] = True
        return len(canvas_C)
    canvas_C[step.positions_N] = True
    return len(step.positions_N)
