"""Trains the weights of one predictor on kept features: seeded, with early stopping on documents held out of the training set."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.progress import Progress

from eosbench.errors import ConfigurationError
from eosbench.predictors.heads import device_of
from eosbench.predictors.protocol import Features, LearnedPredictor

logger = logging.getLogger(__name__)
HELD_OUT = 0.1
FEWEST_DOCUMENTS = 20


@dataclass(frozen=True)
class Training:
    """How a training went: epochs run, the best of them, and its loss on the held-out documents."""

    epochs: int
    best_epoch: int
    held_out_loss: float


def train_weights(
    predictor: LearnedPredictor,
    features: Sequence[Features],
    lengths: Sequence[int],
    *,
    seed: int = 0,
    epochs: int = 60,
    batch_size: int = 64,
    patience: int = 8,
    label: str = "training",
) -> Training:
    """Trains in place and leaves the weights of the best epoch.

    Args:
        predictor: its module, loss and learning rate.
        features, lengths: of the N training documents.
        seed: of the held-out draw, the order and dropout.
        epochs: at most this many.
        batch_size: documents per step.
        patience: stop after so many epochs without a better held-out loss.

    Raises:
        ConfigurationError: fewer than FEWEST_DOCUMENTS documents, or a number below 1.
    """
    if len(features) < FEWEST_DOCUMENTS:
        raise ConfigurationError(
            f"{len(features)} training documents whose answer fits the canvas: expected {FEWEST_DOCUMENTS} or more"
        )
    if min(epochs, batch_size, patience) < 1:
        raise ConfigurationError(f"epochs={epochs}, batch_size={batch_size}, patience={patience}: expected 1 or more each")
    with torch.random.fork_rng(), Progress() as progress:
        bar = progress.add_task(label, total=epochs)
        torch.manual_seed(seed)
        order = torch.randperm(len(features)).tolist()
        cut = max(1, int(HELD_OUT * len(features)))
        held_out, trained_on = order[:cut], order[cut:]
        module = predictor.module
        optimizer = torch.optim.AdamW(module.parameters(), lr=predictor.learning_rate)
        best, best_loss, best_epoch, epoch = copy.deepcopy(module.state_dict()), float("inf"), 0, 0
        for epoch in range(1, epochs + 1):
            module.train()
            for batch in _shuffled(trained_on, batch_size):
                optimizer.zero_grad(set_to_none=True)
                _loss(predictor, features, lengths, batch).backward()
                optimizer.step()
            module.eval()
            held_out_loss = _mean_loss(predictor, features, lengths, held_out, batch_size)
            progress.update(bar, advance=1, description=f"{label}, held-out loss {held_out_loss:.4f}")
            if held_out_loss < best_loss:
                best, best_loss, best_epoch = copy.deepcopy(module.state_dict()), held_out_loss, epoch
            elif epoch - best_epoch >= patience:
                break
        module.load_state_dict(best)
    logger.info("%s: best held-out loss %.4f at epoch %d of %d", label, best_loss, best_epoch, epoch)
    return Training(epoch, best_epoch, best_loss)


def _shuffled(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    order = [indices[at] for at in torch.randperm(len(indices)).tolist()]
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _loss(
    predictor: LearnedPredictor, features: Sequence[Features], lengths: Sequence[int], batch: Sequence[int]
) -> torch.Tensor:
    length_B = torch.tensor([lengths[index] for index in batch], device=device_of(predictor.module))
    return predictor.loss([features[index] for index in batch], length_B)


@torch.no_grad()
def _mean_loss(
    predictor: LearnedPredictor, features: Sequence[Features], lengths: Sequence[int], indices: Sequence[int], batch_size: int
) -> float:
    """The mean loss over documents, in batches."""
    total = 0.0
    for start in range(0, len(indices), batch_size):
        batch = indices[start : start + batch_size]
        total += _loss(predictor, features, lengths, batch).item() * len(batch)
    return total / len(indices)
