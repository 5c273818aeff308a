"""The attention mask of models that denoise block after block: causal between blocks, full inside.

A position sees the positions of its own block and of all blocks before it. Blocks count from
position 0 of the sequence, the prompt included. The mask is added to the attention scores, since a
boolean one is added as 0 and 1 by transformers' eager attention.

Legend: B rows, T tokens of a pass, K tokens kept from earlier passes.
"""

from __future__ import annotations

import torch


def block_mask(
    position_ids_BT: torch.Tensor,
    attention_mask_BK: torch.Tensor,
    block_length: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """[B, 1, T, K + T]: 0 where a token of the pass sees a token, the least number of `dtype` else.

    Args:
        position_ids_BT: positions of the pass's tokens in their rows.
        attention_mask_BK: [B, K + T], 1 = token. The first K are kept ones, of the same block or of
            blocks before it: every token of the pass sees them.
        block_length: tokens of a block.
        dtype: of the attention scores.

    Example:
        >>> mask = block_mask(torch.arange(4)[None], torch.ones(1, 4), 2, torch.float32)
        >>> (mask[0, 0] == 0).int().tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    """
    block_BT = position_ids_BT.div(block_length, rounding_mode="floor")
    sees_BTT = block_BT[:, :, None] >= block_BT[:, None, :]
    kept = attention_mask_BK.shape[1] - position_ids_BT.shape[1]
    sees_BTK = torch.nn.functional.pad(sees_BTT, (kept, 0), value=True)
    hidden_BTK = ~(sees_BTK & attention_mask_BK.bool()[:, None, :])
    mask_BTK = torch.zeros(hidden_BTK.shape, dtype=dtype, device=hidden_BTK.device)
    return mask_BTK.masked_fill(hidden_BTK, torch.finfo(dtype).min)[:, None]
