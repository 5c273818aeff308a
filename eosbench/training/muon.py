"""Muon for the matrices of the blocks and AdamW for all else, as one optimizer.

Muon (momentum orthogonalised by Newton-Schulz; K. Jordan et al. 2024), scaled to AdamW's step size
as in 2502.16982, section 2.2, needs fewer steps than AdamW on small models. transformers' Trainer
takes one optimizer, so both stand behind one face; torch has both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers that step together; schedules see the groups of both.

    Args:
        matrices: two-dimensional parameters, for Muon.
        others: all other parameters, for AdamW.
        matrix_learning_rate, learning_rate: of the two.
        weight_decay: of both.
        betas: of AdamW.
    """

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        others: Iterable[torch.nn.Parameter],
        *,
        matrix_learning_rate: float,
        learning_rate: float,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        self.parts: dict[str, torch.optim.Optimizer] = {}
        matrices, others = list(matrices), list(others)
        super().__init__([*matrices, *others], {})
        if matrices:
            self.parts["muon"] = torch.optim.Muon(
                matrices,
                lr=matrix_learning_rate,
                weight_decay=weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        if others:
            self.parts["adamw"] = torch.optim.AdamW(
                others, lr=learning_rate, betas=betas, weight_decay=weight_decay
            )
        self._share_groups()

    def _share_groups(self) -> None:
        """A schedule changes the learning rates of `param_groups`: those of the parts."""
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]

    def step(self, closure: Any = None) -> Any:
        """One step of both."""
        loss = None if closure is None else closure()
        for part in self.parts.values():
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Of each part, by its name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Reads what `state_dict` gave."""
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        self._share_groups()


def muon_with_adamw(model: torch.nn.Module, blocks: torch.nn.Module, **rates: Any) -> MuonWithAdamW:
    """The optimizer of a model: Muon for the matrices inside `blocks`, AdamW for the rest."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in blocks.parameters() if p.ndim == 2 and p.requires_grad]
    theirs = {id(p) for p in matrices}
    return MuonWithAdamW(matrices, [p for p in trained if id(p) not in theirs], **rates)
