"""eosbench in a fresh environment, as a wheel and editable: the stock lm-eval finds its model and
its tasks.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import LM_EVAL_COMMAND, REPOSITORY, Environment

OUR_TASKS = ("eos_upper_bound", "varlen_instruct")
IS_REGISTERED = (
    "import lm_eval.models; from lm_eval.api.registry import model_registry as r; "
    "print('varlen_dlm' in r)"
)


def listed(output: str) -> set[str]:
    """First column of the tables that `lm_eval ls tasks` prints."""
    return {line.split("|")[1].strip() for line in output.splitlines() if line.startswith("|")}


def test_is_imported_from_where_it_was_installed(
    environment: Environment, request: pytest.FixtureRequest
) -> None:
    code = (
        "import eosbench, eosbench.plugin as p, model_adapters as m; "
        "print(eosbench.__file__, m.__file__, p.tasks_folder())"
    )
    if request.node.callspec.params["environment"] == "wheel":
        site = environment.site_packages
        expected = [
            site / "eosbench/__init__.py",
            site / "model_adapters/__init__.py",
            site / "eosbench/_tasks",
        ]
    else:
        expected = [
            REPOSITORY / "eosbench/__init__.py",
            REPOSITORY / "model_adapters/__init__.py",
            REPOSITORY / "tasks",
        ]
    assert environment.run("-c", code).stdout.split() == [str(path) for path in expected]


def test_console_script_lists_the_tasks(environment: Environment) -> None:
    assert set(OUR_TASKS) <= listed(environment.lm_eval("ls", "tasks").stdout)


def test_console_script_runs_the_model(environment: Environment, tmp_path: Path) -> None:
    environment.lm_eval(
        "--model",
        "varlen_dlm",
        "--tasks",
        "eos_upper_bound",
        "--limit",
        "2",
        "--output_path",
        tmp_path,
    )
    (file,) = tmp_path.rglob("results_*.json")
    results = json.loads(file.read_text())
    assert results["config"]["model"] == "varlen_dlm"
    assert "eos_upper_bound" in results["results"]


@pytest.mark.parametrize(
    "launcher",
    [("-m",), ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "-m")],
)
def test_other_ways_to_start_lm_eval(environment: Environment, launcher: tuple[str, ...]) -> None:
    """`python -m lm_eval` and `accelerate launch -m lm_eval`."""
    assert set(OUR_TASKS) <= listed(environment.run(*launcher, "lm_eval", "ls", "tasks").stdout)


def test_spawned_processes_know_the_model(environment: Environment) -> None:
    script = environment.folder / "spawn.py"
    script.write_text(
        "import multiprocessing, sys\n"
        f"def child():\n    {IS_REGISTERED}\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=child)\n"
        "    process.start(); process.join(); sys.exit(process.exitcode)\n"
    )
    assert environment.run(script).stdout.split() == ["True"]


def test_switched_off_it_does_nothing(environment: Environment) -> None:
    assert environment.run("-c", IS_REGISTERED).stdout.split() == ["True"]
    assert environment.run("-c", IS_REGISTERED, EOSBENCH_PLUGIN="0").stdout.split() == ["False"]
    assert not set(OUR_TASKS) & listed(
        environment.lm_eval("ls", "tasks", EOSBENCH_PLUGIN="0").stdout
    )
    by_hand = f"import eosbench.plugin; eosbench.plugin.register(); {IS_REGISTERED}"
    assert environment.run("-c", by_hand, EOSBENCH_PLUGIN="0").stdout.split() == ["True"]


def test_start_of_an_interpreter_imports_two_small_modules(environment: Environment) -> None:
    code = "import sys; print(*sorted(sys.modules))"
    added = set(environment.run("-c", code).stdout.split()) - set(
        environment.run("-c", code, EOSBENCH_PLUGIN="0").stdout.split()
    )
    assert added == set()
    # Switched off, the bridge is imported all the same; what it adds is seen against an interpreter
    # without it.
    bridge = environment.site_packages / "eosbench_bridge.pth"
    before = set(environment.run("-c", code).stdout.split())
    hidden = bridge.rename(bridge.with_suffix(".off"))
    try:
        assert before - set(environment.run("-c", code).stdout.split()) == {
            "eosbench",
            "eosbench._bridge",
        }
    finally:
        hidden.rename(bridge)


def test_declares_the_official_entry_point(environment: Environment) -> None:
    code = (
        "from importlib.metadata import entry_points as e; "
        "print([p.value for p in e(group='lm_eval.models')])"
    )
    declared = environment.run("-c", code).stdout
    assert "model_adapters.varlen_dlm:VarLenDLM" in declared
    assert "model_adapters.varlen_ar:VarLenAR" in declared


def test_half_uninstalled_it_stays_silent(
    make_environment: Callable[..., Environment], wheel: Path
) -> None:
    environment = make_environment(wheel)
    shutil.rmtree(environment.site_packages / "eosbench")
    (environment.site_packages / "eosbench" / "leftover").mkdir(parents=True)
    done = environment.run("-c", "print('fine')")
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.slow
def test_beside_all_tasks_of_lm_eval(
    make_environment: Callable[..., Environment], wheel: Path
) -> None:
    done = make_environment(wheel, all_lm_eval_tasks=True).run(LM_EVAL_COMMAND, "ls", "tasks")
    assert {*OUR_TASKS, "gsm8k", "hellaswag"} <= listed(done.stdout)
    assert "eosbench" not in done.stderr and "overrides" not in done.stderr
