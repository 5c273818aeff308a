"""Whether greedy decoding gives the target: the most confident token is filled in, one at a time.

A miss ends a target. The first choice stands in the copy that is masked all over, which the
likelihood needs too, so that it costs no pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eosbench.likelihood.masked_copies import Choice, MaskedCopies, MaskedCopy
from eosbench.likelihood.pairs import Pair


@dataclass
class GreedyFill:
    """A target as greedy decoding fills it in.

    Attributes:
        pair: the prompt and the target.
        filled: token ids so far, the mask token elsewhere.
        agrees: whether every token so far is the target's.
        passes: rows of passes that it took, beyond those of the likelihood.
        scored_positions: positions of these rows that went through the output layer.
    """

    pair: Pair
    filled: list[int]
    agrees: bool = True
    passes: int = 0
    scored_positions: int = 0

    def copy(self, mask_id: int) -> MaskedCopy:
        """The row that the next token is read off."""
        masked = tuple(i for i, token in enumerate(self.filled) if token == mask_id)
        return MaskedCopy((*self.pair.prompt, *self.filled), len(self.filled), masked)

    def take(self, choice: Choice) -> None:
        """Fills in one token."""
        self.filled[choice.position] = choice.token
        self.agrees = choice.token == self.pair.target[choice.position]


def fill_greedily(
    copies: MaskedCopies, pairs: Iterable[Pair], first_choices: Mapping[MaskedCopy, Choice]
) -> dict[Pair, GreedyFill]:
    """Fills in every pair's target, until it is full or differs.

    Args:
        copies: runs the passes.
        pairs: distinct ones.
        first_choices: the choices in the copies that are masked all over.
    """
    mask_id = copies.backbone.spec.mask_id
    fills = {pair: GreedyFill(pair, [mask_id] * len(pair.target)) for pair in pairs}
    choices = dict(first_choices)
    while unsettled := [fill for fill in fills.values() if fill.agrees and mask_id in fill.filled]:
        rows = [fill.copy(mask_id) for fill in unsettled]
        new = dict.fromkeys(row for row in rows if row not in choices)
        choices |= copies.read({row: () for row in new}, choosing=new).choices
        for fill, row in zip(unsettled, rows, strict=True):
            if not row.is_masked_all_over:
                fill.passes += 1
                fill.scored_positions += len(row.masked)
            fill.take(choices[row])
    return fills
