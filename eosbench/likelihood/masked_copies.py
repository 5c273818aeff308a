"""Masked copies of targets, run through the model in batches of like length.

Copies that mask to the same ids (those of a question's choices of one length) are one row, and
every pair reads its own tokens off it.

Legend: B rows, T columns, N masked positions, M tokens that are read, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise

import numpy as np
import torch

from eosbench.backbone import Backbone
from eosbench.decoding import choose_tokens, precise
from eosbench.forward import (
    BatchSize,
    left_pad,
    logits_in_pieces,
    states_of,
    without_prompt,
)
from eosbench.likelihood.mask_plan import Pattern
from eosbench.likelihood.pairs import Pair


@dataclass(frozen=True)
class MaskedCopy:
    """A prompt and its target with some of its tokens masked: one row of a pass.

    Attributes:
        ids: token ids of the prompt and of the partly masked target.
        target_length: tokens of the target.
        masked: the masked positions of the target, ascending.
    """

    ids: tuple[int, ...]
    target_length: int
    masked: Pattern

    @classmethod
    def of(cls, pair: Pair, masked: Pattern, mask_id: int) -> MaskedCopy:
        """The pair with these positions of its target masked."""
        target = list(pair.target)
        for i in masked:
            target[i] = mask_id
        return cls((*pair.prompt, *target), len(target), masked)

    @property
    def is_masked_all_over(self) -> bool:
        """Whether no token of the target is known."""
        return len(self.masked) == self.target_length

    @property
    def columns(self) -> list[int]:
        """The masked positions, counted back from the end of the row: -1 is its last token."""
        return [i - self.target_length for i in self.masked]


@dataclass(frozen=True)
class Choice:
    """The token that the model would fill in first: at the position it is surest of."""

    position: int
    token: int


@dataclass
class Readings:
    """The numbers that some masked copies gave.

    Attributes:
        log_p: for each pair and each of its patterns, log p of the masked tokens, in nats.
        choices: the first choices in those copies that were asked for one.
    """

    log_p: dict[Pair, dict[Pattern, list[float]]] = field(default_factory=dict)
    choices: dict[MaskedCopy, Choice] = field(default_factory=dict)


class MaskedCopies:
    """Runs masked copies through a backbone and reads what is asked for off their logits.

    Args:
        backbone: the model.
        batch_size: rows of one pass; halved, with a warning, when they do not fit into memory.
        cfg_scale: weight of classifier-free guidance.
    """

    def __init__(self, backbone: Backbone, batch_size: int, cfg_scale: float) -> None:
        self.backbone, self.cfg_scale = backbone, cfg_scale
        self.size = BatchSize(batch_size)

    def read(
        self,
        readers: Mapping[MaskedCopy, Sequence[Pair]],
        choosing: Collection[MaskedCopy] = frozenset(),
    ) -> Readings:
        """Runs every copy once.

        Args:
            readers: the copies, each with the pairs whose own tokens are read off it.
            choosing: those copies whose first choice is asked for.
        """
        readings = Readings()
        for copies, hidden in self._batches(readers):
            reads, chosen = self._read_batch(copies, hidden, readers, choosing)
            for read in reads:
                readings.log_p.setdefault(read.pair, {})[read.pattern] = read.log_p
            readings.choices |= chosen
        return readings

    def _batches(
        self, copies: Collection[MaskedCopy]
    ) -> Iterator[tuple[list[MaskedCopy], list[torch.Tensor]]]:
        """Batches of copies, longest first, with the hidden states of their masked positions."""
        waiting = sorted(copies, key=lambda copy: -len(copy.ids))
        start = 0
        while start < len(waiting):
            batch = waiting[start : start + self.size.limit]
            with self.size.halved_if_out_of_memory(len(batch)) as attempt:
                hidden = self._hidden(batch)
            if attempt.succeeded:
                yield batch, hidden
                start += len(batch)

    def _hidden(self, copies: Sequence[MaskedCopy]) -> list[torch.Tensor]:
        """[N, D] at the masked positions, copy after copy; with guidance also without prompts."""
        spec = self.backbone.spec
        ids_BT, mask_BT = left_pad([torch.tensor(copy.ids) for copy in copies], spec.pad_id)
        where_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        for row, copy in enumerate(copies):
            where_BT[row, copy.columns] = True
        versions = [ids_BT]
        if self.cfg_scale:
            lengths_B = torch.tensor([copy.target_length for copy in copies])
            versions.append(without_prompt(ids_BT, lengths_B, spec.mask_id))
        row_N, column_N = where_BT.nonzero(as_tuple=True)
        return [
            states_of(self.backbone, version_BT, mask_BT, (row_N, column_N))
            for version_BT in versions
        ]

    def _read_batch(
        self,
        copies: list[MaskedCopy],
        hidden: list[torch.Tensor],
        readers: Mapping[MaskedCopy, Sequence[Pair]],
        choosing: Collection[MaskedCopy],
    ) -> tuple[list[_Read], dict[MaskedCopy, Choice]]:
        """The tokens that the pairs read off one batch, and the first choices in it."""
        counts = [len(copy.masked) for copy in copies]
        reads = []
        for copy, (first, end) in zip(copies, pairwise(accumulate(counts, initial=0)), strict=True):
            reads += [_Read(pair, copy.masked, range(first, end)) for pair in readers[copy]]
        row_M = np.fromiter(chain.from_iterable(read.rows for read in reads), dtype=int)
        token_M = np.fromiter(chain.from_iterable(read.tokens for read in reads), dtype=int)
        log_p_M = np.zeros(len(row_M))
        chooses_N = np.repeat([copy in choosing for copy in copies], counts)
        chosen = []
        start = 0
        for logits_NV in logits_in_pieces(self.backbone, hidden, self.cfg_scale):
            exact_NV = logits_NV.to(precise(logits_NV.device))
            stop = start + len(exact_NV)
            here_M = (start <= row_M) & (row_M < stop)
            if here_M.any():
                log_p_M[here_M] = _log_p(exact_NV, row_M[here_M] - start, token_M[here_M])
            chooses_n = torch.as_tensor(chooses_N[start:stop], device=exact_NV.device)
            if chooses_n.any():
                mask_id = self.backbone.spec.mask_id
                chosen.append(choose_tokens(exact_NV[chooses_n], mask_id=mask_id))
            start = stop
        ends = accumulate((len(read.rows) for read in reads), initial=0)
        for read, (first, end) in zip(reads, pairwise(ends), strict=True):
            read.log_p = log_p_M[first:end].tolist()
        return reads, _first_choices([copy for copy in copies if copy in choosing], chosen)


@dataclass
class _Read:
    """One pair's own tokens in one copy, read off some rows of the batch's logits [N, V]."""

    pair: Pair
    pattern: Pattern
    rows: range
    log_p: list[float] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        return [self.pair.target[i] for i in self.pattern]


def _log_p(exact_NV: torch.Tensor, row_M: np.ndarray, token_M: np.ndarray) -> np.ndarray:
    """[M] log-probabilities of these tokens in these rows."""
    rows, tokens = torch.as_tensor(np.stack([row_M, token_M]), device=exact_NV.device)
    log_p_M = exact_NV[rows, tokens] - exact_NV.logsumexp(dim=-1)[rows]
    return np.asarray(log_p_M.cpu().numpy())


def _first_choices(
    copies: list[MaskedCopy], chosen: list[tuple[torch.Tensor, torch.Tensor]]
) -> dict[MaskedCopy, Choice]:
    """Of each copy the most confident of its choices.

    Args:
        copies: those that choose, in the order of their rows.
        chosen: pieces of their rows' (tokens [n], confidences [n]).
    """
    if not copies:
        return {}
    counts = [len(copy.masked) for copy in copies]
    tokens, confidences = (
        torch.cat(parts).cpu().split(counts) for parts in zip(*chosen, strict=True)
    )
    choices = {}
    for copy, tokens_n, confidence_n in zip(copies, tokens, confidences, strict=True):
        surest = int(confidence_n.argmax())
        choices[copy] = Choice(copy.masked[surest], int(tokens_n[surest]))
    return choices
