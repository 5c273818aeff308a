"""The check by paired tests: what a tolerance would miss or cry wolf about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binomtest

from benchmarks.made_runs import make_run
from eosbench.check.check import check_results
from eosbench.check.outcomes import FELL, FINE, UNCOMPARABLE
from eosbench.check.paired import kept_values, significantly_worse

BOUND = "eos_upper_bound_u00"


def frame(values: list[float | None], metric: str = "coverage") -> Any:
    names = [f"d{index}" for index in range(len(values))]
    return pd.DataFrame({metric: pd.Series(values, dtype=float), "document": names}).set_index(
        "document"
    )


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Path]:
    """A run of 40 documents and its paired baseline."""
    make_run(tmp_path / "runs", "logit", size=40, fractions=(0.0,))
    assert (
        check_results(tmp_path / "runs", tmp_path / "b.json", update=True, paired=True).exit_code
        == 0
    )
    return tmp_path / "runs", tmp_path / "b.json"


def test_mcnemar_decides_for_right_or_wrong() -> None:
    before, now = frame([1.0] * 20), frame([0.0] * 6 + [1.0] * 14)
    kept = kept_values(before, ["coverage"])
    fell, words = significantly_worse("coverage", "higher", 0.05, kept, now)
    assert (
        fell
        and f"p = {binomtest(6, 6).pvalue:.2g}" in words
        and "worse by 0.3 on 20 documents" in words
    )
    # Significant, for the better.
    assert significantly_worse("coverage", "lower", 0.05, kept, now)[0] is False
    # P = 2 / 2 ** 5.
    assert (
        significantly_worse("coverage", "higher", 0.05, kept, frame([0.0] * 5 + [1.0] * 15))[0]
        is False
    )


def test_what_one_of_them_does_not_define_is_left_out() -> None:
    kept = kept_values(frame([1.0, None, 5.0, None], "overshoot"), ["overshoot"])
    assert kept == {"document": ["d0", "d1", "d2", "d3"], "overshoot": [1.0, None, 5.0, None]}
    fell, words = significantly_worse(
        "overshoot", "lower", 0.05, kept, frame([9.0, 1.0, None, None], "overshoot")
    )
    assert fell is False and "defined for 1 documents" in words


def test_documents_are_matched_by_name() -> None:
    before = frame([1.0, 2.0, 30.0], "overshoot")
    kept = kept_values(before, ["overshoot"])
    assert (
        "equal by 0" in significantly_worse("overshoot", "lower", 0.05, kept, before.iloc[::-1])[1]
    )
    assert significantly_worse("overshoot", "lower", 0.05, kept, before.head(2))[0] is None


def test_a_paired_baseline_compares_with_its_own_run_as_fine(written: tuple[Path, Path]) -> None:
    results, baseline = written
    data = json.loads(baseline.read_text(encoding="utf-8"))
    entry = data["runs"][0]["tasks"][BOUND]
    assert entry["metrics"]["overshoot"] == {
        "value": entry["metrics"]["overshoot"]["value"],
        "better": "lower",
        "paired": 0.05,
    }
    assert len(entry["values"]["document"]) == len(entry["values"]["rmse"]) == 40
    # A list of values is a line.
    assert len(baseline.read_text(encoding="utf-8").splitlines()) < 100
    outcome = check_results(results, baseline)
    assert outcome.exit_code == 0 and {line.status for line in outcome.comparisons} == {FINE}


def test_what_rounding_takes_from_a_kept_value_is_no_loss() -> None:
    # Every value is rounded down, by 1e-7 and a little more: a difference on every document.
    values: list[float | None] = [0.5000001 + index * 1e-9 for index in range(40)]
    now = frame(values, "compute_ratio")
    kept = kept_values(now, ["compute_ratio"])
    assert kept["compute_ratio"] == [0.5] * 40
    fell, words = significantly_worse("compute_ratio", "lower", 0.05, kept, now)
    assert fell is False and words.startswith("equal by 0 on 40 documents, p = 1 ")
    # A baseline that people edited may hold more digits than the file keeps.
    kept["compute_ratio"] = [0.49999995] * 40
    assert significantly_worse("compute_ratio", "lower", 0.05, kept, now)[0] is False


def test_a_small_loss_on_every_document_falls_and_a_large_one_on_one_does_not(
    written: tuple[Path, Path],
) -> None:
    results, baseline = written
    data = json.loads(baseline.read_text(encoding="utf-8"))
    values = data["runs"][0]["tasks"][BOUND]["values"]
    values["overshoot"] = [
        None if value is None else value - 1 - (index % 3) / 10
        for index, value in enumerate(values["overshoot"])
    ]
    values["compute_ratio"][0] -= 0.5
    baseline.write_text(json.dumps(data), encoding="utf-8")
    outcome = check_results(results, baseline)
    status = {line.metric: line.status for line in outcome.comparisons if line.task == BOUND}
    assert (
        status["overshoot"] == FELL and status["compute_ratio"] == FINE and outcome.exit_code == 1
    )


def test_without_samples_a_paired_metric_cannot_be_compared(written: tuple[Path, Path]) -> None:
    results, baseline = written
    for samples in results.glob("samples_*"):
        samples.unlink()
    outcome = check_results(results, baseline)
    assert outcome.exit_code == 2
    assert all(
        line.status == UNCOMPARABLE and "--log_samples" in line.message
        for line in outcome.comparisons
    )


def test_an_update_keeps_paired_limits_and_refreshes_values(written: tuple[Path, Path]) -> None:
    results, baseline = written
    before = baseline.read_text(encoding="utf-8")
    assert check_results(results, baseline, update=True).exit_code == 0
    assert baseline.read_text(encoding="utf-8") == before


def test_a_baseline_with_a_value_missing_is_broken(written: tuple[Path, Path]) -> None:
    results, baseline = written
    data = json.loads(baseline.read_text(encoding="utf-8"))
    data["runs"][0]["tasks"][BOUND]["values"]["rmse"].pop()
    baseline.write_text(json.dumps(data), encoding="utf-8")
    outcome = check_results(results, baseline)
    assert outcome.exit_code == 2 and "not one value of rmse per document" in outcome.message
