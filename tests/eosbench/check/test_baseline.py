"""`eosbench check`: what falls, what cannot be compared, and what CI is told."""

from __future__ import annotations

import io
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks.made_runs import make_run
from eosbench.check.check import check_results
from eosbench.check.outcomes import FELL, FINE, UNCOMPARABLE, CheckOutcome, print_outcome

# Coverage 2/3, overshoot 1.5, rmse 2.89, gsm8k 0.25 and 0.5.
HAND = Path(__file__).parents[2] / "fixtures" / "hand"
BOUND = "eos_upper_bound_u00"


@pytest.fixture(autouse=True)
def no_step_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """A baseline of the fixture run, as written."""
    path = tmp_path / "baseline.json"
    assert check_results(HAND, path, update=True).exit_code == 0
    return path


def edit(path: Path, change: Callable[[Any], object]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def metrics(data: Any, task: str = BOUND) -> Any:
    return data["runs"][0]["tasks"][task]["metrics"]


def test_a_written_baseline_holds_the_values_and_compares_as_fine(baseline: Path) -> None:
    data = json.loads(baseline.read_text(encoding="utf-8"))
    assert set(metrics(data)) == {"coverage", "overshoot", "rmse"}
    assert metrics(data)["overshoot"] == {"value": 1.5, "better": "lower", "relative": 0.1}
    assert set(metrics(data, "gsm8k")) == {
        "exact_match,strict-match",
        "exact_match,flexible-extract",
    }
    outcome = check_results(HAND, baseline)
    assert (outcome.exit_code, len(outcome.comparisons)) == (0, 5)
    assert outcome.message == "5 compared: 5 fine, 0 fell, 0 cannot be compared"


@pytest.mark.parametrize(
    ("metric", "value", "status"),
    [
        ("coverage", 2 / 3 + 0.0201, FELL),  # higher is better, 0.02 absolute
        ("coverage", 2 / 3 + 0.02, FINE),
        ("coverage", 0.1, FINE),
        ("overshoot", 1.5 / 1.11, FELL),  # lower is better, a tenth relative
        ("overshoot", 1.5 / 1.1, FINE),
        ("overshoot", 100.0, FINE),
    ],
)
def test_direction_and_tolerance(baseline: Path, metric: str, value: float, status: str) -> None:
    edit(baseline, lambda data: metrics(data)[metric].update(value=value))
    outcome = check_results(HAND, baseline)
    (line,) = [line for line in outcome.comparisons if line.metric == metric]
    assert line.status == status
    assert outcome.exit_code == (1 if status == FELL else 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data["runs"][0].update(fingerprint="f" * 16),
            "made with fingerprint ffffffffffffffff, the results have 0011",
        ),
        (
            lambda data: data["runs"][0].update(fingerprint="f" * 16, method="logit"),
            "no run of method 'logit' in the results",
        ),
        (
            lambda data: data["runs"][0]["tasks"].update(gone={"documents": 4, "metrics": {}}),
            "the task is missing",
        ),
        (
            lambda data: data["runs"][0]["tasks"][BOUND].update(documents=1000),
            "4 documents, the baseline has 1000",
        ),
        (
            lambda data: data["runs"][0]["tasks"]["gsm8k"].update(shots="8"),
            "5 examples in the prompt, the baseline has 8",
        ),
        (
            lambda data: metrics(data).update(saved=metrics(data)["coverage"]),
            "the metric is missing",
        ),
        (lambda data: data.update(runs=[]), "names no metric"),
    ],
)
def test_what_is_missing_cannot_be_compared(
    baseline: Path, change: Callable[[Any], object], message: str
) -> None:
    edit(baseline, change)
    outcome = check_results(HAND, baseline)
    assert outcome.exit_code == 2
    (line,) = outcome.having(UNCOMPARABLE)
    assert message in line.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a baseline"),
        ('{"eosbench_baseline": 2, "runs": []}', "has version 2, this eosbench reads 1"),
        ('{"eosbench_baseline": 1}', "is broken (KeyError: 'runs')"),
        ('{"eosbench_baseline": 1, "runs": [{"name": "x"}]}', "is broken"),
    ],
)
def test_a_broken_baseline_is_an_outcome_and_no_traceback(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text, encoding="utf-8")
    outcome = check_results(HAND, path)
    assert outcome.exit_code == 2 and message in outcome.message and "--update" in outcome.message


