"""The import hook against small stand-ins for lm-eval: present, absent, and changed beyond
recognition.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import REPOSITORY

REGISTRY = """
class Registry(dict):
    def register(self, name, target): self[name] = target
model_registry = Registry()
"""
MANAGER = """
class TaskManager:
    def __init__(self, verbosity=None, include_path=None, include_defaults=True):
        self.seen = include_path
"""
DISCOVERS = (
    MANAGER
    + """
def discover_plugin_task_paths(): return ({},)
"""
)
TASKS = str(REPOSITORY / "tasks")
SEEN = """
from lm_eval.tasks import TaskManager
seen = {}.seen
print([*map(str, seen)] if isinstance(seen, list) else seen)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs code in a bare interpreter (no site-packages) that knows the repository and the stand-in
    for lm-eval in `files`.
    """

    def run(
        code: str, files: dict[str, str], *, install: bool = True, plugin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        start = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(REPOSITORY)!r}]\n"
        hook = "import eosbench._bridge as bridge; bridge.install()\n" if install else ""
        environment = {"EOSBENCH_PLUGIN": plugin} if plugin else {}
        return subprocess.run(
            [sys.executable, "-S", "-B", "-c", start + hook + code],
            env=environment,
            capture_output=True,
            text=True,
        )

    return run


def stand_in(**changes: str) -> dict[str, str]:
    files = {
        "lm_eval/__init__.py": "",
        "lm_eval/api/__init__.py": "",
        "lm_eval/api/registry.py": REGISTRY,
        "lm_eval/models/__init__.py": "# the models\n",
        "lm_eval/tasks/__init__.py": "from lm_eval.tasks.manager import TaskManager\n",
        "lm_eval/tasks/manager.py": MANAGER,
    }
    return files | {f"lm_eval/{name}.py": text for name, text in changes.items()}


def test_registers_the_model_as_the_entry_point_names_it(run: Run) -> None:
    done = run(
        "import lm_eval.models as m, lm_eval.api.registry as r; print(r.model_registry)", stand_in()
    )
    assert ast.literal_eval(done.stdout) == {
        "varlen_dlm": "model_adapters.varlen_dlm:VarLenDLM",
        "varlen_ar": "model_adapters.varlen_ar:VarLenAR",
    }
    assert done.stderr == ""


def test_leaves_a_model_alone_that_lm_eval_found_itself(run: Run) -> None:
    models = (
        "from lm_eval.api.registry import model_registry as r\n"
        "r.register('varlen_dlm', 'found by lm-eval')\n"
    )
    done = run(
        "import lm_eval.models; print(lm_eval.models.r)", stand_in(**{"models/__init__": models})
    )
    assert ast.literal_eval(done.stdout)["varlen_dlm"] == "found by lm-eval"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("TaskManager()", [TASKS]),
        ("TaskManager('INFO', '/mine')", [TASKS, "/mine"]),
        ("TaskManager(include_path=['/mine', '/yours'])", [TASKS, "/mine", "/yours"]),
        (f"TaskManager(include_path=({TASKS!r}, '/mine'))", [TASKS, "/mine"]),
    ],
)
def test_adds_the_task_folder_before_the_callers_own(
    run: Run, call: str, expected: list[str]
) -> None:
    done = run(f"from lm_eval.tasks import TaskManager; print(*{call}.seen, sep='\\n')", stand_in())
    assert done.stdout.splitlines() == expected
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("TaskManager(include_defaults=False)", None),
        ("TaskManager(None, None, False)", None),
        ("TaskManager(None, ['/mine'], include_defaults=False)", ["/mine"]),
        (f"TaskManager(include_path={TASKS!r}, include_defaults=False)", TASKS),
        ("TaskManager(include_defaults=True)", [TASKS]),
    ],
)
def test_without_the_defaults_our_tasks_are_there_where_asked_for(
    run: Run, call: str, expected: object
) -> None:
    done = run(SEEN.format(call), stand_in())
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")


@pytest.mark.parametrize(("found", "expected"), [(TASKS, None), ("/elsewhere", [TASKS])])
def test_stands_back_where_lm_eval_discovers_our_tasks(
    run: Run, found: str, expected: object
) -> None:
    files = stand_in(**{"tasks/manager": DISCOVERS.format(repr(found))})
    assert run(SEEN.format("TaskManager()"), files).stdout == f"{expected}\n"


def test_registering_again_changes_nothing(run: Run) -> None:
    code = (
        "from lm_eval.tasks import TaskManager; import eosbench.plugin, lm_eval.api.registry\n"
        "once = TaskManager.__init__; bridge.install()\n"
        "eosbench.plugin.register(); eosbench.plugin.register()\n"
        "print(once is TaskManager.__init__, len(lm_eval.api.registry.model_registry))\n"
        "print([type(finder).__name__ for finder in sys.meta_path].count('LmEvalFinder'))"
    )
    assert run(code, stand_in()).stdout.split() == ["True", "2", "1"]


def test_register_works_without_the_hook(run: Run) -> None:
    code = (
        "import eosbench.plugin; eosbench.plugin.register()\n"
        "from lm_eval.tasks import TaskManager; import lm_eval.api.registry\n"
        "print(list(lm_eval.api.registry.model_registry), *TaskManager().seen)"
    )
    assert run(code, stand_in(), install=False).stdout == f"['varlen_dlm', 'varlen_ar'] {TASKS}\n"


def test_does_nothing_when_switched_off(run: Run) -> None:
    code = (
        "import lm_eval.models, lm_eval.tasks as t, lm_eval.api.registry as r; "
        "print(r.model_registry, t.TaskManager().seen)"
    )
    assert run(code, stand_in(), plugin="0").stdout == "{} None\n"
    assert run(code, stand_in(), plugin="1").stdout != "{} None\n"


def test_is_silent_where_lm_eval_is_missing(run: Run) -> None:
    code = "try:\n    import lm_eval.models\nexcept ModuleNotFoundError as error:\n    print(error)"
    done = run(code, {})
    assert (done.stdout, done.stderr) == ("No module named 'lm_eval'\n", "")


@pytest.mark.parametrize(
    ("module", "changes", "reason"),
    [
        ("lm_eval.models", {"api/registry": ""}, "ImportError"),
        ("lm_eval.models", {"api/registry": "model_registry = frozenset()"}, "AttributeError"),
        ("lm_eval.tasks", {"tasks/__init__": "", "tasks/manager": ""}, "ImportError"),
        ("lm_eval.tasks", {"tasks/manager": "class TaskManager: pass"}, "ConfigurationError"),
    ],
)
def test_a_changed_lm_eval_gets_a_warning_and_goes_on(
    run: Run, module: str, changes: dict[str, str], reason: str
) -> None:
    done = run(f"import {module}; print('fine')", stand_in(**changes))
    assert (done.returncode, done.stdout) == (0, "fine\n")
    (warning,) = done.stderr.splitlines()
    assert (
        reason in warning and "pip install 'lm_eval" in warning and "EOSBENCH_PLUGIN=0" in warning
    )


def test_an_error_of_lm_eval_itself_is_not_hidden(run: Run) -> None:
    done = run(
        "import lm_eval.models",
        stand_in(**{"models/__init__": "raise RuntimeError('broken by itself')"}),
    )
    assert done.returncode == 1
    assert "broken by itself" in done.stderr and "eosbench could not plug" not in done.stderr


def test_modules_keep_their_source_and_loader(run: Run) -> None:
    code = (
        "import inspect, lm_eval.models as m; "
        "print(inspect.getsource(m).strip(), type(m.__loader__).__name__)"
    )
    assert run(code, stand_in()).stdout == "# the models SourceFileLoader\n"
