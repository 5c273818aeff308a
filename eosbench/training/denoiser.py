"""Model and objective as one module: what the trainer runs, wraps for several processes and casts.

A trainer that calls the model's parts itself goes around what accelerate wraps: mixed precision is
silently off, and gradients of several processes are never joined. So everything that is computed
between a batch and its loss happens in this module's `forward`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from eosbench.training.attention import additive
from eosbench.training.grid import POINTS, hidden_on_grid
from eosbench.training.objectives import AUXILIARY, OBJECTIVES, Pass
from eosbench.training.protocol import TrainableModel


class Denoiser(torch.nn.Module):
    """A masked diffusion model with its training objective.

    Args:
        trainable: the model.
        objective: one of OBJECTIVES.
        auxiliary: weights of the auxiliary losses, by name; those of weight 0 are not computed.
        denoise: weight of the cross-entropy beside another objective.
    """

    # Each micro-batch's loss is a mean of its own: the trainer divides by the accumulation steps.
    accepts_loss_kwargs = False

    def __init__(
        self,
        trainable: TrainableModel,
        *,
        objective: str = "denoise",
        auxiliary: Mapping[str, float] | None = None,
        denoise: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = trainable.model
        self._trainable = [trainable]  # in a list: no module of this one
        main = 1.0 if objective == "denoise" else denoise
        found = {"denoise": main} | ({} if objective == "denoise" else {objective: 1.0})
        self.weights = {
            name: weight for name, weight in (found | dict(auxiliary or {})).items() if weight
        }

    @property
    def trainable(self) -> TrainableModel:
        """The model, with all that is needed to write it."""
        return self._trainable[0]

    def forward(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """`loss`, with gradient, and each of its parts by name, without."""
        trainable, spec = self.trainable, self.trainable.spec
        seen_B1TT = None
        if "seen" in batch:
            dtype = next(self.model.parameters()).dtype
            seen_B1TT = additive(batch["seen"], batch.get("token"), dtype)
        token_BT = batch["token"].long() if "token" in batch else None
        if POINTS in batch:
            hidden_BTD = hidden_on_grid(trainable, batch)
        else:
            hidden_BTD = trainable.hidden(batch["ids"], token_BT, seen_B1TT)
        seen = Pass(
            hidden_BTD=hidden_BTD,
            unembed=trainable.unembed,
            mask_id=spec.mask_id,
            eos_ids=sorted(spec.eos_ids),
        )
        known = {**OBJECTIVES, **AUXILIARY}
        parts = {name: known[name](seen, batch) for name in self.weights}
        weighted = [weight * parts[name] for name, weight in self.weights.items()]
        return {"loss": torch.stack(weighted).sum(), **{n: p.detach() for n, p in parts.items()}}

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """Passed on: activations are computed again in the backward pass, for memory."""
        self.model.activation_checkpointing_enable(**settings)
