"""The rules by which block models are decoded, by the name that a family gives its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from eosbench.decoding.block_rules import BlockRule, all_from, enough_above
from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.policy import Steps
from eosbench.decoding.sub_blocks import SubBlocks

if TYPE_CHECKING:
    from eosbench.decoding.sequence import Sequence


class Rule(Protocol):
    """A family's way to decode blocks."""

    def fill(self, sequence: Sequence, config: DecodeConfig) -> Steps:
        """Decodes the masked blocks of a canvas, from the left."""
        ...


RULES: dict[str, Rule] = {
    "sdar": BlockRule(enough_above),
    "llada2": BlockRule(enough_above, joins=True),
    "stable_diffcoder": BlockRule(
        all_from, shares_masks=True, whole_last_block=False, drops_last=True
    ),
    "fast_dllm_v2": SubBlocks(),
}
