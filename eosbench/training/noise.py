"""The masked positions of rows: pure functions of the rows and of a generator.

| noise | masked |
| --- | --- |
| `uniform` | each position behind the prompt, by a share drawn per row (LLaDA, 2502.09992) |
| `suffix` | everything from a place drawn per row to the end of the window |
| `full` | everything behind the prompt: step zero |
| `in_use` | a quarter of the rows fully, a quarter as blocks leave them, half uniformly |
| `causal` | nothing: attention is causal, and every token behind the prompt is a target |

`uniform` and `suffix` mask a further share of the rows fully (`full_share`), since step zero is
what every length predictor reads. Nothing behind the answer is spared: where fillers are masked
less often than text, the empty canvas is never seen in training.

Legend: B rows, T tokens.
"""

from __future__ import annotations

import torch

NOISES = ("uniform", "suffix", "full", "in_use", "causal")
LEAST = 1e-3  # share of masked positions, LLaDA's


def draw_masks(
    noise: str,
    open_BT: torch.Tensor,
    prompt_B: torch.Tensor,
    length_B: torch.Tensor,
    *,
    rng: torch.Generator,
    full_share: float = 0.25,
    block_length: int = 32,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(masked [B, T] bool, share of masked positions that was drawn [B]); at least one a row.

    Of `causal` they are the targets, which no state that scores them sees: all but a first token.

    Args:
        noise: one of NOISES.
        open_BT: True where a mask may stand: the response and what is behind it.
        prompt_B: tokens of the prompts.
        length_B: index of the end from the start of the response.
        rng: what is drawn from.
        full_share: of the rows that are masked wholly (but for `in_use`, which has its own).
        block_length: tokens of a block, for `in_use`.
    """
    B, T = open_BT.shape
    if noise == "in_use":
        masked_BT, share_B = in_use(open_BT, prompt_B, block_length=block_length, rng=rng)
    elif noise == "causal":
        masked_BT, share_B = open_BT & (torch.arange(T) > 0), torch.ones(B)
    elif noise == "full":
        masked_BT, share_B = open_BT.clone(), torch.ones(B)
    elif noise == "suffix":
        first_B1 = (torch.rand(B, 1, generator=rng) * (length_B[:, None] + 1)).floor()
        masked_BT = (torch.arange(T)[None] - prompt_B[:, None] >= first_B1) & open_BT
        share_B = masked_BT.sum(dim=1) / open_BT.sum(dim=1).clamp_min(1)
    else:
        share_B1 = LEAST + (1 - LEAST) * torch.rand(B, 1, generator=rng)
        masked_BT = (torch.rand(B, T, generator=rng) < share_B1) & open_BT
        share_B = share_B1[:, 0]
    if noise in ("uniform", "suffix") and full_share > 0:
        full_B = torch.rand(B, generator=rng) < full_share
        masked_BT = torch.where(full_B[:, None], open_BT, masked_BT)
        share_B = torch.where(full_B, torch.ones(B), share_B)
    return at_least_one(masked_BT, open_BT), share_B


def in_use(
    open_BT: torch.Tensor, prompt_B: torch.Tensor, *, block_length: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks as they occur in use: (masked [B, T] bool, share [B]).

    A quarter of the rows is wholly masked. A quarter looks as semi-autoregressive blocks leave it:
    a clean prefix, one half-denoised block, masks to the end. The rest has a uniform share.
    """
    B, T = open_BT.shape
    canvas_index_BT = torch.arange(T)[None] - prompt_B[:, None]
    kind_B1, share_B1 = torch.rand(B, 1, generator=rng), torch.rand(B, 1, generator=rng)
    uniform_BT = torch.rand(B, T, generator=rng) < share_B1
    window_B1 = T - prompt_B[:, None]
    first_B1 = (torch.rand(B, 1, generator=rng) * window_B1 / block_length).floor() * block_length
    blockwise_BT = (canvas_index_BT >= first_B1) & (
        uniform_BT | (canvas_index_BT >= first_B1 + block_length)
    )
    masked_BT = torch.where(kind_B1 < 0.5, blockwise_BT, uniform_BT)
    masked_BT = torch.where(kind_B1 < 0.25, torch.ones_like(masked_BT), masked_BT)
    share_B = torch.where(kind_B1 < 0.25, torch.ones_like(share_B1), share_B1)[:, 0]
    return masked_BT & open_BT, share_B


def at_least_one(masked_BT: torch.Tensor, open_BT: torch.Tensor) -> torch.Tensor:
    """The same, with the last open position masked in rows where nothing is."""
    T = open_BT.shape[1]
    last_B = T - 1 - open_BT.int().flip(dims=[1]).argmax(dim=1)
    is_last_BT = (torch.arange(T)[None] == last_B[:, None]) & open_BT
    return torch.where(masked_BT.any(dim=1, keepdim=True), masked_BT, is_last_BT)
