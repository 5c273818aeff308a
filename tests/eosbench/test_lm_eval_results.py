"""Undefined metrics in groups and files of lm-eval, by hand and through its own tracker."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

import eosbench.plugin
from eosbench.lm_eval_results import counted, leave_out_undefined, leaves
from eosbench.results import read_results
from eosbench.strict_json import strict_dumps, without_nan
from tests.golden_files import GOLDEN

NAN = float("nan")


def strictly(text: str) -> Any:
    """JSON as every other parser reads it: a bare NaN is an error."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("number", [NAN, math.inf, -math.inf])
def test_what_json_cannot_hold_is_null(number: float) -> None:
    value = {"a": number, "b": [number, (1.5, number)], "c": "NaN", "d": True}
    expected = {"a": None, "b": [None, [1.5, None]], "c": "NaN", "d": True}
    assert strictly(strict_dumps(value)) == expected
    assert without_nan({"kept": 1}) == {"kept": 1}


def test_the_mean_of_a_group_leaves_out_tasks_that_do_not_define_it() -> None:
    """Two of three tasks define it: (20 + 30) / 2, and an error of sqrt(3 ** 2 + 4 ** 2) / 2."""
    key, error = "shortfall,none", "shortfall_stderr,none"
    parts = [{key: 20.0, error: 3.0}, {key: NAN, error: NAN}, {key: 30.0, error: 4.0}]
    found: dict[str, Any] = {"alias": "g", key: NAN, error: NAN, "coverage,none": 0.5}
    leave_out_undefined("g", found, parts)
    assert found == {"alias": "g", key: 25.0, error: 2.5, "coverage,none": 0.5}


@pytest.mark.parametrize("error", ["N/A", NAN])
def test_an_error_that_is_not_known_stays_so(error: object) -> None:
    key, name = "shortfall,none", "shortfall_stderr,none"
    found: dict[str, Any] = {key: NAN, name: error}
    leave_out_undefined("g", found, [{key: 20.0, name: error}, {key: NAN, name: NAN}])
    assert found[key] == 20.0 and found[name] is error


def test_what_no_task_defines_stays_undefined() -> None:
    found = {"shortfall,none": NAN}
    leave_out_undefined("g", found, [{"shortfall,none": NAN}, {}])
    assert math.isnan(found["shortfall,none"])


def test_groups_in_groups_count_their_tasks() -> None:
    members = {"all": ["half", "c"], "half": ["a", "b"]}
    assert leaves("all", members) == ["a", "b", "c"]
    entry = {"shortfall,none": 2.0, "shortfall_stderr,none": 1.0, "alias": "all"}
    tasks = {"a": {"shortfall,none": None}, "b": {"shortfall,none": 1.0}}
    tasks["c"] = {"shortfall,none": 3.0}
    results = {"results": {"all": entry, **tasks}, "group_subtasks": members}
    assert counted(results)["results"]["all"]["defined_tasks"] == {"shortfall,none": 2}
    samples = {"a": [1]}
    assert counted(samples) is samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lm-eval writes of a run whose bounds miss nothing."""
    eosbench.plugin.add_model()
    folder = tmp_path_factory.mktemp("results")
    tasks = eosbench.plugin.tasks_folder()
    tracker = EvaluationTracker(output_path=str(folder))
    with pytest.MonkeyPatch.context() as patch:
        # Asks pip and nvidia-smi for seconds.
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        results = lm_eval.simple_evaluate(
            model="varlen_dlm",
            model_args={"pretrained": str(GOLDEN / "llada-trained"), "method": "fixed"},
            gen_kwargs={"max_gen_toks": 64},
            tasks=["eos_upper_bound"],
            task_manager=TaskManager(include_defaults=False, include_path=str(tasks)),
            evaluation_tracker=tracker,
            limit=3,
        )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)
    assert math.isnan(results["results"]["eos_upper_bound_u00"]["shortfall,none"])  # inside
    return folder


def test_files_are_strict_json(folder: Path) -> None:
    (file,) = folder.rglob("results_*.json")
    entry = strictly(file.read_text())["results"]["eos_upper_bound_u00"]
    assert entry["shortfall,none"] is None and entry["overshoot,none"] > 0
    logs = list(folder.rglob("samples_*.jsonl"))
    assert len(logs) == 4
    for log in logs:
        rows = [strictly(line) for line in log.read_text().splitlines()]
        assert {row["shortfall"] for row in rows} == {None}


def test_a_group_says_over_how_many_tasks_it_is_defined(folder: Path) -> None:
    (file,) = folder.rglob("results_*.json")
    defined = strictly(file.read_text())["results"]["eos_upper_bound"]["defined_tasks"]
    assert defined["coverage,none"] == 4 and defined["shortfall,none"] == 0


def test_null_is_read_as_nan(folder: Path) -> None:
    frame = read_results(folder)
    assert len(frame) == 12 and frame["shortfall"].isna().all()
