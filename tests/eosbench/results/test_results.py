"""Reading lm-eval's folders.

fixtures/hand has numbers worked out by hand, benchmarks/made_runs.py builds folders in bulk.
"""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from benchmarks.made_runs import make_baseline, make_run, make_runs
from eosbench.errors import ResultsError
from eosbench.results import table
from eosbench.results.run import Run
from eosbench.results.runs import read_runs, scan
from eosbench.results.samples import COLUMNS, read_samples
from eosbench.results.table import read_documents, read_results

HAND = Path(__file__).parents[2] / "fixtures" / "hand"
LATER = "2026-02-03T04-05-06.000001"


@pytest.fixture
def hand(tmp_path: Path) -> Path:
    return shutil.copytree(HAND, tmp_path / "hand")


def edit(folder: Path, change: Any) -> None:
    """Applies `change` to the parsed results file."""
    (path,) = folder.glob("results_*.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def only_reason(folder: Path) -> str:
    """Why the one results file below `folder` is skipped, from the error that nothing is left."""
    with pytest.raises(ResultsError) as raised:
        scan(folder)
    return str(raised.value)


def test_a_run_holds_what_the_file_says() -> None:
    (run,) = read_runs(HAND)
    assert (run.name, run.method, run.backbone, run.fingerprint) == (
        "classification",
        "classification",
        "embedded",
        "00112233aabbccdd",
    )
    assert run.calibration == "split_conformal alpha=0.05 samples=1000"
    assert run.settings is not None and run.settings["future_field"] == 7
    assert set(run.tasks) == {"eos_upper_bound_u00", "gsm8k"}  # the group is no task
    bound, gsm8k = run.tasks["eos_upper_bound_u00"], run.tasks["gsm8k"]
    assert (bound.benchmark, bound.fraction, bound.documents) == ("eos_upper_bound", 0.0, 4)
    assert bound.scores["coverage"].value == pytest.approx(2 / 3)
    assert math.isnan(bound.scores["rmse"].stderr) and "note" not in bound.scores
    assert (gsm8k.benchmark, gsm8k.fraction) == (None, None)
    assert {name: score.value for name, score in gsm8k.scores.items()} == {
        "exact_match,strict-match": 0.25,
        "exact_match,flexible-extract": 0.5,
    }
    assert gsm8k.costs["token_positions"] == 2048


def test_the_table_has_a_row_per_document_with_metrics_by_hand() -> None:
    frame = read_results(HAND)
    assert list(frame.columns[: len(COLUMNS)]) == list(COLUMNS)
    assert frame.groupby("task").size().to_dict() == {"eos_upper_bound_u00": 4, "gsm8k": 4}
    bounds = frame[frame["task"] == "eos_upper_bound_u00"].set_index("document")
    assert bounds["bound"].tolist() == [8, 8, 16, 32]
    assert bounds["coverage"].tolist()[:3] == [1.0, 1.0, 0.0] and math.isnan(
        bounds["coverage"]["hand-3"]
    )
    assert bounds["censored"].tolist() == [0, 0, 0, 1]
    assert bounds["overshoot"].dropna().to_dict() == {"hand-0": 3.0, "hand-1": 0.0}
    assert bounds["shortfall"].dropna().to_dict() == {"hand-2": 4.0}
    assert bounds["squared_error"].dropna().tolist() == [9.0, 0.0, 16.0]
    assert bounds["compute_ratio"]["hand-0"] == pytest.approx(8 * (4 + 8) / (32 * (4 + 32)))
    gsm8k = frame[frame["task"] == "gsm8k"]
    assert gsm8k["exact_match,strict-match"].tolist() == [1, 0, 0, 0]
    assert gsm8k["exact_match,flexible-extract"].tolist() == [1, 1, 0, 0]
    assert gsm8k["prompt"].tolist()[0] == "Count from 1 to 3."


def test_document_means_are_the_reported_aggregates(tmp_path: Path) -> None:
    make_run(tmp_path, "logit", size=30)
    frame = read_results(tmp_path)
    (run,) = read_runs(tmp_path)
    for name, task in run.tasks.items():
        own = frame[frame["task"] == name]
        for metric, score in task.scores.items():
            mean = own["squared_error"].mean() ** 0.5 if metric == "rmse" else own[metric].mean()
            assert mean == pytest.approx(score.value, nan_ok=True), (name, metric)


def test_a_baseline_without_the_block_is_a_run_without_method(tmp_path: Path) -> None:
    make_baseline(tmp_path)
    (run,) = read_runs(tmp_path)
    assert (run.name, run.method, run.settings, run.backbone) == (
        "tiny/gpt",
        None,
        None,
        "tiny/gpt",
    )


def as_lm_eval_0_4_9_writes_it(data: Any) -> None:
    """Model arguments as one string, entries without name and size, times beside the date.

    The source is its evaluation_tracker.py.
    """
    data["config"]["model_args"] = "pretrained=tiny/gpt"
    data |= {
        "lm_eval_version": "0.4.9",
        "start_time": 1.0,
        "end_time": 9.5,
        "total_evaluation_time_seconds": "8.5",
        "chat_template": None,
    }
    for entry in data["results"].values():
        entry.pop("name", None)
        entry.pop("sample_len", None)


def without_sample_counts(data: Any) -> None:
    """The size stands in each entry alone, as later versions allow."""
    data.pop("n-samples")
    data["lm_eval_version"] = "0.4.13"


def sizes(runs: list[Run]) -> list[tuple[str, str, int]]:
    """Run, task and number of documents, for every task of every run."""
    return [(run.name, name, task.documents) for run in runs for name, task in run.tasks.items()]


@pytest.mark.parametrize("layout", [as_lm_eval_0_4_9_writes_it, without_sample_counts])
@pytest.mark.parametrize("samples", [True, False])
def test_layouts_of_several_versions_of_lm_eval_read_alike(
    tmp_path: Path, layout: Any, samples: bool
) -> None:
    make_baseline(tmp_path / "hf", size=6)
    make_run(tmp_path / "logit", "logit", size=6)
    expected = sizes(read_runs(tmp_path))
    for folder in (tmp_path / "hf", tmp_path / "logit"):
        edit(folder, layout)
    if not samples:
        for path in tmp_path.rglob("samples_*"):
            path.unlink()
    found = scan(tmp_path)
    assert found.skipped == []
    assert sizes(found.runs) == expected
    assert len(read_results(tmp_path)) == (6 * 6 if samples else 0)


def test_runs_are_recognised_by_the_block_whatever_the_names(tmp_path: Path) -> None:
    path = make_run(tmp_path / "any" / "depth", "logit", samples=False)
    path.rename(path.with_name("renamed.json"))
    assert [run.method for run in read_runs(tmp_path)] == ["logit"]


def test_the_newest_of_repeated_runs_is_used_and_the_other_named(tmp_path: Path) -> None:
    old = make_run(tmp_path / "b", "logit", size=10, fractions=(0.0, 0.25, 0.5))
    new = make_run(
        tmp_path / "a",
        "logit",
        size=12,
        fractions=(0.0, 0.25),
        generation=False,
        date=LATER,
        started=1_800_000_000.0,
    )
    found = scan(tmp_path)
    (run,) = found.runs
    assert {name: task.documents for name, task in run.tasks.items()} == {
        "eos_upper_bound_u00": 12,
        "eos_upper_bound_u25": 12,
        "eos_upper_bound_u50": 10,
        "varlen_instruct": 10,
    }
    (skipped,) = found.skipped
    said = "eos_upper_bound_u00, eos_upper_bound_u25: "  # one line a file
    assert skipped.path == old and skipped.reason.startswith(said) and str(new) in skipped.reason


def test_runs_of_one_method_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "logit", fingerprint="a" * 16, canvas=256, rounding="pow2")
    make_run(tmp_path / "b", "logit", fingerprint="b" * 16, canvas=512, rounding="pow2")
    make_run(tmp_path / "c", "logit", fingerprint="c" * 16, canvas=512, rounding="none")
    make_run(
        tmp_path / "d",
        "distilbert",
        fingerprint="d" * 16,
        method_options={"head": "classes", "width": 64},
    )
    make_run(
        tmp_path / "e",
        "distilbert",
        fingerprint="e" * 16,
        method_options={"head": "regression", "width": 64},
        canvas=512,
    )
    make_run(tmp_path / "f", "fixed")
    assert [run.name for run in read_runs(tmp_path)] == [
        "distilbert head=classes",
        "distilbert head=regression",
        "fixed",
        "logit canvas=256 rounding=pow2",
        "logit canvas=512 rounding=none",
        "logit canvas=512 rounding=pow2",
    ]


