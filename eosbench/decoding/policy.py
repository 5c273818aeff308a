"""The contract between the engine and the rules by which one sequence is decoded.

A policy says, between two forward passes of its own sequence, which tokens stay and how long the
canvas is from then on. It is written as a generator: it yields the `Step` that it wants the next
pass to take, gets the `Scores` of that pass, changes the sequence, and returns when nothing is left
to do.

    class AllAtOnce:
        def decode(self, sequence):
            masked_N = sequence.masked(0, len(sequence.canvas))
            scores = yield Step(masked_N)                        # one forward pass
            sequence.place(masked_N, scores.tokens_N)

A policy knows nothing of the batch; it may look at any canvas before it settles on one (set it with
`sequence.resize`, yield a Step, read `scores.logits`), and may place tokens where others stand.
eosbench/decoding/fixed_canvas.py is the plain policy; eosbench/strategies/ has those whose canvas
grows and shrinks.

Legend: N canvas positions, n those of one piece, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from eosbench.decoding.sampler import choose_tokens
from eosbench.forward import read_together

if TYPE_CHECKING:
    from eosbench.decoding.sequence import Sequence


@dataclass(frozen=True, eq=False)
class Step:
    """One sequence's part in the coming forward pass.

    Attributes:
        positions_N: the canvas positions that are scored for certain, from left to right; there may
            be none.
        block: the canvas positions (start, end) of the open block, within which `positions_N` lie.
            With a cache (eosbench/forward/block_cache.py) keys and values outside of it are kept
            until a step names another block.
        whole_canvas: whether any position of the canvas may be scored on demand, not only
            `positions_N`.
        likeliest: whether the model's likeliest tokens are asked for beside those that are chosen.
        columns: of a block model, the columns (first, stop) of the sequence that run, the prompt's
            counted too; what stands behind them is not there.
        past: of a block model, the number of columns whose kept keys and values the pass sees,
            without those that it runs itself.
        keeps: whether the keys and values of what runs are kept from then on.
        kind: what the pass is counted as: "denoise", "prefill" or "store".
    """

    positions_N: torch.Tensor
    block: tuple[int, int] | None = None
    whole_canvas: bool = False
    likeliest: bool = False
    columns: tuple[int, int] | None = None
    past: int = 0
    keeps: bool = False
    kind: str = "denoise"


class Scores:
    """A forward pass's answer to one Step, on the CPU.

    Args:
        chosen: `tokens_N` and `confidence_N`.
        likeliest: `likeliest_N` and `probability_N`.
        logits: gives the logits of any canvas positions in pieces.
        mask_id: the token that is never chosen.

    Attributes:
        tokens_N: the token for each position of the step, drawn where there is a temperature.
        confidence_N: how sure the model is of it, as the config's `remasking` measures that.
        likeliest_N: the model's own likeliest token of each position, without any drawing and
            whatever the sampling options; if a step did not ask for it, the same as `tokens_N`.
        probability_N: the probability of that token.
        scored: how many positions went through the output layer so far.
    """

    def __init__(
        self,
        chosen: tuple[torch.Tensor, torch.Tensor],
        likeliest: tuple[torch.Tensor, torch.Tensor],
        logits: Callable[[torch.Tensor], Iterator[torch.Tensor]],
        mask_id: int,
    ) -> None:
        self.tokens_N, self.confidence_N = chosen
        self.likeliest_N, self.probability_N = likeliest
        self.scored = len(self.tokens_N)
        self._logits, self._mask_id = logits, mask_id

    def logits(self, positions_N: torch.Tensor) -> Iterator[torch.Tensor]:
        """Logits of any canvas positions in the same pass, for a step with `whole_canvas`.

        Returns:
            pieces [n, V] that fit into memory, on the model's device, in order.
        """
        self.scored += len(positions_N)
        return self._logits(positions_N)

    def likeliest(self, positions_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest tokens of any canvas positions, for a step with `whole_canvas`.

        Returns:
            [N] token ids and [N] probabilities, on the CPU.
        """
        pieces = [
            choose_tokens(logits_NV, mask_id=self._mask_id)
            for logits_NV in self.logits(positions_N)
        ]
        tokens, probabilities = zip(*pieces, strict=True)
        (likeliest,) = read_together([(torch.cat(tokens), torch.cat(probabilities))])
        return likeliest


Steps = Generator[Step, Scores, None]


class Policy(Protocol):
    """The rules by which a sequence is decoded; one policy serves any number of sequences."""

    def decode(self, sequence: Sequence) -> Steps:
        """Decodes this sequence: yields a Step per forward pass, and returns at the end.

        What it has to remember of the sequence stands in local variables, so that sequences cannot
        disturb each other.

        Raises:
            ConfigurationError: settings that the policy has no place for, or too little room.
        """
        ...