@pytest.mark.parametrize(
    "limits",
    [
        {"better": "up", "absolute": 0.1},
        {"better": "higher"},
        {"better": "higher", "absolute": 0.1, "relative": 0.1},
        {"better": "higher", "absolute": -1},
        {"better": "higher", "absolute": "much"},
    ],
)
def test_broken_limits_name_the_metric_or_the_value(baseline: Path, limits: dict[str, Any]) -> None:
    edit(baseline, lambda data: metrics(data).update(coverage={"value": 0.5, **limits}))
    outcome = check_results(HAND, baseline)
    assert outcome.exit_code == 2 and (
        "eos_upper_bound_u00.coverage" in outcome.message or "much" in outcome.message
    )


def test_missing_files_say_what_to_type(tmp_path: Path) -> None:
    assert "no baseline" in check_results(HAND, tmp_path / "none.json").message
    outcome = check_results(tmp_path / "none", tmp_path / "none.json")
    assert outcome.exit_code == 2 and "lm_eval --model varlen_dlm" in outcome.message


def test_what_to_type_has_the_paths_that_were_given_quoted(tmp_path: Path, baseline: Path) -> None:
    folder, path = shutil.copytree(HAND, tmp_path / "my runs"), tmp_path / "it's.json"
    command = ["eosbench", "check", str(folder), "--baseline", str(path), "--update"]
    message = check_results(folder, path).message
    assert shlex.split(message[message.index("eosbench check") :]) == command
    shutil.copy(baseline, path)
    edit(path, lambda data: data["runs"][0].update(fingerprint="f" * 16))
    (line,) = check_results(folder, path).having(UNCOMPARABLE)
    assert shlex.split(line.message[line.message.index("eosbench check") :]) == command
    # The command that was typed is no remedy where the earlier file is what is broken.
    path.write_text("{", encoding="utf-8")
    message = check_results(folder, path, update=True).message
    assert message.startswith("wrote no baseline: ") and path.read_text(encoding="utf-8") == "{"
    assert shlex.split(message[message.index("rm ") :]) == ["rm", str(path)]


@pytest.mark.parametrize("paired", [False, True])
def test_a_run_with_nothing_to_watch_gives_no_baseline(tmp_path: Path, paired: bool) -> None:
    folder, path = shutil.copytree(HAND, tmp_path / "hand"), tmp_path / "baseline.json"
    (results,) = folder.glob("results_*.json")

    def choose(data: Any) -> None:
        data["results"] = {"arc_easy": {"alias": "arc_easy", "acc,none": 0.25, "sample_len": 4}}
        data["group_subtasks"] = {}

    edit(results, choose)
    outcome = check_results(folder, path, update=True, paired=paired)
    assert outcome.exit_code == 2 and not path.exists()
    assert outcome.message.startswith("wrote no baseline: nothing to watch: arc_easy reports acc, ")
    assert "coverage" in outcome.message


def test_metrics_that_no_document_defines_give_no_baseline(tmp_path: Path) -> None:
    folder, path = shutil.copytree(HAND, tmp_path / "hand"), tmp_path / "baseline.json"
    (results,) = folder.glob("results_*.json")

    def undefine(data: Any) -> None:
        data["results"] = {BOUND: data["results"][BOUND]}
        for name in ("coverage", "overshoot", "rmse"):
            data["results"][BOUND][f"{name},none"] = float("nan")

    edit(results, undefine)
    outcome = check_results(folder, path, update=True)
    assert outcome.exit_code == 2 and not path.exists()
    assert f"no document of {BOUND} defines coverage, overshoot, rmse" in outcome.message
    assert "max_gen_toks" in outcome.message