def test_predictors_of_several_seeds_are_named_by_them_before_anything_that_goes_with_them(
    tmp_path: Path,
) -> None:
    for seed in (0, 1):
        make_run(tmp_path / f"{seed}", "logit", size=2, seed=seed)
    assert [(run.name, run.predictor_seed) for run in read_runs(tmp_path)] == [
        ("logit seed=0", 0),
        ("logit seed=1", 1),
    ]
    make_run(tmp_path / "old", "logit", size=2)  # a file of before says nothing of a seed
    assert [run.name for run in read_runs(tmp_path)] == ["logit", "logit seed=0", "logit seed=1"]


def test_a_seed_that_one_run_names_and_the_other_does_not_tells_them_apart_in_nothing(
    tmp_path: Path,
) -> None:
    make_run(tmp_path / "old", "logit", size=2, canvas=512)
    make_run(tmp_path / "new", "logit", size=2, seed=0, predictor="embedded/logit")
    assert [run.name for run in read_runs(tmp_path)] == ["logit canvas=256", "logit canvas=512"]


def test_trained_models_are_named_by_recipe_and_seed_whatever_their_folders(tmp_path: Path) -> None:
    """Before anything that goes with them, as the folder of a predictor does."""
    for at, (recipe, seed) in enumerate((("eoseos", 0), ("eoseos", 1), ("hazard", 0))):
        name = f"{recipe}-{seed}"
        trained = {"name": f"out/{name}", "fingerprint": name, "recipe": recipe}
        backbone = {**trained, "training_seed": seed}
        settings = {"backbone": backbone, "predictor": f"heads/{name}/logit"}
        make_run(tmp_path / name, "logit", size=2, fingerprint=f"{at}" * 16, **settings)
    make_run(tmp_path / "own", "logit", size=2)  # a model that was not trained here
    assert [run.name for run in read_runs(tmp_path)] == [
        "logit",
        "logit recipe=eoseos training_seed=0",
        "logit recipe=eoseos training_seed=1",
        "logit recipe=hazard training_seed=0",
    ]


