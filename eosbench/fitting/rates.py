"""The optimizer of one training, and the schedule of its learning rates.

Weights that start from nothing are trained at a constant rate. A pretrained body has a low rate and
its new head a higher one; both rise over the first steps and fall linearly to 0 after them, as in
the fine-tuning of BERT (Devlin et al., arXiv 1810.04805, appendix A.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from eosbench.predictors import FineTuning, LearnedPredictor

__all__ = ["Rates"]


@dataclass(frozen=True, eq=False)
class Rates:
    """An optimizer, and the schedule of its learning rates.

    Attributes:
        optimizer: AdamW over the weights that are trained.
        schedule: None where the rates stay as they are.
    """

    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None

    @classmethod
    def of(cls, predictor: LearnedPredictor, steps: int) -> Rates:
        """Those of a method.

        Args:
            predictor: its module, learning rate and, where it has one, its fine-tuning.
            steps: of the whole training.
        """
        fine_tuning: FineTuning | None = getattr(predictor, "fine_tuning", None)
        trained = [weight for weight in predictor.module.parameters() if weight.requires_grad]
        if fine_tuning is None:
            return cls(torch.optim.AdamW(trained, lr=predictor.learning_rate))
        from transformers import get_linear_schedule_with_warmup

        new = list(fine_tuning.head.parameters())
        known = {id(weight) for weight in new}
        groups: list[dict[str, Any]] = [
            {"params": [weight for weight in trained if id(weight) not in known]},
            {"params": new, "lr": fine_tuning.head_learning_rate},
        ]
        optimizer = torch.optim.AdamW(groups, lr=predictor.learning_rate)
        warm_up = math.ceil(fine_tuning.warm_up * steps)
        return cls(optimizer, get_linear_schedule_with_warmup(optimizer, warm_up, steps))
