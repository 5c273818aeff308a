"""A continuous batch: rows of any prompt, window and block share passes, a finished row leaves, the
next one takes its place.

    batch = ContinuousBatch(backbone, batch_size=16)
    batch.add(Row(backbone.spec, prompt_ids, config, index=7))
    for row in batch:                                    # as they finish; more may be added meanwhile
        row.index, row.canvas

A batch forwards the rows' own windows, padded to the longest of them with padding that no token
attends to. Rows come in from the longest to the shortest, so that neighbours are alike, and only
while most of the padded batch is tokens (waiting.py). The output layer, which is most of the work
where the vocabulary is large, is applied to the masked positions of the rows' open blocks alone.

Rows of one batch share everything of their DecodeConfig but lengths and steps. With a cache, whose
first pass in a block computes what the other passes keep, rows begin a block together and wait for
each other at its end.

Legend: R rows of a pass, T columns, N masked positions of their blocks, L the most of a row, D width, V vocabulary.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence

import torch

from eosbench.backbone import Backbone
from eosbench.decoding.sampler import above_threshold, choose_tokens, most_confident, precise
from eosbench.decoding.scheduler import WaitingRows
from eosbench.decoding.sequence import Row
from eosbench.forward import BatchSize, BlockPasses, TimedBackbone, logits_in_pieces


class ContinuousBatch:
    """Iterate over it to denoise what was added; yields each row when it is done.

    Args:
        backbone: the model.
        batch_size: rows per pass at most; halved, with a warning, when they do not fit into memory.
        full_enough: how much of a padded batch must be tokens for another row to join it.

    Attributes:
        forward_passes: of the whole batch so far.
    """

    def __init__(
        self, backbone: Backbone, batch_size: int = 16, *, full_enough: float = 0.75
    ) -> None:
        self.backbone = TimedBackbone(backbone)
        self.forward_passes = 0
        self._size, self._waiting = BatchSize(batch_size), WaitingRows(full_enough)
        self._finished: deque[Row] = deque()
        self._rows: list[Row] = []
        # Those of the rows whose block has begun; without a cache nobody is in mid-block.
        self._running: list[Row] = []
        self._run: BlockPasses | None = None
        self._width = 0  # columns of the run's first pass

    def add(self, row: Row) -> None:
        if row.done:
            self._finished.append(row)
        else:
            self._waiting.add(row)

    @torch.no_grad()
    def __iter__(self) -> Iterator[Row]:
        while True:
            while self._finished:
                yield self._finished.popleft()
            self._let_in()
            if not self._rows:
                return
            with self._size.halved_if_out_of_memory(len(self._running or self._rows)) as attempt:
                self._pass()
            if not attempt.succeeded:
                self._make_room()
            self._finished.extend(row for row in self._rows if row.done)
            self._rows = [row for row in self._rows if not row.done]

    def _let_in(self) -> None:
        while (
            len(self._rows) < self._size.limit
            and (row := self._waiting.take(self._rows)) is not None
        ):
            self._rows.append(row)

    def _make_room(self) -> None:
        """After a pass that did not fit. It changed no row; the last ones wait, and what a cache
        kept goes (docs/engine.md).
        """
        self._running, self._run = [], None
        for row in self._rows[self._size.limit :]:
            self.add(row)
        del self._rows[self._size.limit :]

    def _pass(self) -> None:
        """One forward pass, and what it lets stay."""
        started, in_model = time.perf_counter(), self.backbone.seconds
        rows = self._running = self._running or self._beginners()
        config = rows[0].config
        columns = [row.open() for row in rows]
        count_R = torch.tensor([len(columns_n) for columns_n in columns])
        hidden, cost_R = self._hidden(rows, columns)
        tokens_N, confidence_N = self._choose(hidden, rows, count_R.tolist())

        masked_RL = torch.arange(max(1, int(count_R.max()))) < count_R[:, None]
        confidence_RL = torch.zeros(masked_RL.shape, dtype=confidence_N.dtype).masked_scatter(
            masked_RL, confidence_N
        )
        if config.threshold is None:
            stays_RL = most_confident(
                confidence_RL, masked_RL, torch.tensor([row.quota for row in rows])
            )
        else:
            stays_RL = above_threshold(confidence_RL, masked_RL, config.threshold)
        blocks = [row.start for row in rows]
        for row, columns_n, tokens_n, stays_L in zip(
            rows, columns, tokens_N.split(count_R.tolist()), stays_RL, strict=True
        ):
            stays_n = stays_L[: len(columns_n)]
            row.fill(columns_n[stays_n], tokens_n[stays_n])
        seconds, model_seconds = time.perf_counter() - started, self.backbone.seconds - in_model
        for row, cost, count in zip(rows, cost_R.tolist(), count_R.tolist(), strict=True):
            row.token_positions += cost
            row.scored_positions += len(hidden) * count
            row.seconds += seconds / len(rows)
            row.model_seconds += model_seconds / len(rows)
        self.forward_passes += 1
        self._end_blocks(
            [n for n, row in enumerate(rows) if not row.done and row.start == blocks[n]]
        )

    def _beginners(self) -> list[Row]:
        """Rows that begin a pass, or with a cache a block, together: with a cache, blocks of one
        length.
        """
        first = self._rows[0]
        if first.config.cache is None:
            return list(self._rows)
        return [row for row in self._rows if row.end - row.start == first.end - first.start]

    def _end_blocks(self, left: list[int]) -> None:
        """Keeps, for the next pass over the same blocks, the rows whose block is not done."""
        rows = self._running
        if self._run is None or self._run.cache is None or not left:
            self._running, self._run = [], None
        elif len(left) < len(rows):
            guided = [len(rows) + n for n in left] if rows[0].config.cfg_scale else []
            self._run.keep_rows(torch.tensor(left + guided, device=self.backbone.device))
            self._running = [rows[n] for n in left]

    def _hidden(
        self, rows: Sequence[Row], columns: Sequence[torch.Tensor]
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Hidden states [N, D] of the columns, with guidance once more without prompts, and each
        row's token-positions [R].
        """
        config, device = rows[0].config, self.backbone.device
        if self._run is None:
            # A cache needs the blocks in the same columns: padding on the left. Without one, all of
            # it stands on the right.
            start = max(row.start for row in rows) if config.cache else 0
            self._run = BlockPasses(
                self.backbone, start, start + rows[0].end - rows[0].start, config.cache
            )
            self._width = max(len(row) + (start - row.start if config.cache else 0) for row in rows)
        before = [self._run.start - row.start if config.cache else 0 for row in rows]
        ids_RT = torch.full((len(rows), self._width), self.backbone.spec.pad_id)
        mask_RT, where_RT, blind_RT = (
            torch.zeros_like(ids_RT),
            torch.zeros_like(ids_RT, dtype=torch.bool),
            ids_RT.clone(),
        )
        for n, (row, left) in enumerate(zip(rows, before, strict=True)):
            ids_RT[n, left : left + len(row)] = row.ids
            mask_RT[n, left : left + len(row)] = 1
            where_RT[n, left + columns[n]] = True
            if config.cfg_scale:
                blind_RT[n, left : left + len(row)] = row.blind()
        if not config.cfg_scale:
            hidden_ND, cost_R = self._run(
                ids_RT.to(device), mask_RT.to(device), where_RT.to(device)
            )
            return (hidden_ND,), cost_R
        twice = (
            torch.cat(pair).to(device)
            for pair in ((ids_RT, blind_RT), (mask_RT, mask_RT), (where_RT, where_RT))
        )
        hidden_ND, cost_R = self._run(*twice)
        return hidden_ND.chunk(2), 2 * cost_R[: len(rows)]

    def _choose(
        self, hidden: tuple[torch.Tensor, ...], rows: Sequence[Row], counts: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token [N] and confidence [N] of every masked position, on the CPU."""
        config, device = rows[0].config, self.backbone.device
        is_random = config.temperature > 0 or config.remasking == "random"
        generators = [row.generator(device) for row in rows] if is_random else []
        # Without noise rows can be mixed; with it each row draws from its own generator, in pieces
        # that depend on that row alone.
        parts = [
            hidden_ND.split(counts if config.temperature > 0 else [sum(counts)])
            for hidden_ND in hidden
        ]
        tokens, confidences = [], []
        for n, part in enumerate(zip(*parts, strict=True)):
            for logits_NV in logits_in_pieces(self.backbone, part, config.cfg_scale):
                generator = generators[n] if config.temperature > 0 else None
                tokens_N, confidence_N = choose_tokens(
                    logits_NV,
                    mask_id=self.backbone.spec.mask_id,
                    temperature=config.temperature,
                    generator=generator,
                    confidence=config.remasking,
                )
                tokens.append(tokens_N)
                confidences.append(confidence_N)
        if config.remasking == "random":
            dtype = precise(device)
            confidences = [
                torch.rand(count, generator=generator, dtype=dtype, device=device)
                for generator, count in zip(generators, counts, strict=True)
            ]
        return torch.cat(tokens).cpu(), torch.cat(confidences).cpu()