@pytest.mark.parametrize("field", ["method", "fingerprint", "canvas", "costs", "schema"])
def test_a_missing_field_of_the_block_is_named_with_the_file(hand: Path, field: str) -> None:
    edit(hand, lambda data: data["config"]["eosbench"].pop(field))
    reason = only_reason(hand)
    assert f"config.eosbench.{field}" in reason and "results_2026-01-02" in reason


@pytest.mark.parametrize("field", ["results", "config", "date"])
def test_a_missing_field_of_the_file_is_named(hand: Path, field: str) -> None:
    edit(hand, lambda data: data.pop(field))
    assert f"field '{field}' is missing" in only_reason(hand)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(results=[]),
        lambda data: data.update(group_subtasks=3),
        lambda data: data["results"].update(gsm8k=None),
        lambda data: data["config"].update(eosbench="yes"),
        lambda data: data["config"]["eosbench"].update(costs=[1]),
        lambda data: data["config"]["eosbench"].update(canvas="256"),
        lambda data: data["config"]["eosbench"]["costs"]["gsm8k"].update(seconds="long"),
        lambda data: data.update({"n-samples": {"gsm8k": {"effective": "many"}}}),
        lambda data: data.update(results={}),
    ],
)
def test_a_field_of_another_kind_is_a_reason_and_no_traceback(hand: Path, change: Any) -> None:
    edit(hand, change)
    assert "results_2026-01-02" in only_reason(hand)


def test_a_newer_schema_is_skipped_and_says_so(hand: Path) -> None:
    edit(hand, lambda data: data["config"]["eosbench"].update(schema=2))
    assert "this one reads 1): update eosbench" in only_reason(hand)


