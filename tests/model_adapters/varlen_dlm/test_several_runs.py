"""Several runs on one model: each has the costs and the response cache of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lm_eval
import lm_eval.evaluator
import pytest
from lm_eval.tasks import TaskManager

from model_adapters.varlen_dlm.model import VarLenDLM
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, model_of, pair

REPLIES = {"a?": "yes", "b?": "no", "c?": "perhaps"}
ROWS = """
import datasets

def rows(**_):
    names = [{"question": question} for question in ("a?", "b?", "c?")]
    return {"test": datasets.Dataset.from_list(names)}
"""
TASK = """
task: %s
custom_dataset: !function documents.rows
test_split: test
output_type: %s
doc_to_text: "{{question}}"
doc_to_target: "%s"
target_delimiter: ""
%s
metric_list:
  - {metric: %s, aggregation: mean, higher_is_better: true}
"""
UNTIL = "generation_kwargs: {until: []}"
COUNTED = ("requests", "mean_window", "forward_passes", "token_positions", "truncated", "retries")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskManager:
    monkeypatch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)
    (tmp_path / "documents.py").write_text(ROWS, encoding="utf-8")
    tasks = {
        "texts": TASK % ("texts", "generate_until", "yes", UNTIL, "exact_match"),
        "more_texts": TASK % ("more_texts", "generate_until", "no", UNTIL, "exact_match"),
        "broken": TASK % ("broken", "generate_until", "yes", UNTIL, "!function documents.fails"),
        "targets": TASK % ("targets", "loglikelihood", "yes", "", "acc"),
    }
    fails = "\ndef fails(*args, **kwargs):\n    raise RuntimeError('the metric fails')\n"
    (tmp_path / "documents.py").write_text(ROWS + fails, encoding="utf-8")
    for name, text in tasks.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


def costs(model: VarLenDLM, manager: TaskManager, *tasks: str, **options: Any) -> dict[str, Any]:
    """The costs of a run, without its seconds and its FLOPs."""
    results = lm_eval.simple_evaluate(
        model, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, **options
    )
    spent = results["config"]["eosbench"]["costs"]
    return {task: {name: cost[name] for name in COUNTED} for task, cost in spent.items()}


def fresh() -> VarLenDLM:
    return model_of(backbone_of(REPLIES))


def test_a_second_run_costs_what_a_first_one_costs(manager: TaskManager) -> None:
    model = fresh()
    first = costs(model, manager, "texts", "targets")
    assert first["texts"]["requests"] == first["targets"]["requests"] == 3
    assert costs(model, manager, "texts", "targets") == first
    assert costs(model, manager, "texts", limit=1) == costs(fresh(), manager, "texts", limit=1)


@pytest.mark.parametrize("others", [["more_texts"], ["targets"], ["texts", "targets"]])
def test_a_second_run_holds_its_own_tasks_alone(manager: TaskManager, others: list[str]) -> None:
    model = fresh()
    costs(model, manager, "texts")
    assert costs(model, manager, *others) == costs(fresh(), manager, *others)


def test_the_description_of_a_run_can_be_read_again(manager: TaskManager) -> None:
    model = fresh()
    costs(model, manager, "texts")
    said = model.get_model_info()
    assert said["eosbench"]["costs"]["texts"]["requests"] == 3
    assert model.get_model_info() == said


def test_a_run_that_failed_leaves_nothing(manager: TaskManager) -> None:
    model = fresh()
    with pytest.raises(RuntimeError, match="the metric fails"):
        costs(model, manager, "broken")
    with pytest.raises(RuntimeError, match="the metric fails"):
        costs(model, manager, "broken")
    assert model.ledger.totals()["broken"]["requests"] == 3
    with pytest.raises(KeyError):  # no reply to this question
        model.generate_until([asked("d?", task="broken")], disable_tqdm=True)
    assert costs(model, manager, "targets") == costs(fresh(), manager, "targets")


@pytest.mark.parametrize("others", [["targets"], ["texts"], ["more_texts", "targets"]])
def test_a_run_that_failed_in_a_metric_costs_the_next_one_nothing(
    manager: TaskManager, others: list[str]
) -> None:
    model = fresh()
    with pytest.raises(RuntimeError, match="the metric fails"):
        costs(model, manager, "broken")
    assert costs(model, manager, *others) == costs(fresh(), manager, *others)


def test_an_evaluation_without_a_description_is_a_run_too(manager: TaskManager) -> None:
    model = fresh()
    for _ in range(2):
        loaded = manager.load(["texts"])
        lm_eval.evaluate(model, loaded, bootstrap_iters=0)
    assert model.get_model_info()["eosbench"]["costs"]["texts"]["requests"] == 3


def test_the_response_cache_of_one_run_is_not_that_of_the_next(
    manager: TaskManager, tmp_path: Path
) -> None:
    model, cache = fresh(), str(tmp_path / "cache")
    first = costs(model, manager, "texts", use_cache=cache)
    assert first["texts"]["requests"] == 3
    assert model.cache_hook.dbdict is None
    assert costs(model, manager, "texts") == first
    assert costs(model, manager, "texts", use_cache=cache) == {}  # all of it from the cache
    assert costs(model, manager, "texts") == first


def test_kinds_of_requests_are_one_run() -> None:
    model = fresh()
    model.generate_until([asked("a?"), asked("b?", 1)], disable_tqdm=True)
    model.loglikelihood([pair("a?", "yes")], disable_tqdm=True)
    assert model.get_model_info()["eosbench"]["costs"]["task"]["requests"] == 3


def test_every_process_ends_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval asks the first process alone for the description of a run."""
    model = fresh()
    model.generate_until([asked("a?")], disable_tqdm=True)
    monkeypatch.setattr(model.processes, "rank", 1)
    model.gather_object([], dst=0)
    model.loglikelihood([pair("b?", "no", task="other")], disable_tqdm=True)
    assert set(model.ledger.totals()) == {"other"}
