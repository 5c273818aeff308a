"""Hidden states at chosen positions: one copy to the model's device, and no value read back.

Which positions these are is known on the host. A mask of them on a GPU would have to be looked
through for their places, for which the host waits; their places are sent instead.

Legend: B rows, T columns, K kept columns, N chosen positions, n of them without repetition, D
width.
"""

from __future__ import annotations

from typing import Any

import torch

from eosbench.backbone import Backbone, raw_rows
from eosbench.forward.transfer import send_together

__all__ = ["states_of"]


def states_of(
    backbone: Backbone,
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    where: tuple[torch.Tensor, torch.Tensor],
    *,
    position_ids: torch.Tensor | None = None,
    **kept: Any,
) -> torch.Tensor:
    """[N, D]: the hidden states that score the tokens at the N chosen positions, and no others.

    Args:
        backbone: the model.
        ids_BT: [B, T], on the host like all tensors here.
        mask_BT: [B, K + T], as for `Backbone.hidden`.
        where: the rows [N] and the columns [N] of the positions, in the order in which their states
            are wanted; a position may be named twice.
        position_ids: [B, T], as for `PositionedBackbone.hidden`; None leaves them to the backbone.
        kept: further arguments of `Backbone.hidden`, as a cache of keys and values asks for them
            (eosbench/forward/block_cache.py).
    """
    raw_N = raw_rows(*where, width=ids_BT.shape[1], shifted=backbone.spec.logits_shifted)
    needed_n = raw_N.unique()
    sent = {"ids": ids_BT, "raw": raw_N}
    if len(needed_n) < len(raw_N):
        sent["needed"] = needed_n
    if not mask_BT.all():
        sent["mask"] = mask_BT
    if position_ids is not None:
        sent["positions"] = position_ids
    there = dict(zip(sent, send_together(backbone.device, list(sent.values())), strict=True))
    if position_ids is not None:
        kept["position_ids"] = there["positions"]
    hidden_BTD = backbone.hidden(
        there["ids"], there.get("mask"), needed=there.get("needed", there["raw"]), **kept
    )
    return hidden_BTD.flatten(0, 1).index_select(0, there["raw"].to(hidden_BTD.device))
