"""Training of the weights of one predictor on kept features: seeded, with early stopping.

It stops by documents that are held out of the training set. Whatever the loss of a method is,
epochs are compared by one number: the pinball loss of the predicted log(1 + length) on these
documents, at the quantile that the method aims at (0.5, or its own with loss=pinball).

Legend: B documents of a batch, N training documents.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from rich.progress import Progress
from sklearn.metrics import mean_pinball_loss

from eosbench.errors import ConfigurationError
from eosbench.fitting.rates import Rates
from eosbench.predictors import Features, FineTuning, LearnedPredictor, device_of

logger = logging.getLogger(__name__)
HELD_OUT = 0.1
FEWEST_DOCUMENTS = 20
LARGEST_NORM = 1.0  # of the gradients of a pretrained module
PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}

# Indices of documents -> their features [B, ...].
Read = Callable[[Sequence[int]], Features]

__all__ = ["Training", "TrainingSettings", "train_weights"]


@dataclass(frozen=True)
class Course:
    """The numbers of one training, see TrainingSettings."""

    epochs: int
    batch_size: int
    patience: int


USUAL_COURSE = Course(epochs=60, batch_size=64, patience=8)


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training; a number that is None is the method's own.

    Args:
        epochs: at most this many; early stopping usually ends it before.
        batch_size: documents per step.
        patience: stop after so many epochs without a better held-out loss.
        mixed_precision: no, bf16 or fp16, as in accelerate.

    Raises:
        ConfigurationError: a number below 1, or an unknown precision.
    """

    epochs: int | None = None
    batch_size: int | None = None
    patience: int | None = None
    mixed_precision: str = "no"

    def __post_init__(self) -> None:
        numbers = (self.epochs, self.batch_size, self.patience)
        if any(number is not None and number < 1 for number in numbers):
            raise ConfigurationError(
                f"epochs={self.epochs}, batch_size={self.batch_size}, patience={self.patience}: "
                "expected 1 or more each"
            )
        if self.mixed_precision not in PRECISIONS:
            raise ConfigurationError(
                f"mixed_precision={self.mixed_precision!r}: expected one of {', '.join(PRECISIONS)}"
            )

    def course(self, fine_tuning: FineTuning | None) -> Course:
        """The numbers of one training.

        Args:
            fine_tuning: of the method, None where it starts from nothing.
        """
        own = USUAL_COURSE
        if fine_tuning is not None:
            own = Course(fine_tuning.epochs, fine_tuning.batch_size, fine_tuning.patience)
        return Course(
            self.epochs or own.epochs,
            self.batch_size or own.batch_size,
            self.patience or own.patience,
        )

    def autocast(self, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
        """The context that a loss is computed in."""
        dtype = PRECISIONS[self.mixed_precision]
        return nullcontext if dtype is None else partial(torch.autocast, device.type, dtype)


USUAL = TrainingSettings()


@dataclass(frozen=True)
class Training:
    """The course of a training.

    Attributes:
        epochs: how many were run.
        best_epoch: the one whose weights are kept, counted from 1.
        held_out_loss: its pinball loss on the held-out documents.
    """

    epochs: int
    best_epoch: int
    held_out_loss: float


def train_weights(
    predictor: LearnedPredictor,
    read: Read,
    lengths: Sequence[int],
    *,
    settings: TrainingSettings = USUAL,
    seed: int = 0,
    label: str = "training",
) -> Training:
    """Trains in place and leaves the weights of the best epoch.

    Args:
        predictor: its module, loss and learning rate.
        read: indices of B documents -> their features [B, ...].
        lengths: of the answers of the N training documents, in tokens.
        settings: of the training.
        seed: of the held-out draw, the order and dropout.
        label: what the progress bar and messages call it.

    Raises:
        ConfigurationError: fewer than FEWEST_DOCUMENTS documents, or a loss that is not a finite
            number.
    """
    if len(lengths) < FEWEST_DOCUMENTS:
        raise ConfigurationError(
            f"{len(lengths)} training documents whose answer fits the canvas: "
            f"expected {FEWEST_DOCUMENTS} or more"
        )
    module, epoch = predictor.module, 0
    fine_tuning: FineTuning | None = getattr(predictor, "fine_tuning", None)
    course = settings.course(fine_tuning)
    best, best_loss, best_epoch = _weights(module), float("inf"), 0
    with torch.random.fork_rng(), Progress() as progress:
        bar = progress.add_task(label, total=course.epochs)
        torch.manual_seed(seed)
        order = torch.randperm(len(lengths)).tolist()
        cut = max(1, int(HELD_OUT * len(lengths)))
        held_out, trained_on = sorted(order[:cut]), order[cut:]
        steps = course.epochs * math.ceil(len(trained_on) / course.batch_size)
        run_epoch = _epochs(predictor, read, lengths, settings, Rates.of(predictor, steps))
        for epoch in range(1, course.epochs + 1):
            run_epoch(_shuffled(trained_on, course.batch_size))
            loss = _pinball(predictor, read, lengths, held_out, course.batch_size)
            if not np.isfinite(loss):
                raise ConfigurationError(
                    f"{label}: the held-out loss of epoch {epoch} is {loss}: training diverged"
                )
            progress.update(bar, advance=1, description=f"{label}, held-out loss {loss:.4f}")
            if loss < best_loss:
                best, best_loss, best_epoch = _weights(module), loss, epoch
            elif epoch - best_epoch >= course.patience:
                break
        module.load_state_dict(best, strict=False)
    logger.info(
        "%s: best held-out loss %.4f at epoch %d of %d", label, best_loss, best_epoch, epoch
    )
    return Training(epoch, best_epoch, best_loss)


def _weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of what training may change in a module."""
    fixed = {name for name, weight in module.named_parameters() if not weight.requires_grad}
    state = module.state_dict()
    return copy.deepcopy({name: tensor for name, tensor in state.items() if name not in fixed})


def _epochs(
    predictor: LearnedPredictor,
    read: Read,
    lengths: Sequence[int],
    settings: TrainingSettings,
    rates: Rates,
) -> Callable[[Sequence[Sequence[int]]], None]:
    """A function that trains one epoch over batches of document indices."""
    module, device = predictor.module, device_of(predictor.module)
    autocast = settings.autocast(device)
    scaler = torch.amp.GradScaler(device.type, enabled=settings.mixed_precision == "fp16")

    def run_epoch(batches: Sequence[Sequence[int]]) -> None:
        module.train()
        for batch in batches:
            length_B = torch.tensor([lengths[row] for row in batch], device=device)
            rates.optimizer.zero_grad(set_to_none=True)
            with autocast():
                loss = predictor.loss(read(batch), length_B)
            scaler.scale(loss).backward()
            if rates.schedule is not None:
                scaler.unscale_(rates.optimizer)
                torch.nn.utils.clip_grad_norm_(module.parameters(), LARGEST_NORM)
            scaler.step(rates.optimizer)
            scaler.update()
            if rates.schedule is not None:
                rates.schedule.step()
        module.eval()

    return run_epoch


def _shuffled(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """Batches of these indices in a random order."""
    order = [indices[at] for at in torch.randperm(len(indices)).tolist()]
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


@torch.no_grad()
def _pinball(
    predictor: LearnedPredictor,
    read: Read,
    lengths: Sequence[int],
    rows: Sequence[int],
    batch_size: int,
) -> float:
    """The mean pinball loss of log(1 + length) over documents; NaN where a prediction is none."""
    predicted = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        predicted.append(predictor.log_length(read(batch)).float().cpu())
    true_N, predicted_N = np.log1p([lengths[row] for row in rows]), torch.cat(predicted).numpy()
    if not np.isfinite(predicted_N).all():
        return float("nan")
    return float(mean_pinball_loss(true_N, predicted_N, alpha=predictor.level))
