"""Features of a distribution of the first EOS: the position of the EOS, and others drawn at random.

A likelihood of the first EOS needs the position where it stands and stands for all positions before
it. Of a training document K positions are kept: the first one that was asked at or behind the end
of the answer (on a whole canvas that of the EOS itself), and others drawn at random, of which each
stands for as many as were left out. The likelihood of a hazard that is estimated from them has no
bias; where K covers the canvas it is exact.

Legend: B documents, C canvas, K kept positions, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from eosbench.digest import torch_seed_from
from eosbench.errors import PredictorError
from eosbench.predictors.protocol import Features, Kept

if TYPE_CHECKING:
    from eosbench.forward import StepZero

__all__ = ["Ending", "KeptPositions"]


@dataclass(frozen=True)
class KeptPositions:
    """The kept positions of B documents, ascending; index -1 where there are fewer than K.

    Attributes:
        hidden_BKD: their hidden states.
        index_BK: their canvas indices.
        since_last_BK: the positions that were asked from behind the one before up to this one.
        asked_B1: the positions that were asked of each document.
    """

    hidden_BKD: torch.Tensor
    index_BK: torch.Tensor
    since_last_BK: torch.Tensor
    asked_B1: torch.Tensor

    def of(self, length_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The place of the EOS among the kept positions, and the weight of each.

        Args:
            length_B: of the answers.

        Returns:
            [B] from 0 to K, K where the answer fills the canvas; and [B, K]: 1 for the place of the
            EOS, for all others together the number of all other positions, 0 where there is none.
        """
        real_BK = self.index_BK >= 0
        behind_BK = real_BK & (self.index_BK >= length_B[:, None])
        K = behind_BK.shape[1]
        at_B = torch.where(behind_BK.any(dim=1), behind_BK.int().argmax(dim=1), K)
        is_at_BK = torch.arange(K, device=at_B.device) == at_B[:, None]
        known_B1 = is_at_BK.sum(dim=1, keepdim=True)
        others_B1 = (real_BK.sum(dim=1, keepdim=True) - known_B1).clamp(min=1)
        weight_BK = torch.where(is_at_BK, 1.0, (self.asked_B1 - known_B1) / others_B1)
        return at_B, weight_BK * real_BK


class Ending:
    """The arrays of features that hold kept positions.

    Args:
        positions: K.
        width: D of the backbone.
    """

    def __init__(self, positions: int, width: int) -> None:
        self.positions = positions
        self.name = f"ending{positions}"
        self.kept = {
            self.name: Kept((positions, width), torch.bfloat16),
            f"{self.name}_index": Kept((positions,), torch.int32),
            f"{self.name}_since_last": Kept((positions,), torch.int32),
            f"{self.name}_asked": Kept((1,), torch.int32),
        }

    def features(self, batch: StepZero) -> Features:
        """The arrays of B training documents; the draw is seeded by the document.

        Raises:
            PredictorError: a prompt that does not say the length of its answer.
        """
        hidden_BCD = batch.read("canvas_hidden_BCD")
        asked_BC = (batch.open_BC() & batch.read("scored_BC")).cpu()
        B, K = len(batch.prompts), self.positions
        hidden_BKD = hidden_BCD.new_zeros(B, K, hidden_BCD.shape[2])
        index_BK, since_last_BK = torch.full((B, K), -1), torch.zeros(B, K, dtype=torch.long)
        for row, prompt in enumerate(batch.prompts):
            if prompt.reference_length is None:
                raise PredictorError(
                    "a distribution of the first EOS is fitted on prompts that say the length of "
                    "their answer, and this one does not"
                )
            asked = asked_BC[row].nonzero().squeeze(1)
            rng = torch.Generator().manual_seed(torch_seed_from(repr((prompt.ids, prompt.canvas))))
            order = torch.randperm(len(asked), generator=rng)
            first = int((asked < prompt.reference_length).sum())  # rank of the place of the EOS
            if first < len(asked):
                order = torch.cat([torch.tensor([first]), order[order != first]])
            rank = order[:K].sort().values
            index_BK[row, : len(rank)] = asked[rank]
            since_last_BK[row, : len(rank)] = torch.diff(rank, prepend=torch.tensor([-1]))
            hidden_BKD[row, : len(rank)] = hidden_BCD[row, asked[rank].to(hidden_BCD.device)]
        asked_B1 = asked_BC.sum(dim=1, keepdim=True)
        arrays = (hidden_BKD, index_BK, since_last_BK, asked_B1)
        return dict(zip(self.kept, arrays, strict=True))

    def read(self, features: Features, device: torch.device) -> KeptPositions:
        """The kept positions that `features` holds."""
        hidden_BKD, index_BK, since_last_BK, asked_B1 = (
            features[name].to(device) for name in self.kept
        )
        return KeptPositions(hidden_BKD, index_BK, since_last_BK, asked_B1)
