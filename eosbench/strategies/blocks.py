"""`blocks`: block after block until an EOS stands, on a canvas that ends with the current block.

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

from collections import abc
from dataclasses import asdict, dataclass, replace

from eosbench.backbone import Backbone
from eosbench.decoding import DecodeConfig, Job, Sequence, Steps, fill, fill_window, widen
from eosbench.strategies.protocol import Prepared

__all__ = ["Blocks"]


@dataclass(frozen=True)
class Blocks:
    """Grows the canvas by one block for as long as no EOS (or stop string) stands on it.

    Blocks are those of the decode settings.
    """

    options = property(asdict)

    def check(self, settings: DecodeConfig) -> None:
        """Every decode setting has its place here."""

    def prepare(self, backbone: Backbone, jobs: abc.Sequence[Job]) -> Prepared:
        """Every model has what it needs, and every job begins with one block."""
        return self, [replace(job, window=_block(job.settings)) for job in jobs]

    def decode(self, sequence: Sequence) -> Steps:
        """Decodes the canvas, and one block more for as long as it holds no end.

        A model that attends causally between blocks does so by itself, and keeps what it computed.
        """
        if sequence.spec.attention == "block":
            config = replace(sequence.config, stop_after_block=True)
            sequence.resize(sequence.masks(config.gen_length))
            yield from fill(sequence, config)
            return
        limit = sequence.config.gen_length
        yield from fill_window(sequence)
        while len(sequence.canvas) < limit and not sequence.has_end():
            widen(sequence, min(len(sequence.canvas) + _block(sequence.config), limit))
            yield from fill_window(sequence)


def _block(settings: DecodeConfig) -> int:
    return settings.block_length or settings.gen_length
