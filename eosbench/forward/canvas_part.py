"""Step zero over a part of the canvas: the positions that run, and the values between them.

The positions keep their ids: a token at canvas index i stands at P + i, whatever was left out
before it. Where logits are shifted the state at one position scores the next token, so that of a
grid point the position before it runs.

Legend: B batch, P prompt, C canvas, T prompt and canvas, R positions that run, D width.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import torch

from eosbench.backbone import Backbone, BackboneSpec, PositionedBackbone
from eosbench.canvas_view import PROMPT, CanvasView
from eosbench.errors import ConfigurationError
from eosbench.records import Prompt

__all__ = ["check_view", "filled_between", "hidden_at", "pass_positions", "scored_positions"]


def check_view(view: CanvasView, spec: BackboneSpec) -> None:
    """Refuses a grid on a model that cannot leave out positions of the canvas.

    Raises:
        ConfigurationError: why, and what to take.
    """
    if not view.is_grid or spec.takes_positions:
        return
    if spec.attention == "block":
        raise ConfigurationError(
            f"step_zero={view}: {spec.family!r} attends causally between blocks, so that its step "
            "zero is the prompt alone: leave step_zero out, or take step_zero=prompt"
        )
    raise ConfigurationError(
        f"step_zero={view}: {spec.name or spec.family} cannot be told which positions a pass "
        "leaves out, as no model can that its own code runs, or attn_implementation="
        "flash_attention_2, which takes gaps for the borders of texts: take step_zero=full, or "
        "attn_implementation=sdpa"
    )


def pass_positions(prompt: Prompt, view: CanvasView, spec: BackboneSpec) -> list[int]:
    """The positions of a prompt and its canvas that step zero runs, ascending: R of T.

    They are those of the prompt, of every revealed token, and those that score the grid.

    Example:
        >>> spec = BackboneSpec("llada", 0, frozenset({1}), 1, 64, 8, 4, False, "")
        >>> prompt = Prompt("", (5, 6), (0, 0, 0, 7, 0, 0, 0, 0, 0))
        >>> pass_positions(prompt, CanvasView.of("grid:3"), spec)  # canvas indices 0, 3, 2 and 8
        [0, 1, 2, 4, 5, 10]
    """
    P, C = len(prompt.ids), len(prompt.canvas)
    if spec.attention == "block" or view == PROMPT:
        return list(range(P))
    if view.covers(C):
        return list(range(P + C))
    revealed = (P + index for index, token in enumerate(prompt.canvas) if token != spec.mask_id)
    scoring = (max(0, P + index - spec.logits_shifted) for index in view.grid(C))
    return sorted({*range(P), *revealed, *scoring})


def scored_positions(prompt: Prompt, view: CanvasView, spec: BackboneSpec) -> list[int]:
    """The canvas indices that the pass scores, ascending: the grid among them."""
    if spec.attention == "block" or view == PROMPT:
        return []
    if view.covers(len(prompt.canvas)):
        return list(range(len(prompt.canvas)))
    P, run = len(prompt.ids), set(pass_positions(prompt, view, spec))
    shift = int(spec.logits_shifted)
    return [index for index in range(len(prompt.canvas)) if max(0, P + index - shift) in run]


def hidden_at(
    backbone: Backbone, ids_BT: torch.Tensor, places: Collection[Collection[int]]
) -> torch.Tensor:
    """[B, T, D]: hidden states in raw rows of a pass over some positions; 0 at the others.

    Args:
        backbone: the model, which takes positions.
        ids_BT: all tokens; column t is position t.
        places: the positions of each row that run.
    """
    run_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
    for row, positions in enumerate(places):
        run_BT[row, list(positions)] = True
    longest = max(map(len, places))
    order_BR = run_BT.int().argsort(dim=1, descending=True, stable=True)[:, :longest]
    real_BR = run_BT.gather(1, order_BR)
    hidden_BRD = cast(PositionedBackbone, backbone).hidden(
        ids_BT.gather(1, order_BR), real_BR.long(), position_ids=order_BR * real_BR
    )
    hidden_BTD = hidden_BRD.new_zeros(*ids_BT.shape, hidden_BRD.shape[2])
    at_BRD = order_BR.to(hidden_BRD.device)[..., None].expand_as(hidden_BRD)
    real_BR1 = real_BR.to(hidden_BRD.device)[..., None]
    return hidden_BTD.scatter(1, at_BRD, hidden_BRD.masked_fill(~real_BR1, 0.0))


def filled_between(value_BC: torch.Tensor, known_BC: torch.Tensor) -> torch.Tensor:
    """[B, C] values on a straight line between the known ones.

    Before the first known position the line begins at 0 just before the canvas; after the last one
    its value holds. Known values stay as they are.

    Example:
        >>> value = torch.tensor([[0.0, 0.2, 0.0, 0.0, 0.8, 0.0]])
        >>> known = torch.tensor([[False, True, False, False, True, False]])
        >>> [round(one, 2) for one in filled_between(value, known)[0].tolist()]
        [0.1, 0.2, 0.4, 0.6, 0.8, 0.8]
    """
    C = known_BC.shape[1]
    index_BC = torch.arange(C, device=known_BC.device).expand_as(known_BC)
    before_BC = index_BC.masked_fill(~known_BC, -1).cummax(dim=1).values
    after_BC = index_BC.masked_fill(~known_BC, C).flip(1).cummin(dim=1).values.flip(1)
    start_BC = value_BC.gather(1, before_BC.clamp(min=0)) * (before_BC >= 0)
    end_BC = value_BC.gather(1, after_BC.clamp(max=C - 1))
    end_BC = torch.where(after_BC < C, end_BC, start_BC)
    share_BC = (index_BC - before_BC) / (after_BC - before_BC).clamp(min=1)
    return torch.where(known_BC, value_BC, start_BC + share_BC * (end_BC - start_BC))
