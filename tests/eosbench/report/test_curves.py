"""Curves and areas worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eosbench.report.curves import FACTORS_S, budget, coverage_area, coverage_curve, staircase_area


def test_a_run_s_own_predictions_stand_at_factor_one() -> None:
    curve = coverage_curve([3.2, 8.0, 20.0], [4, 6, 12], [16, 16, 16])
    at = int(np.argmin(abs(FACTORS_S - 1)))
    assert FACTORS_S[at] == pytest.approx(1.0)
    assert curve.covered_NS[:, at].tolist() == [1, 1, 1]  # bounds 4, 8, and 20 clamped to 16
    assert curve.mean_overshoot_S[at] == pytest.approx((0 + 2 + 4) / 3)


def test_larger_factors_cover_more() -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(1, 100, 50)
    curve = coverage_curve(length * rng.uniform(0.3, 3, 50), length, np.full(50, 128))
    assert (np.diff(curve.coverage_S) >= 0).all() and curve.coverage_S[-1] == 1.0


def test_the_area_is_that_under_the_share_covered_within_a_budget() -> None:
    """Summed up numerically from the definition of the curve."""
    rng = np.random.default_rng(0)
    covered, compute = (rng.random(30) < 0.8).astype(float), 2.0 ** rng.uniform(-12, 0, 30)
    budgets = np.linspace(0, 1, 20_001)
    share = [(covered * (budget(compute) <= at)).mean() for at in budgets]
    assert coverage_area(covered, compute).mean() == pytest.approx(
        np.trapezoid(share, budgets), abs=1e-4
    )


@given(st.integers(1, 256), st.integers(1, 256), st.integers(0, 100))
def test_no_bound_has_more_area_than_the_oracle_s(bound: int, length: int, prompt: int) -> None:
    def compute(window: int) -> float:
        return window * (prompt + window) / (256 * (prompt + 256))

    assert 0 <= coverage_area(bound >= length, compute(bound)) <= coverage_area(1, compute(length))


def test_staircase_by_hand() -> None:
    """Budgets: 0.25 is two halvings of ten before the full canvas, 0.5 one, 1/8 three."""
    best = 0.8
    assert staircase_area([(0.25, 0.8)], best) == pytest.approx(0.2 * 0.8)
    lost = 0.4 * math.exp(-3 * 0.5)  # half of the best quality
    assert staircase_area([(0.5, 0.8), (0.125, 0.4)], best) == pytest.approx(0.2 * lost + 0.1 * 0.8)
    # A worse point that costs more is none.
    assert staircase_area([(0.125, 0.8), (0.5, 0.4)], best) == pytest.approx(0.3 * 0.8)
    assert staircase_area([(1e-9, 0.8)], best) == pytest.approx(0.8)  # the axis ends at 1/1024


def test_staircase_of_nothing() -> None:
    assert (
        staircase_area([], 1.0)
        == staircase_area([(0.5, 0.0)], 0.0)
        == staircase_area([(1.2, 0.9)], 0.9)
        == 0.0
    )
