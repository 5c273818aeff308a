"""The project's own numbers: a small eos_upper_bound against the committed baseline.

A change of settings that changes no number is none here, so the run is compared under the
fingerprint it has now. Whoever changes the embedded model or what a predictor does commits a new
baseline with it: eosbench check ... --update.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eosbench.check.check import check_results
from eosbench.results.runs import read_runs
from eosbench.sweep import sweep

BASELINE = Path(__file__).parents[3] / "results" / "baseline.json"
METHOD, TASK = "classification", "eos_upper_bound_u00"


def test_a_small_run_has_not_become_worse_than_the_committed_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (entry,) = (
        run
        for run in json.loads(BASELINE.read_text(encoding="utf-8"))["runs"]
        if run["name"] == METHOD
    )
    sweep(
        [METHOD], [TASK], tmp_path / "runs", limit=entry["tasks"][TASK]["documents"], batch_size=16
    )
    (run,) = read_runs(tmp_path / "runs")
    excerpt = {
        "name": METHOD,
        "method": METHOD,
        "fingerprint": run.fingerprint,
        "tasks": {TASK: entry["tasks"][TASK]},
    }
    (tmp_path / "baseline.json").write_text(
        json.dumps({"eosbench_baseline": 1, "runs": [excerpt]}), encoding="utf-8"
    )
    outcome = check_results(tmp_path / "runs", tmp_path / "baseline.json")
    assert outcome.exit_code == 0, [line for line in outcome.comparisons if line.status != "fine"]
    assert len(outcome.comparisons) >= 3
