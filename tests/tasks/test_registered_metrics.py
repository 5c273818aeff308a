"""The metrics that tasks of others may name, through stock lm-eval."""

from __future__ import annotations

import importlib
from pathlib import Path

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

import eosbench.plugin
from tests.golden_files import GOLDEN

NAMES = ("coverage", "overshoot", "rmse", "compute_ratio")
TASK = """
include: {tasks}/instruct/eos_upper_bound_u50.yaml
task: bounds_of_another
process_results: null
metric_list: [{metrics}]
"""


@pytest.fixture
def manager(tmp_path: Path) -> TaskManager:
    """A task that names four of the metrics, beside ours."""
    importlib.import_module("eosbench._tasks.metrics")  # as the entry points name it
    tasks = eosbench.plugin.tasks_folder()
    metrics = ", ".join(f"{{metric: eos_bound_{name}}}" for name in NAMES)
    (tmp_path / "another.yaml").write_text(TASK.format(tasks=tasks, metrics=metrics))
    return TaskManager(include_defaults=False, include_path=[str(tasks), str(tmp_path)])


def test_a_task_of_another_gets_the_same_numbers(
    manager: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    eosbench.plugin.add_model()
    # Asks pip and nvidia-smi for seconds.
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
    results = lm_eval.simple_evaluate(
        model="varlen_dlm",
        model_args={"pretrained": str(GOLDEN / "llada-trained"), "method": "logit"},
        gen_kwargs={"max_gen_toks": 64},
        tasks=["eos_upper_bound_u50", "bounds_of_another"],
        task_manager=manager,
        limit=6,
    )["results"]
    ours, theirs = results["eos_upper_bound_u50"], results["bounds_of_another"]
    for name in NAMES:
        for key in (f"{name},none", f"{name}_stderr,none"):
            assert theirs[f"eos_bound_{key}"] == pytest.approx(ours[key], nan_ok=True), key
