"""One forward pass of a backbone: the logits that are needed, the cache, the memory, the cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eosbench.forward.block_cache import CACHES, BlockPasses, positions
from eosbench.forward.canvas_part import (
    check_view,
    hidden_at,
    pass_positions,
    scored_positions,
)
from eosbench.forward.costs import Cost, Ledger, estimated_flops
from eosbench.forward.memory import BatchSize, keep_freed_memory
from eosbench.forward.scoring import left_pad, logits_in_pieces, without_prompt
from eosbench.forward.states import states_of
from eosbench.forward.step_zero import Need, StepZero, run_step_zero, text_only
from eosbench.forward.threads import bound_threads, processors
from eosbench.forward.timing import TimedBackbone
from eosbench.forward.transfer import read_together, send_together

if TYPE_CHECKING:
    from eosbench.forward.kept_keys import KeptKeys

__all__ = [
    "CACHES",
    "BatchSize",
    "BlockPasses",
    "Cost",
    "KeptKeys",
    "Ledger",
    "Need",
    "StepZero",
    "TimedBackbone",
    "bound_threads",
    "check_view",
    "estimated_flops",
    "hidden_at",
    "keep_freed_memory",
    "left_pad",
    "logits_in_pieces",
    "pass_positions",
    "positions",
    "processors",
    "read_together",
    "run_step_zero",
    "scored_positions",
    "send_together",
    "states_of",
    "text_only",
    "without_prompt",
]


def __getattr__(name: str) -> Any:
    """`KeptKeys`, whose file needs transformers, is imported when it is asked for."""
    if name != "KeptKeys":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from eosbench.forward import kept_keys

    return kept_keys.KeptKeys
