"""`classification`: a head asks each masked canvas position where the EOS is.

With `target="after"` it asks whether the position is at or after the EOS. With `at` and `hazard`
its answers are one distribution of the first EOS (eosbench/predictors/end_distribution.py), whose
sum up to a position is the probability that it is at or after the EOS. Either way the first
position where that probability reaches tau is the length; where none does, it is the whole canvas.
The EOS is never revealed and follows every revealed token, so only masked positions after the last
revealed token are asked; all others have probability 0.

In the loss of `after` the two classes weigh what `positive_weight` says (by default the same),
however short the answers are on their canvas. The loss of `at` and `hazard` is -log P(first EOS at
L), and of an answer that fills the canvas -log P(none on the canvas).

Where step zero runs a grid of the canvas (`step_zero=grid:N`) its points are asked, and a
distribution is one over them: a point stands for all that is behind the point before. Between
points the probability is on a straight line.

Legend: B batch, C canvas, K sampled positions, D width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.nn import functional

from eosbench.canvas_view import CanvasView
from eosbench.digest import torch_seed_from
from eosbench.errors import ConfigurationError
from eosbench.predictors.end_distribution import NEVER, TARGETS, cumulative, log_likelihood
from eosbench.predictors.ending import Ending
from eosbench.predictors.heads import USUAL_HIDDEN, device_of, head
from eosbench.predictors.protocol import Features, Kept, check_share
from eosbench.records import LengthPrediction

if TYPE_CHECKING:
    from eosbench.forward import StepZero


class Classification:
    """Classification of canvas positions.

    Args:
        width: D of the backbone.
        hidden: width of the MLP.
        depth: "mlp", or "linear" for a head without a hidden layer.
        target: the question: "after" (is this position at or after the EOS), "at" (is it here, of
            all positions) or "hazard" (is it here, if it is nowhere before).
        tau: the bound is the first position with at least this probability.
        positions: K, the number of masked positions that the fit keeps of each training document.
        positive_weight: of target="after", the weight of "at or after the EOS" in the loss, as a
            multiple of that of the other class.
        step_zero: the part of the canvas that the pass runs: full or grid:N.

    Raises:
        ConfigurationError: an unknown target or depth, tau outside [0, 1], too few positions, or a
            weight that is not above 0 or has no meaning.
    """

    free: ClassVar[frozenset[str]] = frozenset({"tau"})
    learning_rate = 2e-3

    def __init__(
        self,
        *,
        width: int,
        hidden: int = USUAL_HIDDEN,
        depth: str = "mlp",
        target: str = "after",
        tau: float = 0.9,
        positions: int = 64,
        positive_weight: float = 1.0,
        step_zero: str = "full",
    ) -> None:
        if target not in ("after", *TARGETS):
            raise ConfigurationError(
                f"target={target!r}: expected one of after, {', '.join(TARGETS)}"
            )
        fewest = 1 if target == "after" else 2
        if positions < fewest:
            raise ConfigurationError(f"positions={positions!r}: expected at least {fewest}")
        if not 0.0 < positive_weight < math.inf:
            raise ConfigurationError(
                f"positive_weight={positive_weight!r}: expected a number above 0"
            )
        if target != "after" and positive_weight != 1.0:
            raise ConfigurationError(
                f"positive_weight={positive_weight!r} beside target={target}, whose loss has no "
                "classes: leave one out"
            )
        self.tau, self.target = check_share("tau", tau), target
        # The quantile of the length that a prediction stands for: of a distribution it is tau.
        self.level = 0.5 if target == "after" else self.tau
        self.positions, self.positive_weight = positions, float(positive_weight)
        self.view = CanvasView.of(step_zero)
        self.module = head(width, hidden, depth=depth)
        self.hidden_name, self.index_name = f"positions{positions}", f"positions{positions}_index"
        self.ending = Ending(positions, width)
        self.kept = {
            self.hidden_name: Kept((positions, width), torch.bfloat16),
            self.index_name: Kept((positions,), torch.int32),
        }
        if target != "after":
            self.kept = self.ending.kept
        self.options: dict[str, Any] = {
            "hidden": hidden,
            "depth": depth,
            "target": target,
            "tau": self.tau,
            "positions": positions,
            "positive_weight": self.positive_weight,
            "step_zero": str(self.view),
        }

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        """The first position with probability tau; the probabilities [C] are the curve."""
        hidden_BCD, open_BC = batch.read("canvas_hidden_BCD"), batch.open_BC()
        with torch.no_grad():
            logit_BC = self.module(hidden_BCD.float().to(device_of(self.module))).squeeze(-1)
        if self.target == "after":
            probability_BC = logit_BC.sigmoid()
        else:
            asked_BC = (open_BC & batch.read("scored_BC")).cpu()
            asked_logit_BC = logit_BC.cpu().double().masked_fill(~asked_BC, NEVER)
            probability_BC = cumulative(self.target, asked_logit_BC).float()
        probability_BC = batch.at_every_position(probability_BC.to(open_BC.device)) * open_BC
        predictions = []
        for row, prompt in enumerate(batch.prompts):
            probability_C = probability_BC[row, : len(prompt.canvas)]
            yes_C = (probability_C >= self.tau) & open_BC[row, : len(prompt.canvas)]
            first = int(yes_C.int().argmax()) if yes_C.any() else len(prompt.canvas)
            predictions.append(LengthPrediction(float(first), probability_C.cpu().numpy()))
        return predictions

    def features(self, batch: StepZero) -> Features:
        """Masked positions drawn at random: hidden states [B, K, D] and canvas indices [B, K].

        The draw is seeded by the document, so that it depends on no batch and no run. Where fewer
        than K positions are masked, all are drawn, and the last indices are -1. Of `at` and
        `hazard`, the arrays of Ending.
        """
        if self.target != "after":
            return self.ending.features(batch)
        hidden_BCD = batch.read("canvas_hidden_BCD")
        masked_BC = (batch.read("masked_BC") & batch.read("scored_BC")).cpu()
        hidden_BKD = hidden_BCD.new_zeros(len(batch.prompts), self.positions, hidden_BCD.shape[2])
        index_BK = torch.full((len(batch.prompts), self.positions), -1)
        for row, prompt in enumerate(batch.prompts):
            seed = torch_seed_from(repr((prompt.ids, prompt.canvas)))
            rng = torch.Generator().manual_seed(seed)
            index_K = masked_BC[row].nonzero().squeeze(1)
            index_K = (
                index_K[torch.randperm(len(index_K), generator=rng)[: self.positions]].sort().values
            )
            index_BK[row, : len(index_K)] = index_K
            hidden_BKD[row, : len(index_K)] = hidden_BCD[row, index_K.to(hidden_BCD.device)]
        return {self.hidden_name: hidden_BKD, self.index_name: index_BK}

    def log_length(self, features: Features) -> torch.Tensor:
        """[B]: log(1 + length) from the positions that were kept.

        The length is the first of them that is a "yes", or the one behind the last where none is.
        """
        if self.target == "after":
            index_BK = features[self.index_name].to(device_of(self.module))
            probability_BK = self._logits(features[self.hidden_name]).sigmoid()
        else:
            kept = self.ending.read(features, device_of(self.module))
            index_BK, logit_BK = kept.index_BK, self._logits(kept.hidden_BKD)
            logit_BK = logit_BK.masked_fill(index_BK < 0, NEVER)
            probability_BK = cumulative(self.target, logit_BK, kept.since_last_BK)
        none_B1 = index_BK.amax(dim=1, keepdim=True) + 1
        first_BK = torch.where((probability_BK >= self.tau) & (index_BK >= 0), index_BK, none_B1)
        return first_BK.amin(dim=1).float().log1p()

    def loss(self, features: Features, length_B: torch.Tensor) -> torch.Tensor:
        """The loss of the target, a scalar.

        Of `after`, the weighted mean of the binary cross-entropies of the two classes; else the
        mean of -log P(first EOS at L).
        """
        if self.target != "after":
            kept = self.ending.read(features, device_of(self.module))
            logit_BK = self._logits(kept.hidden_BKD).masked_fill(kept.index_BK < 0, NEVER)
            at_B, weight_BK = kept.of(length_B)
            return -log_likelihood(self.target, logit_BK, at_B, weight_BK).mean()
        index_BK = features[self.index_name].to(device_of(self.module))
        real_BK, after_BK = index_BK >= 0, index_BK >= length_B[:, None]
        logit_BK = self._logits(features[self.hidden_name])
        loss_BK = functional.binary_cross_entropy_with_logits(
            logit_BK, after_BK.float(), reduction="none"
        )
        classes = [
            (loss_BK[real_BK & after_BK], self.positive_weight),
            (loss_BK[real_BK & ~after_BK], 1.0),
        ]
        weighed = [(one.mean() * weight, weight) for one, weight in classes if len(one)]
        return torch.stack([loss for loss, _ in weighed]).sum() / sum(
            weight for _, weight in weighed
        )

    def _logits(self, hidden_BKD: torch.Tensor) -> torch.Tensor:
        hidden_BKD = hidden_BKD.to(device_of(self.module)).float()
        logit_BK: torch.Tensor = self.module(hidden_BKD).squeeze(-1).float()
        return logit_BK
