"""Metrics against numbers worked out by hand, and their denominators."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench import metrics
from eosbench.metrics import bound, eos
from eosbench.records import LengthRecord

# Four documents on a canvas of 16. B - L: +3, 0, -4, and one that is censored (L = 20 > 16).
BOUND, LENGTH, CANVAS = [8, 4, 6, 16], [5, 4, 10, 20], [16, 16, 16, 16]
NAN = float("nan")


def record(**changes: object) -> LengthRecord:
    values: dict[str, object] = {
        "method": "logit",
        "fraction": 0.0,
        "canvas": 16,
        "prompt_length": 4,
        "length": 5,
        "prediction": 7.5,
        "calibrated": 7.5,
        "bound": 8,
        "clamped": False,
    }
    return LengthRecord(**{**values, **changes})  # type: ignore[arg-type]


def test_doctests() -> None:
    results = [doctest.testmod(module) for module in (bound, eos)]
    assert sum(result.attempted for result in results) >= 14
    assert not any(result.failed for result in results)


def test_by_hand() -> None:
    assert metrics.coverage(BOUND, LENGTH, CANVAS) == pytest.approx(2 / 3)
    assert metrics.overshoot(BOUND, LENGTH, CANVAS) == pytest.approx(1.5)
    assert metrics.shortfall(BOUND, LENGTH, CANVAS) == pytest.approx(4)
    assert metrics.saved(BOUND, CANVAS, LENGTH) == pytest.approx((8 + 12 + 10) / 3)
    assert metrics.rmse(BOUND, LENGTH, CANVAS) == pytest.approx(math.sqrt((9 + 0 + 16) / 3))
    assert metrics.exact(BOUND, LENGTH, CANVAS) == pytest.approx(1 / 3)
    # 8~5, 4~4, 6 is in (4, 8] and 10 in (8, 16].
    assert metrics.bucket_accuracy(BOUND, LENGTH, CANVAS) == pytest.approx(2 / 3)
    assert metrics.accuracy(BOUND, LENGTH, CANVAS) == pytest.approx((13 + 16 + 12) / 16 / 3)
    ratios = [8 * 12 / (16 * 20), 4 * 8 / (16 * 20), 6 * 10 / (16 * 20)]
    assert metrics.compute_ratio(BOUND, [4] * 4, CANVAS, LENGTH) == pytest.approx(sum(ratios) / 3)
    assert metrics.censored(LENGTH, CANVAS) == 1


def test_what_rounding_brings_by_hand() -> None:
    """On a canvas of 16, rounding covers the third document alone of those that are in it.

    The first, L = 7 at 6.2, a bound of 7 would cover as well; the second, L = 5, is below 6.5.
    """
    found = metrics.of_rounding(
        [
            record(calibrated=6.2, bound=8, length=7),
            record(calibrated=6.5, bound=8, length=5),
            record(calibrated=6.9, bound=8, length=8),
            record(calibrated=8.00001, bound=8, length=9),
            record(calibrated=20.0, bound=16, length=16),
            record(calibrated=6.9, bound=8, length=17),
        ]
    )
    np.testing.assert_array_equal(found["rounding_coverage"], [0, 0, 1, 0, 0, np.nan])
    np.testing.assert_array_equal(found["rounding_overshoot"], [1, 1, 1, 0, 0, np.nan])


def test_a_censored_document_counts_where_no_canvas_is_given() -> None:
    assert metrics.coverage(BOUND, LENGTH) == pytest.approx(0.5)
    assert metrics.saved(BOUND, CANVAS) == pytest.approx((8 + 12 + 10 + 0) / 4)


def test_an_answer_as_long_as_the_canvas_is_not_censored() -> None:
    assert metrics.censored([16], [16]) == 0
    assert metrics.coverage([16], [16], [16]) == 1.0


def test_accuracy_leaves_out_revealed_positions() -> None:
    # canvas 8, L = 4, B = 6: positions 4 and 5 are labelled wrongly; 0, 1 and 3 are revealed, so 3
    # of 5 are right
    assert metrics.accuracy([6], [4], [8], [[0, 1, 3]]) == pytest.approx(3 / 5)
    assert math.isnan(metrics.accuracy([2], [2], [2], [[0, 1]]))
    with pytest.raises(ValueError, match="revealed holds 2"):
        metrics.accuracy([6], [4], [8], [[0], [1]])


def test_seed_paper_example_of_compute() -> None:
    """A canvas of the right length costs a quarter where prompt and answer halve together."""
    assert metrics.compute_ratio([64], [0], [128]) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "metric", [metrics.coverage, metrics.overshoot, metrics.shortfall, metrics.rmse, metrics.exact]
)
def test_nothing_in_the_denominator_is_nan(metric) -> None:  # type: ignore[no-untyped-def]
    assert math.isnan(metric([], []))
    assert math.isnan(metric([8], [20], [16]))


def test_overshoot_and_shortfall_are_nan_on_the_other_side() -> None:
    assert math.isnan(metrics.overshoot([4], [5]))
    assert math.isnan(metrics.shortfall([5], [5]))


def test_eos_metrics() -> None:
    assert metrics.eos_top1([1, 2, 4, NAN]) == pytest.approx(1 / 3)
    assert metrics.eos_mrr([1, 2, 4, NAN]) == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert metrics.eos_prob([0.5, NAN]) == 0.5
    assert math.isnan(metrics.eos_top1([NAN]))


def test_false_ends_are_counted_before_the_end_where_masked() -> None:
    ranks = [1, 2, 1, 1, 1]
    assert metrics.false_ends(ranks, 3) == pytest.approx(2 / 3)
    assert metrics.false_ends(ranks, 3, [0]) == 0.5
    assert metrics.false_ends(ranks, 5) == pytest.approx(4 / 5)  # L = C: not censored
    assert math.isnan(metrics.false_ends(ranks, 6))
    assert math.isnan(metrics.false_ends(ranks, 0))
    assert math.isnan(metrics.false_ends(ranks, 2, [0, 1]))
    assert metrics.eos_false([0.5, 0.0, NAN]) == 0.25
    assert math.isnan(metrics.eos_false([NAN]))


def test_an_empty_reference_shares_the_bucket_of_one_token() -> None:
    assert metrics.bucket_accuracy([1], [0]) == 1.0
    assert metrics.coverage([1], [0]) == 1.0
    assert metrics.exact([1], [0]) == 0.0


@settings(deadline=None)
@given(st.integers(1, 2**40))
def test_bucket_is_the_smallest_power_of_two_that_holds_it(n: int) -> None:
    k = int(metrics.bucket(n))
    assert 2**k >= n
    assert k == 0 or 2 ** (k - 1) < n


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 32), st.integers(0, 40)), min_size=1, max_size=20),
    st.integers(0, 9),
)
def test_the_mean_over_single_documents_is_the_metric(
    pairs: list[tuple[int, int]], prompt: int
) -> None:
    bound, length = [b for b, _ in pairs], [n for _, n in pairs]
    canvas = [32] * len(pairs)
    rows = [
        metrics.per_document(record(bound=b, length=n, canvas=32, prompt_length=prompt))
        for b, n in pairs
    ]

    def mean(name: str) -> float:
        values = np.array([row[name] for row in rows])
        return float(np.nanmean(values)) if not np.isnan(values).all() else NAN

    assert mean("coverage") == pytest.approx(metrics.coverage(bound, length, canvas), nan_ok=True)
    assert mean("overshoot") == pytest.approx(metrics.overshoot(bound, length, canvas), nan_ok=True)
    assert mean("shortfall") == pytest.approx(metrics.shortfall(bound, length, canvas), nan_ok=True)
    assert mean("saved") == pytest.approx(metrics.saved(bound, canvas, length), nan_ok=True)
    assert mean("squared_error") ** 0.5 == pytest.approx(
        metrics.rmse(bound, length, canvas), nan_ok=True
    )
    assert mean("accuracy") == pytest.approx(metrics.accuracy(bound, length, canvas), nan_ok=True)
    assert mean("compute_ratio") == pytest.approx(
        metrics.compute_ratio(bound, [prompt] * len(pairs), canvas, length), nan_ok=True
    )
    assert sum(row["censored"] for row in rows) == metrics.censored(length, canvas)


def test_per_document_reads_ranks_and_revealed_positions() -> None:
    row = metrics.per_document(
        record(
            length=5, bound=8, canvas=16, revealed=[0, 2], eos_rank=2, eos_prob=0.25, eos_false=0.5
        )
    )
    assert row["eos_false"] == 0.5
    assert (row["eos_top1"], row["eos_mrr"], row["eos_prob"]) == (0.0, 0.5, 0.25)
    assert row["accuracy"] == pytest.approx(11 / 14)
    assert math.isnan(metrics.per_document(record())["eos_prob"])


def test_per_document_of_a_censored_document() -> None:
    row = metrics.per_document(record(length=20, bound=16, canvas=16))
    assert row.pop("censored") == 1.0
    assert all(math.isnan(value) for value in row.values())


def test_every_public_name_can_be_imported_from_here() -> None:
    assert {
        "Metric",
        "ROUNDING_TOLERANCE",
        "of_rounding",
        "rounding_coverage",
        "rounding_overshoot",
    } <= set(metrics.__all__)
    assert all(hasattr(metrics, name) for name in metrics.__all__)
