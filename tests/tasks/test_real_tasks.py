"""Bound tasks on public data: their contexts against those of lm-eval's tasks of the same data."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import lm_eval
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

import eosbench.plugin
from eosbench.documents.public import DATA_SETS
from eosbench.errors import ConfigurationError
from tests.golden_files import GOLDEN

THEIRS = Path(lm_eval.__file__).parent / "tasks"
LOCAL = sorted(set(DATA_SETS) - {"multilingual"})  # whose rows may lie beside the repository


@pytest.fixture(scope="module")
def ours() -> TaskManager:
    return TaskManager(include_defaults=False, include_path=str(eosbench.plugin.tasks_folder()))


def load(manager: TaskManager, name: str) -> Any:
    return manager.load([name])["tasks"][name]


def contexts(task: Any, shots: int, indices: tuple[int, ...], **chat: Any) -> list[str]:
    task.set_fewshot_seed(1234)
    docs = list(task.test_docs())
    return [task.fewshot_context(docs[index], shots, **chat) for index in indices]


def function_of(path: Path, name: str) -> Callable[..., Any]:
    """One function of a file of lm-eval, without the file's imports (code_eval, sympy)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (found,) = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    scope: dict[str, Any] = {}
    exec(
        compile(
            ast.Module([ast.parse("from __future__ import annotations").body[0], found], []),
            str(path),
            "exec",
        ),
        scope,
    )
    return scope[name]  # type: ignore[no-any-return]


