"""Micro-batches that run a grid of the canvas, as step zero with `step_zero=grid:N` does.

Such a row is a prompt and a whole canvas of masks, of which the prompt and N positions run, each
with the position that it has on the canvas (eosbench/canvas_view.py has the rule). A model that has
never seen a canvas with gaps reads one badly; one that was trained on some knows its ends there.

Legend: B rows, T tokens of prompt and canvas, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

from eosbench.backbone import scoring_rows
from eosbench.canvas_view import CanvasView
from eosbench.forward import hidden_at
from eosbench.training.layout import PROMPT
from eosbench.training.protocol import TrainableModel

POINTS = "grid"  # the entry of a batch that says N


def on_grid(masked_BT: torch.Tensor, prompt_B: torch.Tensor, points: int) -> torch.Tensor:
    """[B, T] bool: the masked positions that stand on the grid of their row's canvas.

    Args:
        masked_BT: True where a mask stands; a row's canvas ends with its last one.
        prompt_B: tokens of the prompts.
        points: N of the grid.

    Example:
        >>> masked = torch.tensor([[False, True, True, True, True, True]])
        >>> on_grid(masked, torch.tensor([1]), 3).int().tolist()
        [[0, 1, 1, 0, 0, 1]]
    """
    grid_BT = torch.zeros_like(masked_BT)
    for row, prompt in enumerate(prompt_B.tolist()):
        canvas = int(masked_BT[row].nonzero().max()) + 1 - prompt
        grid_BT[row, [prompt + index for index in CanvasView(points).grid(canvas)]] = True
    return grid_BT & masked_BT


def hidden_on_grid(trainable: TrainableModel, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """[B, T, D]: row i is the state that scores token i, where token i is on the grid; else 0.

    Args:
        trainable: a model that can be told which positions a pass leaves out.
        batch: of `make_batch` with a grid; what it masks is the grid.
    """
    shifted, scoring_BT = trainable.spec.logits_shifted, batch["masked"]
    if shifted:  # the position before a point scores it; nothing scores a row's first token
        first_B1 = scoring_BT[:, :1] | scoring_BT[:, 1:2]
        scoring_BT = torch.cat([first_B1, functional.pad(scoring_BT[:, 2:], (0, 1))], dim=1)
    run_BT = scoring_BT | (batch["kinds"] == PROMPT)
    places = [row.nonzero().flatten().tolist() for row in run_BT]
    return scoring_rows(hidden_at(trainable.backbone, batch["ids"], places), shifted)