def test_what_cannot_be_read_is_skipped_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_run(tmp_path, "logit", size=3)
    (tmp_path / "cut.json").write_text('{"results": {"eos', encoding="utf-8")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    (tmp_path / "samples_orphan_2020-01-01T00-00-00.1.jsonl").write_text("{}\n", encoding="utf-8")
    (tmp_path / "baseline.json").write_text('{"eosbench_baseline": 1}', encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        found = scan(tmp_path)
    assert [item.path.name for item in found.skipped] == [
        "binary.json",
        "cut.json",
        "deep.json",
        "list.json",
        "samples_orphan_2020-01-01T00-00-00.1.jsonl",
    ]
    assert all(item.reason for item in found.skipped)
    assert all(str(item.path) in caplog.text for item in found.skipped)
    assert len(found.runs) == 1


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[:-40], "line 4 is not JSON"),
        (lambda text: text[: text.rindex('{"doc_id": 3')], "holds 3 documents, results_2026"),
        (
            lambda text: text.replace('"filtered_resps"', '"other"'),
            "line 1: field 'filtered_resps' is missing",
        ),
        (lambda text: text.replace('\\"bound\\"', '\\"limit\\"'), "bound"),
        (
            lambda text: text.replace('{\\"eosbench\\": 1', '{\\"else\\": 1'),
            "not an eosbench length record",
        ),
        (lambda text: "[]\n" + text, "line 1 cannot be used"),
    ],
)
def test_a_broken_samples_file_is_skipped_and_the_run_stays(
    hand: Path, damage: Any, reason: str
) -> None:
    (path,) = hand.glob("samples_eos*.jsonl")
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    runs = read_runs(hand)
    frame, skipped = read_documents(runs)
    assert set(frame["task"]) == {"gsm8k"}
    assert [item.path for item in skipped] == [path] and reason in skipped[0].reason
    assert runs[0].tasks["eos_upper_bound_u00"].scores["overshoot"].value == 1.5
    assert read_results(hand).attrs["skipped"] == skipped


def test_nothing_to_read_says_what_was_looked_for_and_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(
        ResultsError, match=r"looked for results_<date>\.json .*lm_eval --model varlen_dlm"
    ):
        read_results(tmp_path)
    with pytest.raises(
        ResultsError, match=r"no results folder .*missing.*lm_eval --model varlen_dlm"
    ):
        read_runs(tmp_path / "missing")


def test_no_samples_is_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    make_run(tmp_path, "logit", samples=False)
    frame = read_results(tmp_path)
    assert len(frame) == 0 and list(frame.columns) == list(COLUMNS)


def test_many_runs_make_one_table(tmp_path: Path) -> None:
    frame = read_results(make_runs(tmp_path, size=4))
    assert frame.groupby("run").size().to_dict() == {
        "average_regression": 20,
        "classification": 20,
        "concat_regression": 20,
        "distilbert": 20,
        "logit": 20,
        "tiny/gpt": 4,
    }


def read_or_end(*job: Any) -> Any:
    """Reads in the process of the tests, and is killed in any other, as without memory."""
    if multiprocessing.parent_process() is not None:
        os._exit(9)
    return read_samples(*job)


def test_several_processes_read_what_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "logit", "logit", size=4)
    make_baseline(tmp_path / "hf", size=4)
    (broken,) = tmp_path.rglob("samples_eos_upper_bound_u25*")
    broken.write_text("{", encoding="utf-8")
    alone = read_results(tmp_path)
    monkeypatch.setattr(table, "BYTES_A_WORKER", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    together = read_results(tmp_path, workers=2)
    assert_frame_equal(together, alone)
    assert [item.path for item in together.attrs["skipped"]] == [broken]


def test_where_a_reading_process_is_killed_the_rest_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_run(tmp_path, "logit", size=4)
    alone = read_results(tmp_path)
    monkeypatch.setattr(table, "BYTES_A_WORKER", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(table, "read_samples", read_or_end)
    assert_frame_equal(read_results(tmp_path, workers=2), alone)
    assert "ended from outside" in caplog.text


def test_little_is_read_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "logit", size=4)
    monkeypatch.setattr(table, "read_samples", read_or_end)
    assert len(read_results(tmp_path, workers=2)) == 5 * 4
