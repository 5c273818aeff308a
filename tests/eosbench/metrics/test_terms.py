"""Terms under lm-eval's own `mean` and `mean_stderr`.

They are compared with numbers worked out by hand, and with estimators written with numpy.
"""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval.api.metrics import mean, mean_stderr

from eosbench.metrics.terms import DocumentValues, Term

NAN = float("nan")
VALUES = st.lists(
    st.one_of(st.just(NAN), st.floats(-1e4, 1e4).map(lambda x: round(x, 3))),
    min_size=2,
    max_size=40,
)


def terms(*values: float, root: bool = False) -> list[Term]:
    return [Term(value, root=root) for value in values]


def test_without_nan_they_are_plain_numbers() -> None:
    """The mean is 3; the deviations -2, -1, 0, 3 have a sum of squares of 14.

    So the error is sqrt(14 / 3) / 2.
    """
    found = terms(1, 2, 3, 6)
    assert mean(found) == 3.0
    assert mean_stderr(found) == pytest.approx(math.sqrt(14 / 3) / 2)


def test_nan_leaves_numerator_and_denominator() -> None:
    """Of three documents two have a value, 2 and 4.

    The influences are -1 / (2/3), 0 and 1 / (2/3), so the sum of squares is 4.5.
    """
    found = terms(2, NAN, 4)
    assert mean(found) == 3.0
    assert mean_stderr(found) == pytest.approx(math.sqrt(4.5 / 2) / math.sqrt(3))


def test_root_mean_square() -> None:
    """Errors 3 and 4 have a mean square of 12.5.

    The error of its root is that of the mean square, 3.5, over twice the root.
    """
    found = terms(3, 4, root=True)
    assert mean(found) == pytest.approx(math.sqrt(12.5))
    assert mean_stderr(found) == pytest.approx(3.5 / (2 * math.sqrt(12.5)))


def test_signs_do_not_matter_under_the_root() -> None:
    assert mean(terms(-3, 4, root=True)) == mean(terms(3, -4, root=True))


def test_nothing_defined_is_nan() -> None:
    assert math.isnan(mean(terms(NAN, NAN))) and math.isnan(mean_stderr(terms(NAN, NAN)))
    assert math.isnan(mean(terms(NAN, root=True)))


def test_one_value_has_no_spread() -> None:
    assert mean(terms(NAN, 5, NAN)) == 5.0
    assert mean_stderr(terms(NAN, 5, NAN)) == 0.0


def test_all_errors_zero() -> None:
    assert mean(terms(0, 0, root=True)) == 0.0
    assert mean_stderr(terms(0, 0, root=True)) == 0.0


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_mean_and_error_are_the_ratio_estimators(values: list[float], root: bool) -> None:
    """R = sum(w x) / sum(w) and Var(R) = s^2(w x - w R) / (n mean(w)^2).

    The variance of the root of R is that over (2 sqrt R)^2.
    """
    found, x = terms(*values, root=root), np.array(values)
    value = x**2 if root else x
    weight = (~np.isnan(x)).astype(float)
    if not weight.any():
        assert math.isnan(mean(found)) and math.isnan(mean_stderr(found))
        return
    ratio = np.nanmean(value)
    residual = np.where(weight > 0, np.nan_to_num(value) - ratio, 0.0)
    error = residual.std(ddof=1) / math.sqrt(len(x)) / weight.mean()
    scale = 1e-9 * (1 + np.nanmax(np.abs(value)))
    if root:
        assert mean(found) == pytest.approx(math.sqrt(ratio), rel=1e-9)
        assert mean_stderr(found) == pytest.approx(
            error / (2 * math.sqrt(ratio)) if ratio else 0.0, rel=1e-6, abs=scale
        )
    else:
        assert mean(found) == pytest.approx(ratio, rel=1e-9, abs=scale)
        assert mean_stderr(found) == pytest.approx(error, rel=1e-6, abs=scale)


def test_the_error_is_that_of_repeated_draws() -> None:
    """The simulated spread of a mean over covered documents is the one that the formula gives.

    Their number varies too.
    """
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(2000):
        x = np.where(rng.random(100) < 0.6, rng.exponential(10, 100), np.nan)
        found = terms(*x)
        means.append(mean(found))
        errors.append(mean_stderr(found))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.05)


@pytest.mark.parametrize("root", [False, True])
def test_they_travel_as_floats(root: bool) -> None:
    """Through pickle (lm-eval gathers metrics of several processes) and JSON (it logs them)."""
    there = pickle.loads(pickle.dumps(terms(3, NAN, 4, root=root)))
    assert [type(term) for term in there] == [Term] * 3 and [term.root for term in there] == [
        root
    ] * 3
    assert mean(there) == mean(terms(3, NAN, 4, root=root)) and mean_stderr(there) == mean_stderr(
        terms(3, NAN, 4, root=root)
    )
    assert json.dumps(terms(3.5, 0.1, root=root)) == "[3.5, 0.1]"
    assert json.dumps({"mean": mean(there)}) == json.dumps(
        {"mean": math.sqrt(12.5) if root else 3.5}
    )


def test_subtracting_a_plain_number_is_subtraction() -> None:
    assert Term(5.0) - 2 == 3.0
    found = terms(1, 2, 3, 6)
    assert mean(found) - 2 == found[3] - 5 == 1.0


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("values", [(3, NAN, 4), (NAN, NAN), (0, 0)])
def test_what_lm_eval_hands_on_is_plain(values: tuple[float, ...], root: bool) -> None:
    found = terms(*values, root=root)
    assert type(mean(found)) is float and type(mean_stderr(found)) is float


def test_a_document_logs_floats_and_aggregates_terms() -> None:
    values = DocumentValues({"overshoot": Term(2.0), "rmse": Term(3.0, root=True)})
    for there in (values, copy.deepcopy(values), pickle.loads(pickle.dumps(values))):
        logged: dict[str, float] = {"doc_id": 7}
        logged.update(there)
        assert logged == {"doc_id": 7, "overshoot": 2.0, "rmse": 3.0}
        assert {type(logged["overshoot"]), type(there["rmse"])} == {float}
        aggregated = {metric: value for metric, value in there.items()}
        assert [type(value) for value in aggregated.values()] == [Term, Term]
        assert aggregated["rmse"].root and not aggregated["overshoot"].root
