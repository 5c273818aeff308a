"""Trains the weights of one predictor on kept features: seeded, with early stopping on documents
held out of the training set.

Whatever a method's own loss is, epochs are compared by one number: the pinball loss of the
predicted log(1 + length) on the held-out documents, at the quantile that the method aims at
(0.5, or its own with loss=pinball).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import Progress
from sklearn.metrics import mean_pinball_loss

from eosbench.errors import ConfigurationError
from eosbench.predictors import Features, LearnedPredictor, device_of

logger = logging.getLogger(__name__)
HELD_OUT = 0.1
FEWEST_DOCUMENTS = 20
PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Training:
    """How a training went: epochs run, the best of them, and its pinball loss on the held-out
    documents.
    """

    epochs: int
    best_epoch: int
    held_out_loss: float


def train_weights(
    predictor: LearnedPredictor,
    read: Callable[[Sequence[int]], Features],
    lengths: Sequence[int],
    *,
    seed: int = 0,
    epochs: int = 60,
    batch_size: int = 64,
    patience: int = 8,
    mixed_precision: str = "no",
    label: str = "training",
) -> Training:
    """Trains in place and leaves the weights of the best epoch.

    Args:
        predictor: its module, loss and learning rate.
        read: rows of documents -> their features [B, ...].
        lengths: of the N training documents.
        seed: of the held-out draw, the order and dropout.
        epochs: at most this many.
        batch_size: documents per step.
        patience: stop after so many epochs without a better held-out loss.
        mixed_precision: no, bf16 or fp16, as in accelerate.

    Raises: ConfigurationError: fewer than FEWEST_DOCUMENTS documents, a number below 1, an unknown
        precision, or a loss that is no
            finite number.
    """
    if len(lengths) < FEWEST_DOCUMENTS:
        raise ConfigurationError(
            f"{len(lengths)} training documents whose answer fits the canvas: expected {FEWEST_DOCUMENTS} or more"
        )
    if min(epochs, batch_size, patience) < 1:
        raise ConfigurationError(
            f"epochs={epochs}, batch_size={batch_size}, patience={patience}: expected 1 or more each"
        )
    module, device = predictor.module, device_of(predictor.module)
    autocast = _autocast(mixed_precision, device)
    with torch.random.fork_rng(), Progress() as progress:
        bar = progress.add_task(label, total=epochs)
        torch.manual_seed(seed)
        order = torch.randperm(len(lengths)).tolist()
        cut = max(1, int(HELD_OUT * len(lengths)))
        held_out, trained_on = sorted(order[:cut]), order[cut:]
        optimizer = torch.optim.AdamW(module.parameters(), lr=predictor.learning_rate)
        scaler = torch.amp.GradScaler(device.type, enabled=mixed_precision == "fp16")
        best, best_loss, best_epoch, epoch = copy.deepcopy(module.state_dict()), float("inf"), 0, 0
        for epoch in range(1, epochs + 1):
            module.train()
            for batch in _shuffled(trained_on, batch_size):
                length_B = torch.tensor([lengths[row] for row in batch], device=device)
                optimizer.zero_grad(set_to_none=True)
                with autocast():
                    loss = predictor.loss(read(batch), length_B)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            module.eval()
            held_out_loss = _pinball(predictor, read, lengths, held_out, batch_size)
            if not np.isfinite(held_out_loss):
                raise ConfigurationError(
                    f"{label}: the held-out loss of epoch {epoch} is {held_out_loss}: training diverged"
                )
            progress.update(
                bar, advance=1, description=f"{label}, held-out loss {held_out_loss:.4f}"
            )
            if held_out_loss < best_loss:
                best, best_loss, best_epoch = (
                    copy.deepcopy(module.state_dict()),
                    held_out_loss,
                    epoch,
                )
            elif epoch - best_epoch >= patience:
                break
        module.load_state_dict(best)
    logger.info(
        "%s: best held-out loss %.4f at epoch %d of %d", label, best_loss, best_epoch, epoch
    )
    return Training(epoch, best_epoch, best_loss)


def _autocast(
    mixed_precision: str, device: torch.device
) -> Callable[[], AbstractContextManager[None]]:
    if mixed_precision not in PRECISIONS:
        raise ConfigurationError(
            f"mixed_precision={mixed_precision!r}: expected one of {', '.join(PRECISIONS)}"
        )
    dtype = PRECISIONS[mixed_precision]
    return nullcontext if dtype is None else lambda: torch.autocast(device.type, dtype)


def _shuffled(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    order = [indices[at] for at in torch.randperm(len(indices)).tolist()]
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


@torch.no_grad()
def _pinball(
    predictor: LearnedPredictor,
    read: Callable[[Sequence[int]], Features],
    lengths: Sequence[int],
    rows: Sequence[int],
    batch_size: int,
) -> float:
    """The mean pinball loss of log(1 + length) over documents, predicted in batches."""
    starts = range(0, len(rows), batch_size)
    predicted = [
        predictor.log_length(read(rows[start : start + batch_size])).float().cpu()
        for start in starts
    ]
    true_N, predicted_N = np.log1p([lengths[row] for row in rows]), torch.cat(predicted).numpy()
    if not np.isfinite(predicted_N).all():
        return float("nan")
    return float(mean_pinball_loss(true_N, predicted_N, alpha=predictor.level))
