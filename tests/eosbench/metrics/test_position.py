"""Pinball loss, average precision and calibration curve on numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eosbench.errors import ConfigurationError
from eosbench.metrics.position import average_precision, calibration_curve, pinball_loss


@pytest.mark.parametrize(
    ("bound", "length", "alpha", "loss"),
    [
        ([10], [4], 0.1, 0.6),
        ([4], [10], 0.1, 5.4),
        ([7], [7], 0.1, 0.0),
        ([10, 4], [4, 10], 0.5, 3.0),
    ],
)
def test_pinball_loss(bound: list[int], length: list[int], alpha: float, loss: float) -> None:
    assert pinball_loss(bound, length, alpha=alpha) == pytest.approx(loss)


def test_the_quantile_minimises_it() -> None:
    """Of constant bounds on 1..100, the one that a share alpha exceeds."""
    length_N = np.arange(1, 101)
    losses = [pinball_loss(np.full(100, bound), length_N, alpha=0.05) for bound in length_N]
    assert length_N[int(np.argmin(losses))] in (95, 96)


def test_censored_documents_do_not_count() -> None:
    assert pinball_loss([10, 1], [4, 99], 50, alpha=0.1) == pytest.approx(0.6)
    assert math.isnan(pinball_loss([1], [99], 50, alpha=0.1))
    assert average_precision([[0.1, 0.9], [0.9, 0.1]], [1, 3]) == 1.0
    assert math.isnan(average_precision([[0.9, 0.1]], [3]))


def test_alpha_is_a_share() -> None:
    with pytest.raises(ConfigurationError, match="alpha=5"):
        pinball_loss([1], [1], alpha=5)


def test_average_precision_pools_documents() -> None:
    # by falling probability: ended (0.9), not (0.8), ended (0.7), not (0.1): 1/2 * 1/1 + 1/2 * 2/3
    assert average_precision([[0.8, 0.9], [0.1, 0.7]], [1, 1]) == pytest.approx(0.5 + 1 / 3)


def test_revealed_positions_do_not_count() -> None:
    assert average_precision([[0.95, 0.1, 0.9]], [2], revealed=[[0]]) == 1.0
    assert average_precision([[0.95, 0.1, 0.9]], [2]) == 0.5


def test_where_no_position_has_ended_it_is_not_defined() -> None:
    assert math.isnan(average_precision([[0.5, 0.5]], [2]))
    assert math.isnan(average_precision([], []))


def test_calibration_curve() -> None:
    curves = [[0.05, 0.15, 0.95, 0.85], [0.05, 0.95, 0.95, 0.95]]
    mean, share = calibration_curve(curves, [2, 2], bins=2)
    assert mean.tolist() == pytest.approx([(0.05 + 0.15 + 0.05) / 3, (0.95 + 0.85 + 3 * 0.95) / 5])
    assert share.tolist() == pytest.approx([0.0, 4 / 5])
    assert [len(part) for part in calibration_curve([], [])] == [0, 0]


def test_lists_of_different_documents() -> None:
    with pytest.raises(ValueError, match="got 1 curves, 2 lengths"):
        average_precision([[0.5]], [1, 1])