def chat_template(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    return "".join(f"<{turn['role']}>{turn['content']}" for turn in history) + "<assistant>"


CHAT = {"apply_chat_template": True, "chat_template": chat_template}


@pytest.mark.parametrize(
    ("shots", "chat"), [(0, {}), (5, {}), (5, {**CHAT, "fewshot_as_multiturn": True}), (0, CHAT)]
)
def test_gsm8k_asks_as_lm_eval_does(
    shots: int, chat: dict[str, Any], ours: TaskManager, public_rows: Path
) -> None:
    theirs = TaskManager(include_defaults=False, include_path=str(THEIRS / "gsm8k"))
    expected = contexts(load(theirs, "gsm8k"), shots, (0, 7, 1318), **chat)
    assert (
        contexts(load(ours, "eos_upper_bound_gsm8k_u25"), shots, (0, 7, 1318), **chat) == expected
    )
    assert len(set(expected)) == 3


@pytest.mark.parametrize("shots", [0, 3])
def test_mbpp_asks_as_lm_eval_does(shots: int, ours: TaskManager, public_rows: Path) -> None:
    config = load_yaml(THEIRS / "mbpp" / "mbpp.yaml", resolve_func=False)
    samples = function_of(THEIRS / "mbpp" / "utils.py", "list_fewshot_samples")
    config["fewshot_config"]["samples"] = samples
    config["metric_list"] = [
        {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    ]
    theirs = ConfigurableTask(config=config)
    assert contexts(load(ours, "eos_upper_bound_mbpp_u00"), shots, (0, 499)) == contexts(
        theirs, shots, (0, 499)
    )


def test_humaneval_asks_as_lm_eval_does(ours: TaskManager, public_rows: Path) -> None:
    config = load_yaml(THEIRS / "humaneval" / "humaneval.yaml", resolve_func=False)
    del config["filter_list"]
    config["metric_list"] = [
        {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    ]
    theirs = ConfigurableTask(config=config)
    assert contexts(load(ours, "eos_upper_bound_humaneval_u00"), 0, (0, 163)) == contexts(
        theirs, 0, (0, 163)
    )


def test_math_asks_as_minerva_math_does(
    ours: TaskManager, public_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = THEIRS / "minerva_math" / "utils.py"
    config = load_yaml(THEIRS / "minerva_math" / "minerva_math_algebra.yaml", resolve_func=False)
    config |= {"doc_to_text": function_of(utils, "doc_to_text"), "doc_to_target": "{{solution}}"}
    del config["process_docs"], config["process_results"]
    config["fewshot_config"]["samples"] = function_of(utils, "list_fewshot_samples")
    expected = [contexts(ConfigurableTask(config=config), shots, (0,)) for shots in (0, 4)]

    # The real one wants sympy and math_verify.
    stub = ModuleType("lm_eval.tasks.minerva_math.utils")
    stub.list_fewshot_samples = function_of(utils, "list_fewshot_samples")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    assert [
        contexts(load(ours, "eos_upper_bound_math_u00"), shots, (0,)) for shots in (0, 4)
    ] == expected


def test_missing_examples_say_what_to_install(
    ours: TaskManager, public_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.tasks.minerva_math.utils", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'eosbench\[math\]'"):
        contexts(load(ours, "eos_upper_bound_math_u00"), 4, (0,))


@pytest.mark.parametrize("name", LOCAL)
def test_requests_carry_the_published_answer(
    name: str, ours: TaskManager, public_rows: Path
) -> None:
    """Under its column's own name, as the publisher wrote it."""
    column = {
        "gsm8k": "answer",
        "math": "solution",
        "mbpp": "code",
        "humaneval": "canonical_solution",
        "dolly": "response",
    }[name]
    import datasets

    data = DATA_SETS[name]
    rows = datasets.load_dataset(data.path, data.configs[0], split="test")
    task = load(ours, f"{data.task}_u50")
    task.build_all_requests(limit=1, rank=0, world_size=1)
    (request,) = task.instances
    assert request.args[1]["reference"] == rows[0][column]
    assert request.args[1]["eos_upper_bound"]["fraction"] == 0.5
    assert (request.args[1]["until"], request.args[1]["do_sample"]) == ([], False)


def test_metadata_chooses_the_rows(public_rows: Path) -> None:
    folder = str(eosbench.plugin.tasks_folder())
    manager = TaskManager(
        include_defaults=False, include_path=folder, metadata={"split": "calibration"}
    )
    assert (
        next(iter(load(manager, "eos_upper_bound_mbpp_u00").test_docs()))["id"]
        == "mbpp-calibration-000000"
    )


def test_the_rows_that_are_used_are_stated(ours: TaskManager, public_rows: Path) -> None:
    for name in LOCAL:
        stated = load(ours, f"{DATA_SETS[name].task}_u00").config.metadata["rows"]
        assert set(stated) == {"train", "calibration", "test"}


def test_multilingual_through_lm_eval(ours: TaskManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """On two invented rows in the published format."""
    rows = [
        {"inputs": "Qual è la capitale d'Italia?", "targets": "Roma.", "language_code": "ita"},
        {"inputs": "What is two plus two?", "targets": "Four.", "language_code": "eng"},
    ]
    asked: list[tuple[str, str]] = []

    def load_dataset(path: str, config: str, split: str) -> list[dict[str, str]]:
        asked.append((path, split))
        return rows

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setitem(
        DATA_SETS, "multilingual", replace(DATA_SETS["multilingual"], name="fixture")
    )
    eosbench.plugin.add_model()
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
    found = lm_eval.simple_evaluate(
        model="varlen_dlm",
        model_args={
            "pretrained": str(GOLDEN / "llada-trained"),
            "max_gen_toks": 16,
            "method": "fixed",
        },
        tasks=["eos_upper_bound_multilingual_u00"],
        task_manager=ours,
    )
    assert set(asked) == {("CohereForAI/aya_dataset", "test")}
    assert found["results"]["eos_upper_bound_multilingual_u00"]["coverage,none"] == 1.0
    assert [
        sample["doc"]["language"] for sample in found["samples"]["eos_upper_bound_multilingual_u00"]
    ] == ["ita", "eng"]


def test_rows_that_are_not_there_are_one_message(ours: TaskManager, public_rows: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"the rows of CohereForAI/aya_dataset .* cannot be had"
    ):
        ours.load(["eos_upper_bound_real"])