def test_a_run_with_nothing_to_watch_is_named_and_left_out(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "logit", "logit", size=3, fractions=(0.0,))
    other = make_run(tmp_path / "runs" / "fixed", "fixed", size=3, fractions=(0.0,))

    def choose(data: Any) -> None:
        data["results"] = {"arc_easy": {"alias": "arc_easy", "acc,none": 0.25, "sample_len": 4}}
        data["group_subtasks"] = {}

    edit(other, choose)
    path = tmp_path / "baseline.json"
    outcome = check_results(tmp_path / "runs", path, update=True)
    assert outcome.exit_code == 0
    assert outcome.message.endswith("1 runs, 6 metrics; nothing to watch in fixed")
    assert [run["name"] for run in json.loads(path.read_text())["runs"]] == ["logit"]
    assert check_results(tmp_path / "runs", path).exit_code == 0


def test_cannot_compare_outweighs_a_fall(baseline: Path) -> None:
    edit(baseline, lambda data: metrics(data)["coverage"].update(value=0.99))
    assert check_results(HAND, baseline).exit_code == 1
    edit(
        baseline, lambda data: data["runs"][0]["tasks"].update(gone={"documents": 4, "metrics": {}})
    )
    assert check_results(HAND, baseline).exit_code == 2


def test_update_keeps_edited_tolerances_and_watched_metrics(baseline: Path) -> None:
    def loosen(data: Any) -> None:
        metrics(data)["coverage"] = {"value": 0.9, "better": "higher", "absolute": 0.3}
        del metrics(data)["rmse"]

    edit(baseline, loosen)
    assert check_results(HAND, baseline, update=True).exit_code == 0
    kept = metrics(json.loads(baseline.read_text(encoding="utf-8")))
    assert kept["coverage"] == {"value": pytest.approx(2 / 3), "better": "higher", "absolute": 0.3}
    assert set(kept) == {"coverage", "overshoot"}


def test_a_metric_that_became_undefined_cannot_be_compared(tmp_path: Path, baseline: Path) -> None:
    folder = shutil.copytree(HAND, tmp_path / "hand")
    (path,) = folder.glob("results_*.json")
    edit(path, lambda data: data["results"][BOUND].update({"overshoot,none": float("nan")}))
    outcome = check_results(folder, baseline)
    assert outcome.exit_code == 2 and outcome.having(UNCOMPARABLE)[0].metric == "overshoot"
    fresh = tmp_path / "fresh.json"
    check_results(folder, fresh, update=True)
    assert metrics(json.loads(fresh.read_text(encoding="utf-8")))["overshoot"]["value"] is None
    assert check_results(folder, fresh).exit_code == 0 and check_results(HAND, fresh).exit_code == 0


def spoiled(baseline: Path, **options: Any) -> CheckOutcome:
    """One metric fallen, one task gone, under a name that no format may take for markup."""

    def spoil(data: Any) -> None:
        data["runs"][0]["name"] = "a<b>|[red]\u0001"
        metrics(data)["coverage"]["value"] = 0.99
        data["runs"][0]["tasks"]["gone"] = {"documents": 4, "metrics": {}}

    edit(baseline, spoil)
    return check_results(HAND, baseline, **options)


def test_junit_tells_falls_from_errors(baseline: Path, tmp_path: Path) -> None:
    spoiled(baseline, junit=tmp_path / "out" / "junit.xml")
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "1", "1")
    failed = suite.find("testcase[failure]")
    assert failed is not None and (failed.get("classname"), failed.get("name")) == (
        "a<b>|[red]?",
        f"{BOUND}.coverage",
    )
    assert "baseline 0.99, found 0.6667" in str(failed.findtext("failure"))


def test_the_step_summary_is_appended(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "summary.md"
    target.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(target))
    spoiled(baseline)
    text = target.read_text(encoding="utf-8")
    assert text.startswith("before\n## eosbench check") and "1 fell, 1 cannot be compared" in text
    rows = [line for line in text.splitlines() if line.startswith("| a&lt;b>&#124;[red]")]
    assert len(rows) == 2 and all(row.count("|") == 7 for row in rows)


def test_the_terminal_shows_names_as_they_are(baseline: Path) -> None:
    stream = io.StringIO()
    print_outcome(spoiled(baseline), Console(file=stream, width=160))
    text = stream.getvalue()
    assert (
        "a<b>|[red]" in text
        and "worse by" in text
        and "gone: the task is missing" in text
        and "1 fell" in text
    )
