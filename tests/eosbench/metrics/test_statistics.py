"""Intervals and tests against scipy's own and against cases worked out by hand or published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap

from eosbench.metrics.statistics import bootstrap, holm, mcnemar, paired, percentiles, ranks, wilson

NAN = math.nan


def test_the_bootstrap_agrees_with_scipy_s() -> None:
    values = np.random.default_rng(3).gamma(2.0, 10.0, size=300)
    theirs = scipy_bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    (low,), (high,) = percentiles(bootstrap(values[:, None], resamples=4000))
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.05 * width) and high == pytest.approx(
        theirs.high, abs=0.05 * width
    )


def test_a_resample_averages_over_the_documents_that_define_the_metric() -> None:
    estimates = bootstrap([[1.0, NAN], [1.0, 4.0], [1.0, 4.0]])
    assert np.allclose(estimates[:, 0], 1.0)
    second = estimates[:, 1]
    assert np.allclose(second[~np.isnan(second)], 4.0)
    # all three draws hit the undefined document in one resample of 27
    assert np.isnan(second).mean() == pytest.approx(1 / 27, abs=0.02)


def test_no_documents_give_no_estimate() -> None:
    assert np.isnan(bootstrap(np.empty((0, 2)), resamples=3)).tolist() == [[True, True]] * 3


def test_two_documents_can_be_drawn_in_three_ways() -> None:
    """0 and 1: means 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4."""
    means, counts = np.unique(bootstrap([[0.0], [1.0]], resamples=4000), return_counts=True)
    assert means.tolist() == [0.0, 0.5, 1.0]
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_nothing_defined_is_nan_and_no_warning() -> None:
    (low,), (high,) = percentiles(bootstrap([[NAN], [NAN]]))
    assert math.isnan(low) and math.isnan(high)


def test_the_same_documents_give_the_same_interval() -> None:
    values = [[1.0], [5.0], [9.0]]
    assert np.array_equal(bootstrap(values), bootstrap(values))


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    # Newcombe 1998.
    [
        (1.0, 10, 0.722, 1.0),
        (0.5, 100, 0.404, 0.596),
        (0.0, 40, 0.0, 0.088),
        (81 / 263, 263, 0.255, 0.366),
    ],
)
def test_wilson_intervals_as_published(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


def test_wilson_of_nothing() -> None:
    assert all(math.isnan(end) for end in (*wilson(0.5, 0), *wilson(NAN, 5)))


def test_mcnemar_is_a_binomial_test_of_the_documents_that_differ() -> None:
    first = np.array([[1, 1]] * 9 + [[0, 0]] * 2 + [[1, 1]] * 20, dtype=float)
    second = np.array([[0, 1]] * 9 + [[1, 0]] * 2 + [[1, 1]] * 20, dtype=float)
    p = mcnemar(first, second)
    assert p[0] == pytest.approx(binomtest(2, 11).pvalue)  # 9 against 2
    assert p[0] == pytest.approx(2 * (1 + 11 + 55) / 2**11)  # by hand
    assert p[1] == 1.0  # nothing differs


def test_mcnemar_leaves_out_what_one_of_them_does_not_define() -> None:
    assert mcnemar([[1.0], [NAN], [1.0]], [[0.0], [0.0], [NAN]]).item() == 1.0  # one head of one


def test_a_paired_difference_by_hand() -> None:
    """Differences 1, 2, 3 and one undefined: mean 2, standard error sqrt(2 / 3 / 3)."""
    first, second = [[3.0], [5.0], [9.0], [NAN]], [[2.0], [3.0], [6.0], [7.0]]
    mean, low, high, p = paired(first, second)
    assert mean.item() == 2.0
    assert 1.0 <= low.item() < 2.0 < high.item() <= 3.0
    assert p.item() == pytest.approx(
        2 * 0.5 * math.erfc(2 / math.sqrt(2 / 9) / math.sqrt(2)), rel=0.6
    )


def test_pairing_sees_what_the_spread_of_documents_hides() -> None:
    """Documents differ by hundreds; the second run is a token looser on each, within a half."""
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 500, size=(60, 1))
    second = first + 1 + rng.uniform(-0.5, 0.5, size=(60, 1))
    mean, _, high, p = paired(first, second)
    assert mean.item() == pytest.approx(-1, abs=0.1) and high.item() < 0 and p.item() < 1e-6


def test_equal_runs_do_not_differ_and_single_documents_say_nothing() -> None:
    assert paired([[1.0], [2.0]], [[1.0], [2.0]])[3].item() == 1.0
    assert all(math.isnan(value.item()) for value in paired([[1.0], [NAN]], [[2.0], [1.0]]))
    assert all(math.isnan(value.item()) for value in paired([[NAN]], [[NAN]]))


def test_holm_by_hand() -> None:
    """Holm's steps: 4 * 0.01, 3 * 0.02, 2 * 0.03 (raised to the one before), 1 * 0.05.

    The undefined one is no test.
    """
    assert holm([0.03, NAN, 0.01, 0.05, 0.02]).tolist() == pytest.approx(
        [0.06, NAN, 0.04, 0.06, 0.06], nan_ok=True
    )
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_ranks_count_who_is_better() -> None:
    assert ranks(4, [(0, 1), (0, 2), (0, 3), (1, 3)]) == [1, 2, 2, 3]
    assert ranks(2, []) == [1, 1]
