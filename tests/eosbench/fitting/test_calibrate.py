"""What a predictor is worth on calibration documents: the halves of scores_of."""

from __future__ import annotations

import numpy as np
import pytest

from eosbench.fitting.calibrate import scores_of
from eosbench.fitting.examples import Example


def test_coverage_is_as_promised_where_two_kinds_of_documents_take_turns() -> None:
    """Every other document is predicted exactly and every other badly, so that halves by parity
    would not be exchangeable.
    """
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 100, size=1_000)
    predicted_N = np.where(
        np.arange(1_000) % 2 == 0, lengths, lengths * rng.lognormal(0.0, 0.5, size=1_000)
    )
    examples = [
        Example(f"p{i}", (1,), tuple([1] * int(length))) for i, length in enumerate(lengths)
    ]
    scores = scores_of({0.0: predicted_N}, examples, canvas=1_000, alpha=0.1)["0"]
    assert scores["coverage"] == pytest.approx(0.9, abs=0.03)


def test_too_few_documents_for_alpha_leave_only_the_rmse() -> None:
    examples = [Example(f"p{i}", (1,), (1,) * 4) for i in range(30)]
    assert scores_of({0.0: np.full(30, 6.0)}, examples, canvas=64, alpha=0.05) == {
        "0": {"rmse": pytest.approx(2.0)}
    }
