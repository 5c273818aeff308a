"""Batches: documents laid out, masked and weighed, with all that a denoiser reads of them.

Which documents a micro-batch of prompts with answers holds is in pairs.py, and of streamed text in
streams.py.

Legend: B rows, T tokens, K draws of a length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from eosbench.training.attention import draw_seen
from eosbench.training.grid import POINTS, on_grid
from eosbench.training.layout import PROMPT, Document, Rows, lay_out
from eosbench.training.noise import draw_masks
from eosbench.training.schedule import ramp
from eosbench.training.weights import loss_weights

Batch = dict[str, torch.Tensor]


class MakeBatch(Protocol):
    """From documents and the sizes of their rows to a batch, drawing from `rng`."""

    def __call__(
        self,
        documents: Sequence[Document],
        sizes: Sequence[int],
        *,
        step: int,
        rng: torch.Generator,
        more: Sequence[Document] = (),
        grid: int = 0,
    ) -> Batch: ...


def make_batch(
    documents: Sequence[Document],
    sizes: Sequence[int],
    *,
    step: int,
    rng: torch.Generator,
    more: Sequence[Document] = (),
    grid: int = 0,
    layout: str,
    noise: str,
    eos_id: int,
    mask_id: int,
    pad_id: int,
    fillers: Sequence[int] = (),
    full_share: float = 0.25,
    block_length: int = 32,
    weights: Mapping[str, Any] | None = None,
    anneal_steps: int = 0,
    views: int = 1,
    draws: int = 0,
) -> Batch:
    """A batch: what the denoiser reads, and what it is compared with.

    Args:
        documents, sizes, more, layout, eos_id, mask_id, pad_id, fillers: as for `lay_out`.
        step: the optimizer step.
        rng: what is drawn from.
        grid: positions of the canvas that run beside the prompt, with everything behind it masked
            whatever the noise is; 0: all of them.
        noise, full_share, block_length: as for `draw_masks`.
        weights: keywords of `loss_weights`.
        anneal_steps: after so many steps attention is full; 0: it is from the start.
        views: maskings of the same rows, below each other in the batch.
        draws: uniform numbers a row, for objectives that draw lengths.

    Returns:
        `ids`, `targets`, `kinds` [B, T]; `masked` [B, T] bool; `weights` [B, T] float32; `prompt`,
        `length` [B]; where they are needed `token` [B, T] bool, `seen` [T, T] bool, `uniform`
        [B, K], `views` [1], `grid` [1].
    """
    rows = lay_out(
        documents,
        sizes,
        layout,
        eos_id=eos_id,
        mask_id=mask_id,
        pad_id=pad_id,
        fillers=fillers,
        more=more,
    )
    causal = noise == "causal"
    noise = "full" if grid else noise
    seen = [_masked_rows(rows, noise, full_share, block_length, rng) for _ in range(views)]
    masked_BT = torch.cat([masked for masked, _ in seen])
    ids_BT = rows.ids_BT.repeat(views, 1)
    ids_BT = ids_BT if causal else ids_BT.masked_fill(masked_BT, mask_id)
    if grid:
        masked_BT = on_grid(masked_BT, rows.prompt_B.repeat(views), grid)
    share_B = torch.cat([share for _, share in seen])
    targets_BT, kind_BT = (part.repeat(views, 1) for part in (rows.ids_BT, rows.kind_BT))
    batch = {
        "ids": ids_BT,
        "targets": targets_BT,
        "kinds": kind_BT,
        "masked": masked_BT,
        "weights": loss_weights(kind_BT, masked_BT, share_B, **(weights or {})),
        "prompt": rows.prompt_B.repeat(views),
        "length": rows.length_B.repeat(views),
    }
    if not rows.token_BT.all():
        batch["token"] = rows.token_BT.repeat(views, 1)
    ratio = 0.0 if causal else ramp(step, anneal_steps)
    if ratio < 1.0:
        batch["seen"] = draw_seen(rows.ids_BT.shape[1], ratio, rng)
    if draws:
        batch["uniform"] = torch.rand(len(masked_BT), draws, generator=rng)
    if views > 1:
        batch["views"] = torch.tensor([views])
    if grid:
        batch[POINTS] = torch.tensor([grid])
    return batch


def _masked_rows(
    rows: Rows, noise: str, full_share: float, block_length: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    open_BT = (rows.kind_BT != PROMPT) & rows.token_BT
    return draw_masks(
        noise,
        open_BT,
        rows.prompt_B,
        rows.length_B,
        rng=rng,
        full_share=full_share,
        block_length=block_length,
    )
