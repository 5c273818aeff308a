"""`blocks`: block after block until an EOS stands, each block denoised on a canvas that ends with
it.

The way of models that were trained in blocks: BD3-LM (arXiv 2503.09573, section 3.2) samples one
block at a time given those before it and stops at the EOS; dLLM-Var (arXiv 2510.24605) does so
with full attention and LLaDA's blocks; LLaDA (arXiv 2502.09992, appendix B.4) lists it among the
samplings that need no other training. What follows the current block is not on the canvas,
unlike in `fixed`, whose blocks see all masks of the whole canvas behind them.

Ours: every pass runs over the prompt and all blocks so far, with full attention; block length,
steps per block, thresholds, guidance and caches are those of the decode settings. The last block
ends with the longest canvas allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from eosbench.backbone import Backbone
from eosbench.decoding import Answer, DecodeConfig, Job, generate

__all__ = ["Blocks"]


class Blocks:
    """Grows the window by one block while no EOS (or stop string) stands in it; blocks are those of
    the decode settings.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def check(self, settings: DecodeConfig) -> None:
        """Every decode setting has its place here."""

    def generate(
        self, backbone: Backbone, jobs: Sequence[Job], *, batch_size: int = 16
    ) -> Iterator[tuple[int, Answer]]:
        first = [replace(job, window=_block(job)) for job in jobs]
        for index, answer in generate(
            backbone, first, batch_size=batch_size, overflow=_one_block_more
        ):
            answer.cost.retries = 0  # another block is no second try
            yield index, answer


def _block(job: Job) -> int:
    return job.settings.block_length or job.settings.gen_length


def _one_block_more(job: Job) -> int:
    return min(job.window + _block(job), job.settings.gen_length)
