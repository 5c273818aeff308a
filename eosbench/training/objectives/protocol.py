"""Objectives as functions of one pass and of the batch that was read, to a scalar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, eq=False)
class Pass:
    """The model's view of a batch.

    Attributes:
        hidden_BTD: row i is the last hidden state that scores token i, whether or not the model
            shifts its logits.
        unembed: [N, D] -> [N, V].
        mask_id: the mask token, which is never predicted.
        eos_ids: every id that ends a text, fillers included.
    """

    hidden_BTD: torch.Tensor
    unembed: Callable[[torch.Tensor], torch.Tensor]
    mask_id: int
    eos_ids: Sequence[int]


class Objective(Protocol):
    """Reads a pass and its batch (eosbench/training/batch.py), returns a scalar with gradient."""

    def __call__(self, seen: Pass, batch: Mapping[str, torch.Tensor]) -> torch.Tensor: ...
