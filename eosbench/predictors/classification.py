"""`classification`: an MLP asks each masked canvas position: at or after the EOS? The first "yes" is the length.

The EOS is never revealed and follows every revealed token, so only masked positions after the last revealed token are asked; all
others have probability 0. Where no position reaches tau, the length is the whole canvas. The two classes weigh the same in the
loss, however short the answers are on their canvas. Legend: B batch, C canvas, K sampled positions, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional

from eosbench.errors import ConfigurationError
from eosbench.predictors.heads import device_of, mlp
from eosbench.predictors.protocol import Features, Fitting, Reads, check_share
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.step_zero import Need, StepZero


class Classification:
    """Classification of canvas positions.

    Args:
        width: D of the backbone.
        hidden: width of the MLP.
        tau: the bound is the first position with at least this probability.
        positions: K, how many masked positions of each training document the fit keeps.

    Raises:
        ConfigurationError: tau outside [0, 1], or no positions.
    """

    reads: ClassVar[Reads] = "dlm"
    needs: ClassVar[frozenset[Need]] = frozenset({"hidden"})
    fitting: ClassVar[Fitting] = "weights"
    learning_rate = 2e-3

    def __init__(self, *, width: int, hidden: int = 64, tau: float = 0.5, positions: int = 64) -> None:
        if positions < 1:
            raise ConfigurationError(f"positions={positions!r}: expected at least 1")
        self.tau = check_share("tau", tau)
        self.positions = positions
        self.module = mlp(width, hidden)
        self.options: dict[str, Any] = {"hidden": hidden, "tau": self.tau, "positions": positions}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        hidden_BCD, open_BC = batch.read("canvas_hidden_BCD"), batch.open_BC()
        with torch.no_grad():
            logit_BC = self.module(hidden_BCD.float().to(device_of(self.module))).squeeze(-1)
        probability_BC = logit_BC.sigmoid().to(open_BC.device) * open_BC
        predictions = []
        for row, prompt in enumerate(batch.prompts):
            probability_C = probability_BC[row, : len(prompt.canvas)]
            yes_C = (probability_C >= self.tau) & open_BC[row, : len(prompt.canvas)]
            first = int(yes_C.int().argmax()) if yes_C.any() else len(prompt.canvas)
            predictions.append(LengthPrediction(float(first), probability_C.cpu().numpy()))
        return predictions

    def features(self, batch: StepZero, rng: torch.Generator) -> list[Features]:
        """Per document K masked positions drawn at random (all, where they are fewer): hidden states [K, D] and indices [K]."""
        hidden_BCD, masked_BC = batch.read("canvas_hidden_BCD"), batch.read("masked_BC").cpu()
        kept: list[Features] = []
        for row in range(len(batch.prompts)):
            index_K = masked_BC[row].nonzero().squeeze(1)
            index_K = index_K[torch.randperm(len(index_K), generator=rng)[: self.positions]]
            kept.append((hidden_BCD[row, index_K.to(hidden_BCD.device)].bfloat16().cpu(), index_K))
        return kept

    def loss(self, features: Sequence[Features], length_B: torch.Tensor) -> torch.Tensor:
        device = device_of(self.module)
        hidden_ND = torch.cat([hidden_KD for hidden_KD, _ in features]).to(device).float()
        after_N = torch.cat([index_K >= length for (_, index_K), length in zip(features, length_B.tolist(), strict=True)]).to(
            device
        )
        loss_N = functional.binary_cross_entropy_with_logits(
            self.module(hidden_ND).squeeze(-1), after_N.float(), reduction="none"
        )
        classes = [loss_N[after_N], loss_N[~after_N]]
        return torch.stack([one.mean() for one in classes if len(one)]).mean()
