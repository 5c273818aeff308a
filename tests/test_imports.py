"""The import direction between the rooms, and that what must start fast never loads torch.

Each module belongs to a room, each room has a height, and an import goes down: to a lower room or to a module of the same room.
Imports inside functions and under TYPE_CHECKING count too. A new module needs a row in ROOMS.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import eosbench

REPOSITORY = Path(__file__).resolve().parents[1]
OWN_PACKAGES = ("eosbench", "model_adapters", "tasks", "benchmarks", "tests")

# From the bottom up, a line a height. Rooms of one height do not know each other; modules of one room (a package, or names with a
# space between them) do.
ROOMS = (
    (
        "eosbench",
        "eosbench.errors",
        "eosbench.documents.wordlists",
        "eosbench.metrics.terms",
        "eosbench.embedded",
        "eosbench.check.outcomes",
    ),
    (
        "eosbench.records",
        "eosbench.documents.encoding",
        "eosbench.documents.instruct",
        "eosbench.documents.public",
        "eosbench.documents.reveal",
        "eosbench.runs eosbench.results.files",
        "eosbench.unmasking eosbench.decoding.dream_rules",
        "eosbench.forward.memory",
        "eosbench.mask_design eosbench.mask_patterns eosbench.likelihood.estimator",
        "eosbench.request_arguments",
    ),
    (
        "eosbench.metrics eosbench.metric eosbench.metrics.rounding",
        "eosbench.metrics.paper_table",
        "eosbench.metrics.position",
        "eosbench.backbone",
        "eosbench.bounds.calibration",
    ),
    (
        "eosbench.bounds",
        "eosbench.forward.step_zero",
        "eosbench.forward.block_cache",
        "eosbench.forward.scoring",
        "eosbench.forward.costs",
        "eosbench.forward.timing",
    ),
    ("eosbench.decode_config eosbench.rows eosbench.waiting eosbench.continuous eosbench.decoding", "eosbench.likelihood"),
    ("eosbench.predictors", "eosbench.decoding.window"),
    (
        "eosbench.fitting",
        "eosbench.strategies",
        "eosbench.predictors.reader",
        "model_adapters.varlen_dlm.own_answers",
        "eosbench.results",
        "eosbench.eos_bound",
    ),
    ("eosbench.report", "eosbench.plugin", "model_adapters"),
    ("eosbench.sweep", "eosbench.paired eosbench.check.baseline"),
    ("eosbench.cli eosbench.cli_fit eosbench.cli.shared", "eosbench.recipe.make", "eosbench._bridge"),
)
ROOM_OF = {module: room for rooms in ROOMS for room in rooms for module in room.split()}
HEIGHT_OF = {room: height for height, rooms in enumerate(ROOMS) for room in rooms}
MAY_IMPORT_LM_EVAL = {"eosbench.plugin", "eosbench.sweep"}


def modules() -> dict[str, Path]:
    """Name -> file of every module of the two packages that a wheel brings."""
    files = [file for package in ("eosbench", "model_adapters") for file in (REPOSITORY / package).rglob("*.py")]
    return {".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def room_of(module: str) -> str:
    """The room of `module` or of the package it lies in; `eosbench` itself stands for its __init__ alone."""
    name = module
    while name not in ROOM_OF and "." in name:
        name = name.rpartition(".")[0]
    assert name in ROOM_OF and (name != "eosbench" or module == "eosbench"), (
        f"{module} belongs to no room: give it a place in ROOMS of tests/test_imports.py"
    )
    return ROOM_OF[name]


def imports(module: str, file: Path, known: set[str]) -> Iterator[str]:
    """Every module that `file` imports, anywhere in it, by absolute name."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [base])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down(module: str) -> None:
    files = modules()
    room = room_of(module)
    for imported in imports(module, files[module], set(files)):
        if imported.split(".")[0] not in OWN_PACKAGES:
            continue
        assert imported in files, f"{module} imports {imported}, which no installed eosbench has"
        target = room_of(imported)
        assert target == room or HEIGHT_OF[target] < HEIGHT_OF[room], f"{module} imports {imported}, which is not below it"


@pytest.mark.parametrize("module", sorted(name for name in modules() if name.split(".")[0] == "eosbench"))
def test_lm_eval_is_imported_by_plugin_and_sweep_alone(module: str) -> None:
    files = modules()
    used = {name for name in imports(module, files[module], set(files)) if name.split(".")[0] == "lm_eval"}
    assert not used or module in MAY_IMPORT_LM_EVAL, f"{module} imports {', '.join(sorted(used))}"


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    lines = [
        "import a.b",
        "from c import d",
        "def f():",
        " from . import errors",
        " from .report import page",
        " from eosbench import cli",
    ]
    file.write_text("\n".join(lines))
    known = {"eosbench.errors", "eosbench.report", "eosbench.cli"}
    expected = {"a.b", "c", "eosbench.errors", "eosbench.report", "eosbench.cli"}
    assert set(imports("eosbench.module", file, known)) == expected


def loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_light_modules_never_load_torch() -> None:
    light = {f"eosbench.{name}" for name in ("errors", "records", "metrics", "results", "report", "regression", "plugin", "cli")}
    loaded = loaded_after(f"import {', '.join(sorted(light))}")
    assert light <= loaded
    assert not {"torch", "transformers", "lm_eval"} & loaded


@pytest.mark.parametrize("command", [[], ["report"], ["check"]])
def test_help_never_loads_torch(command: list[str]) -> None:
    code = (
        f"sys.argv = ['eosbench', *{command}, '--help']\n"
        "from eosbench.cli import app\n"
        "try:\n    app()\nexcept SystemExit as leaving:\n    assert not leaving.code, leaving.code"
    )
    assert not {"torch", "transformers", "lm_eval"} & loaded_after(code)


def test_every_public_name_exists_and_the_list_is_sorted() -> None:
    assert sorted(eosbench.__all__) == eosbench.__all__
    assert all(hasattr(eosbench, name) for name in eosbench.__all__)
