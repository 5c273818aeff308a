"""Training objectives, one a file: from one pass of a denoiser and a batch to a loss."""

from __future__ import annotations

from eosbench.training.objectives.consistency import consistency
from eosbench.training.objectives.contrastive import contrastive
from eosbench.training.objectives.denoise import denoise
from eosbench.training.objectives.first_end import first_end
from eosbench.training.objectives.policy import exact, policy
from eosbench.training.objectives.protocol import Objective, Pass

# What --objective takes. The auxiliary losses have weights of their own.
OBJECTIVES: dict[str, Objective] = {
    "denoise": denoise,
    "first_end": first_end,
    "policy": policy,
    "exact": exact,
}
AUXILIARY: dict[str, Objective] = {"contrastive": contrastive, "consistency": consistency}

__all__ = [
    "AUXILIARY",
    "OBJECTIVES",
    "Objective",
    "Pass",
]
