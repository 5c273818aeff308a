"""From predictions to bounds: by hand, by property, and the statistical promise of split conformal
calibration.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eosbench.bounds.bound import to_bound
from eosbench.bounds.calibration import Calibration
from eosbench.bounds.coverage import Coverage
from eosbench.bounds.promise import Promise
from eosbench.bounds.rounding import ROUNDINGS, TOLERANCE, round_up
from eosbench.bounds.scores import Scale, calibration_scores
from eosbench.errors import CalibrationError, ConfigurationError, PredictorError
from eosbench.records import LengthBound, LengthPrediction


def linear(*scores: float, fraction: float = 0.0) -> Calibration:
    return Calibration({fraction: np.array(scores)}, scale="linear")


def quantile(table: Calibration, fraction: float, alpha: float) -> float:
    return table.margin(Promise(Coverage(alpha)), canvas=1, fraction=fraction)


@pytest.mark.parametrize(
    ("length", "pow2", "block", "none"),
    [
        (0, 1, 32, 1),
        (0.3, 1, 32, 1),
        (1, 1, 32, 1),
        (1.01, 2, 32, 2),
        (32, 32, 32, 32),
        (33, 64, 64, 33),
        (64.0000001, 64, 64, 64),
        (64.01, 128, 96, 65),
        (128, 128, 128, 128),
    ],
)
def test_rounding_by_hand(length: float, pow2: int, block: int, none: int) -> None:
    assert (round_up(length), round_up(length, "block"), round_up(length, "none")) == (
        pow2,
        block,
        none,
    )


@settings(deadline=None)
@given(st.floats(0, 1e6), st.sampled_from(ROUNDINGS), st.integers(1, 300))
def test_rounding_never_lowers(length: float, rounding: str, block_length: int) -> None:
    rounded = round_up(length, rounding, block_length)
    assert rounded >= max(1, length - TOLERANCE)
    if rounding == "pow2":
        assert rounded.bit_count() == 1
    if rounding == "block":
        assert rounded % block_length == 0


@settings(deadline=None)
@given(st.integers(1, 10**6), st.floats(0, 100), st.sampled_from(ROUNDINGS))
def test_the_tolerance_costs_no_coverage(length: int, more: float, rounding: str) -> None:
    """Whatever stands at or above a whole number of tokens rounds to at least it."""
    assert round_up(length + more, rounding) >= length


@settings(deadline=None)
@given(
    st.floats(0, 1e5),
    st.integers(1, 4096),
    st.sampled_from(ROUNDINGS),
    st.lists(st.floats(-3, 3), min_size=19, max_size=40),
    st.sampled_from(["log", "linear"]),
)
def test_a_bound_lies_on_the_canvas(
    length: float, canvas: int, rounding: str, scores: list[float], scale: str
) -> None:
    calibration = Calibration({0.0: np.array(scores)}, scale=scale)  # type: ignore[arg-type]
    bound = to_bound(
        LengthPrediction(length), canvas=canvas, calibration=calibration, rounding=rounding
    )
    assert 1 <= bound.bound <= canvas
    assert bound.clamped == (bound.bound < bound.calibrated - TOLERANCE)


def test_quantile_is_the_order_statistic_of_the_definition() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))  # 19 scores, 1 to 19
    assert quantile(Calibration({0.0: scores}), 0.0, 0.05) == 19  # ceil(20 * 0.95) = 19
    assert quantile(Calibration({0.0: scores}), 0.0, 0.5) == 10  # ceil(20 * 0.5) = 10
    # 30 * 0.9 is 27, not 27.000000000000004.
    assert quantile(Calibration({0.0: np.arange(1.0, 30.0)}), 0.0, 0.1) == 27


def test_too_few_scores_name_the_number_needed() -> None:
    with pytest.raises(CalibrationError, match=r"18 calibration documents.*at least 19"):
        quantile(Calibration({0.0: np.arange(18.0)}), 0.0, 0.05)
    assert Coverage(0.1).fewest(canvas=1) == 9


@settings(deadline=None)
@given(st.floats(0.001, 0.999))
def test_the_number_needed_is_the_smallest_that_works(alpha: float) -> None:
    needed = Coverage(alpha).fewest(canvas=1)
    assert quantile(Calibration({0.0: np.arange(float(needed))}), 0.0, alpha) <= needed - 1
    if needed > 1:
        with pytest.raises(CalibrationError):
            quantile(Calibration({0.0: np.arange(float(needed - 1))}), 0.0, alpha)


def test_a_fraction_without_a_table_takes_the_next_smaller() -> None:
    calibration = Calibration({0.0: np.full(19, 3.0), 0.5: np.full(19, 1.0)}, scale="linear")
    assert [quantile(calibration, u, 0.05) for u in (0.0, 0.25, 0.5, 0.9)] == [3.0, 3.0, 1.0, 1.0]
    with pytest.raises(
        CalibrationError, match=r"at or below the unmasked fraction 0\.25: there are only 0\.5"
    ):
        quantile(linear(1.0, fraction=0.5), 0.25, 0.5)


def test_calibrated_values_by_hand() -> None:
    assert (
        to_bound(
            LengthPrediction(10.0), canvas=64, calibration=linear(*[5.0] * 19), rounding="none"
        ).bound
        == 15
    )
    log = Calibration({0.0: np.full(19, math.log(2))})
    # 1 + 9, doubled, less 1.
    assert to_bound(LengthPrediction(9.0), canvas=64, calibration=log).calibrated == pytest.approx(
        19.0
    )
    assert (
        to_bound(LengthPrediction(9.0), canvas=64, calibration=log, promise=None).calibrated == 9.0
    )


def test_the_scores_undo_themselves() -> None:
    """A prediction plus its own score is the length, to the token, on both scales."""
    for scale in ("log", "linear"):
        for predicted, length in ((3.7, 64), (500.0, 64), (0.0, 1024)):
            score = calibration_scores([predicted], [length], scale)  # type: ignore[arg-type]
            table = Calibration({0.0: np.repeat(score, 19)}, scale)  # type: ignore[arg-type]
            assert (
                to_bound(
                    LengthPrediction(predicted), canvas=4096, calibration=table, rounding="none"
                ).bound
                == length
            )


def test_clamping_is_flagged_where_it_can_lose_coverage() -> None:
    assert to_bound(LengthPrediction(70.0), canvas=100) == LengthBound(100, 70.0, False)
    assert to_bound(LengthPrediction(101.0), canvas=100) == LengthBound(100, 101.0, True)


def test_revealed_tokens_hold_after_calibration() -> None:
    lower = linear(*[-30.0] * 19)
    bound = to_bound(
        LengthPrediction(40.0, at_least=25), canvas=64, calibration=lower, rounding="none"
    )
    assert (bound.bound, bound.calibrated) == (25, 25.0)
    assert (
        to_bound(LengthPrediction(10.0), canvas=64, calibration=lower, rounding="none").calibrated
        == 0.0
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"canvas": 0}, "canvas=0"),
        ({"alpha": 0.0}, "alpha=0.0"),
        ({"alpha": 1.0}, "alpha=1.0"),
        ({"rounding": "up"}, "rounding 'up'.*pow2, block, none"),
        ({"rounding": "block", "block_length": 0}, "block_length=0"),
    ],
)
def test_wrong_arguments(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        promise = Promise.of(alpha=changes.pop("alpha", 0.05))  # type: ignore[arg-type]
        to_bound(LengthPrediction(3.0), promise=promise, **{"canvas": 8, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [float("nan"), float("inf"), -1.0])
def test_a_prediction_that_is_no_length(length: float) -> None:
    with pytest.raises(PredictorError, match="finite number of tokens"):
        to_bound(LengthPrediction(length), canvas=8)


def test_unusable_scores() -> None:
    with pytest.raises(CalibrationError, match="got none"):
        Calibration({})
    with pytest.raises(CalibrationError, match="finite"):
        linear(float("nan"))
    with pytest.raises(ConfigurationError, match="scale 'sqrt'"):
        Calibration({0.0: np.ones(3)}, scale="sqrt")  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_coverage_on_exchangeable_data(scale: Scale, alpha: float) -> None:
    """Bounds cover at least 1 - alpha of new documents, and hardly more, however bad the predictor
    is.

    400 repetitions of 99 calibration and 50 new documents: the coverage of a repetition has a
    standard deviation of about sqrt(alpha (1 - alpha) (1/100 + 1/50)), so the mean over
    repetitions is known to about 0.2 percentage points.
    """
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(400):
        length_N = np.maximum(1, rng.lognormal(4.0, 0.8, size=149)).round()
        # Too short on average, and noisy.
        predicted_N = length_N * rng.lognormal(-0.3, 0.5, size=149)
        calibration = Calibration(
            {0.0: calibration_scores(predicted_N[:99], length_N[:99], scale)}, scale
        )
        for predicted, length in zip(predicted_N[99:], length_N[99:], strict=True):
            bound = to_bound(
                LengthPrediction(predicted),
                canvas=10**6,
                calibration=calibration,
                promise=Promise(Coverage(alpha)),
                rounding="none",
            )
            covered.append(bound.bound >= length)
    error = 4 * math.sqrt(alpha * (1 - alpha) * (1 / 100 + 1 / 50) / 400)
    assert 1 - alpha - error <= np.mean(covered) <= 1 - alpha + 0.01 + error
