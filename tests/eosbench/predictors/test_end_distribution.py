"""Distributions of the first EOS against loops over positions, written as their definition."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from eosbench.predictors.end_distribution import NEVER, cumulative, log_likelihood

K = 6
LOGITS = torch.tensor([[-1.0, 0.5, -2.0, 3.0, 0.0, -0.5]], dtype=torch.float64)


def by_definition(target: str, logits: list[float]) -> list[float]:
    """The probability of each position, and of the place behind all of them."""
    if target == "at":
        masses = [*(math.exp(logit) for logit in logits), 1.0]
        return [mass / sum(masses) for mass in masses]
    found, survivor = [], 1.0
    for logit in logits:
        p = 1 / (1 + math.exp(-logit))
        found.append(survivor * p)
        survivor *= 1 - p
    return [*found, survivor]


@pytest.mark.parametrize("target", ["at", "hazard"])
def test_against_the_definition(target: str) -> None:
    expected = by_definition(target, LOGITS[0].tolist())
    at_B = torch.arange(K + 1)
    likelihood = log_likelihood(target, LOGITS.expand(K + 1, K), at_B).exp()
    assert likelihood.tolist() == pytest.approx(expected)
    # With the survivor they sum to one.
    assert likelihood.sum().item() == pytest.approx(1.0)
    sums = [sum(expected[: index + 1]) for index in range(K)]
    assert cumulative(target, LOGITS)[0].tolist() == pytest.approx(sums)


@pytest.mark.parametrize("target", ["at", "hazard"])
def test_where_no_eos_can_stand(target: str) -> None:
    """Positions without a chance change nothing at the others, and have a gradient of zero."""
    some = torch.tensor([[1, 3, 4]])
    logits = torch.full((1, K), NEVER, dtype=torch.float64).scatter(1, some, LOGITS.gather(1, some))
    logits.requires_grad_()
    few = cumulative(target, LOGITS.gather(1, some))
    assert cumulative(target, logits).gather(1, some).tolist() == [pytest.approx(few[0].tolist())]
    log_likelihood(target, logits, torch.tensor([3])).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    assert not logits.grad[0, [0, 2, 5]].any() and logits.grad[0, [1, 3]].all()


@pytest.mark.parametrize("target", ["at", "hazard"])
def test_a_weight_is_so_many_positions_of_one_logit(target: str) -> None:
    many = torch.tensor([[-1.0, -1.0, -1.0, 0.5, 2.0, 2.0]])
    few, weight = torch.tensor([[-1.0, 0.5, 2.0]]), torch.tensor([[3, 1, 2]])
    last_of_each = cumulative(target, many)[0, [2, 3, 5]]
    assert cumulative(target, few, weight)[0].tolist() == pytest.approx(last_of_each.tolist())
    assert log_likelihood(target, few, torch.tensor([1]), weight).item() == pytest.approx(
        log_likelihood(target, many, torch.tensor([3])).item()
    )
    # A position that stands for none, as behind those of a short canvas.
    padded = torch.tensor([[-1.0, 0.5, 2.0, NEVER]])
    weight = torch.tensor([[3, 1, 2, 0]])
    assert cumulative(target, padded, weight)[0, :3].tolist() == pytest.approx(
        last_of_each.tolist()
    )


def test_kept_positions_estimate_the_hazard_without_bias() -> None:
    """Over all draws of 2 of the 5 positions beside the EOS, the mean is the whole likelihood."""
    whole = log_likelihood("hazard", LOGITS, torch.tensor([3])).item()
    found = []
    for drawn in combinations([0, 1, 2, 4, 5], 2):
        kept = sorted([*drawn, 3])
        weight = torch.tensor([[1.0 if index == 3 else 5 / 2 for index in kept]])
        at = torch.tensor([kept.index(3)])
        found.append(log_likelihood("hazard", LOGITS[:, kept], at, weight).item())
    assert sum(found) / len(found) == pytest.approx(whole)


def test_no_number_overflows() -> None:
    logits = torch.tensor([[-80.0, 80.0, 500.0]])
    for target in ("at", "hazard"):
        assert torch.isfinite(log_likelihood(target, logits, torch.tensor([0]))).all()
        found = cumulative(target, logits)[0]
        assert torch.isfinite(found).all() and found.max() <= 1.0
