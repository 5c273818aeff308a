"""Attention that grows from causal to full while an autoregressive model becomes a denoiser.

At ratio r every entry above the diagonal is seen with probability r, drawn anew for every batch
(DiffuGPT and DiffuLLaMA, 2410.17891, section 3.2). Ratio 0 is the causal model, ratio 1 the full
canvas. Masks go to transformers as floats: booleans in four dimensions are wrong in its eager
attention.

Legend: B rows, T tokens (queries before keys).
"""

from __future__ import annotations

import torch


def draw_seen(tokens: int, ratio: float, rng: torch.Generator) -> torch.Tensor:
    """[T, T] bool: which query sees which key.

    Example:
        >>> draw_seen(3, 0.0, torch.Generator()).int().tolist()
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    drawn_TT = torch.rand(tokens, tokens, generator=rng) < ratio
    return drawn_TT | torch.ones(tokens, tokens, dtype=torch.bool).tril()


def additive(
    seen_TT: torch.Tensor, token_BT: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor:
    """[B or 1, 1, T, T]: 0 where a query sees a token, else the dtype's smallest number."""
    seen_B1TT = seen_TT[None, None]
    if token_BT is not None:
        seen_B1TT = seen_B1TT & token_BT[:, None, None, :].bool()
    least = torch.finfo(dtype).min
    return torch.zeros(seen_B1TT.shape, dtype=dtype, device=seen_TT.device).masked_fill(
        ~seen_B1TT, least
    )
