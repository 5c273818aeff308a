"""The model that training asks for; `model_adapters.load_trainable` gives one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from eosbench.backbone import Backbone, BackboneSpec


class TrainableModel(Protocol):
    """A model with gradients, and the way back to a checkpoint that its own family loads.

    Attributes:
        model: the whole model, whose parameters are trained.
        eos_id: the id that ends an answer.
    """

    model: Any
    eos_id: int

    @property
    def backbone(self) -> Backbone:
        """The same weights, as everything else in eosbench reads them."""
        ...

    @property
    def spec(self) -> BackboneSpec:
        """Facts of the model as it is now, new tokens included."""
        ...

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, or None."""
        ...

    def hidden(
        self,
        ids_BT: torch.Tensor,
        token_BT: torch.Tensor | None = None,
        seen_B1TT: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, T] ids -> [B, T, D]: row i is the state that scores token i."""
        ...

    def unembed(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """[..., D] -> [..., V], row for row."""
        ...

    def to(self, device: torch.device) -> None:
        """Moves the weights."""
        ...

    def add_tokens(self, names: Sequence[str]) -> list[int]:
        """Ids of these special tokens, new ones where the vocabulary lacks them."""
        ...

    def ends_with(self, ids: Iterable[int]) -> None:
        """Has these ids end a text too."""
        ...

    def export(self, folder: str | Path, *, dtype: str = "auto") -> None:
        """Writes the checkpoint."""
        ...
