"""Curves and areas worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from eosbench.report.curves import FACTORS_S, area, coverage_curve, curve_area, staircase_area


def test_a_run_s_own_predictions_stand_at_factor_one() -> None:
    curve = coverage_curve([3.2, 8.0, 20.0], [4, 6, 12], [0, 8, 0], [16, 16, 16])
    at = int(np.argmin(abs(FACTORS_S - 1)))
    assert FACTORS_S[at] == pytest.approx(1.0)
    assert curve.covered_NS[:, at].tolist() == [1, 1, 1]  # bounds 4, 8, and 20 clamped to 16
    assert curve.mean_overshoot_S[at] == pytest.approx((0 + 2 + 4) / 3)
    assert curve.compute_NS[:, at] == pytest.approx([16 / 256, 8 * 16 / (16 * 24), 1.0])


def test_more_compute_covers_more() -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(1, 100, 50)
    curve = coverage_curve(length * rng.uniform(0.3, 3, 50), length, np.full(50, 10), np.full(50, 128))
    assert (np.diff(curve.coverage_S) >= 0).all() and (np.diff(curve.compute_NS, axis=1) >= 0).all()
    assert curve.coverage_S[-1] == 1.0


def test_a_method_that_knows_lengths_has_more_area_than_one_that_says_the_same_for_all() -> None:
    length = np.array([2.0, 4.0, 64.0, 100.0] * 10)
    zero, canvas = np.zeros(40), np.full(40, 128)
    knows, spread = curve_area(coverage_curve(length, length, zero, canvas))
    constant, _ = curve_area(coverage_curve(np.full(40, 30.0), length, zero, canvas))
    assert constant < knows < 1
    assert np.quantile(spread, 0.025) < knows < np.quantile(spread, 0.975)


def test_a_constant_prediction_s_area_by_hand() -> None:
    """Every length is the canvas: covered at compute 1 alone, and what lies before is the rise from the last point under it."""
    value, _ = curve_area(coverage_curve([64.0], [64], [0], [64]))
    below = (math.ceil(64 * FACTORS_S[FACTORS_S < 1].max()) / 64) ** 2
    assert value == pytest.approx((1 - below) / 2)


def test_area_begins_at_nothing_and_stays_level() -> None:
    assert area(np.array([0.5]), np.array([1.0])) == pytest.approx(0.25 + 0.5)
    assert area(np.array([1.0]), np.array([1.0])) == pytest.approx(0.5)


def test_staircase_by_hand() -> None:
    best = 0.8
    assert staircase_area([(0.25, 0.8)], best) == pytest.approx(0.75 * 0.8)
    lost = 0.4 * math.exp(-3 * 0.5)  # half of the best quality
    assert staircase_area([(0.5, 0.8), (0.1, 0.4)], best) == pytest.approx(0.4 * lost + 0.5 * 0.8)
    assert staircase_area([(0.1, 0.8), (0.5, 0.4)], best) == pytest.approx(0.9 * 0.8)  # a worse point that costs more is none


def test_staircase_of_nothing() -> None:
    assert staircase_area([], 1.0) == staircase_area([(0.5, 0.0)], 0.0) == staircase_area([(1.2, 0.9)], 0.9) == 0.0
