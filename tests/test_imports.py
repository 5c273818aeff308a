"""The rooms, the imports between them, and the modules that never load torch.

A room is a package or a module on its own. Inside a room, files import each other by file. Into
another room an import goes through its face, the package's __init__, and only downward. Imports
inside functions and under TYPE_CHECKING count too. A new room needs a place in ROOMS.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
OWN_PACKAGES = ("eosbench", "model_adapters", "tasks", "benchmarks", "tests")

# From the bottom up, a line a height. Rooms of one height do not know each other.
ROOMS = (
    (
        "eosbench",
        "eosbench.errors",
        "eosbench.openmp",
        "eosbench.backbone",
        "eosbench.digest",
        "eosbench.strict_json",
        "eosbench.xml_text",
        "eosbench.command_lines",
        "eosbench.embedded",
    ),
    ("eosbench.records", "eosbench.canvas_view", "eosbench.documents", "eosbench.places"),
    ("eosbench.metrics", "eosbench.forward"),
    ("eosbench.bounds", "eosbench.decoding", "eosbench.results", "eosbench.eos_bound"),
    ("eosbench.likelihood", "eosbench.predictors", "eosbench.check"),
    ("eosbench.strategies", "eosbench.fitting"),
    ("eosbench.training",),
    ("eosbench.report", "model_adapters.checkpoints"),
    ("model_adapters.families", "model_adapters.backbones"),
    ("model_adapters",),
    ("model_adapters.varlen_dlm", "eosbench.plugin", "eosbench.lm_eval_results"),
    ("eosbench.sweep", "eosbench.api", "eosbench.recipe", "model_adapters.varlen_ar"),
    ("eosbench.cli",),
    ("eosbench._bridge", "eosbench.__main__", "tasks", "benchmarks"),
)
HEIGHT_OF = {room: height for height, rooms in enumerate(ROOMS) for room in rooms}
FACES = sorted(
    room for room in HEIGHT_OF if (REPOSITORY / room.replace(".", "/") / "__init__.py").is_file()
)
ROOM_PACKAGES = set(FACES) - {"eosbench", "model_adapters"}
# The package's own face offers, to type checkers, what it imports when it is asked for.
FACE_OF_ALL = ("eosbench", "eosbench.api")
MAY_IMPORT_LM_EVAL = {"eosbench.lm_eval_results", "eosbench.plugin", "eosbench.sweep"}


def modules() -> dict[str, Path]:
    """Name -> file of every module of the packages, the tasks and the benchmarks."""
    folders = ("eosbench", "model_adapters", "tasks", "benchmarks")
    files = [file for folder in folders for file in (REPOSITORY / folder).rglob("*.py")]
    dotted = {file: ".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in dotted.items()}


def room_of(module: str) -> str:
    """The room that `module` is or lies in; `eosbench` itself stands for its __init__ alone."""
    name = module
    while name not in HEIGHT_OF and "." in name:
        name = name.rpartition(".")[0]
    assert name in HEIGHT_OF and (name != "eosbench" or module == "eosbench"), (
        f"{module} belongs to no room: give it a place in ROOMS of tests/test_imports.py"
    )
    return name


def imports(module: str, file: Path, known: set[str]) -> Iterator[str]:
    """Every module that `file` imports, anywhere in it, by absolute name."""
    parents = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = parents[: len(parents) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            for alias in node.names:
                # A name that a face exports may be a module of its room too: `step_zero` is both.
                is_module = f"{base}.{alias.name}" in known and base not in ROOM_PACKAGES
                yield f"{base}.{alias.name}" if is_module else base


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_point_down_and_enter_by_the_face(module: str) -> None:
    files = modules()
    room = room_of(module)
    for imported in imports(module, files[module], set(files)):
        if imported.split(".")[0] not in OWN_PACKAGES:
            continue
        assert imported in files, f"{module} imports {imported}, which no installed eosbench has"
        target = room_of(imported)
        if target == room or (module, imported) == FACE_OF_ALL:
            continue
        assert HEIGHT_OF[target] < HEIGHT_OF[room], f"{module} imports {imported}, not below it"
        assert imported == target, f"{module} imports {imported}: import it from {target}"


def test_the_docs_show_these_heights() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = text.split("## The rule of imports")[1].split("```")[1]
    shown = [set(line.split(", ")) for line in block.strip().splitlines()]
    rooms = [{room.rpartition(".")[2] for room in height} for height in reversed(ROOMS)]
    rooms[-1].discard("eosbench")  # its __init__, which holds the version
    assert shown == rooms


def test_the_ways_of_requests_name_calls_that_there_are() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    ways = re.findall(r"^## The way of one .*?```\n(.*?)```", text, re.M | re.S)
    calls = [line.split()[:2] for way in ways for line in way.splitlines()]
    assert len(ways) == 2 and len(calls) > 20
    rooms = {room.rpartition(".")[2]: room for room in HEIGHT_OF}
    for short, call in calls:
        files = [file for name, file in modules().items() if room_of(name) == rooms[short]]
        sources = "".join(file.read_text(encoding="utf-8") for file in files)
        for name in call.split("."):
            assert re.search(rf"\b(class|def) {name}\b", sources), f"{short} has no {call}"


@pytest.mark.parametrize("face", FACES)
def test_a_face_lists_what_it_offers_sorted(face: str) -> None:
    """In ruff's order: constants, classes, functions."""
    offered = getattr(importlib.import_module(face), "__all__", [])
    kinds = [0 if name.isupper() else 1 if name[0].isupper() else 2 for name in offered]
    assert [*zip(kinds, offered, strict=True)] == sorted(zip(kinds, offered, strict=True))
    assert all(hasattr(importlib.import_module(face), name) for name in offered)


@pytest.mark.parametrize(
    "module", sorted(name for name in modules() if name.split(".")[0] == "eosbench")
)
def test_lm_eval_is_imported_by_plugin_and_sweep_alone(module: str) -> None:
    files = modules()
    used = {
        name
        for name in imports(module, files[module], set(files))
        if name.split(".")[0] == "lm_eval"
    }
    assert not used or room_of(module) in MAY_IMPORT_LM_EVAL, (
        f"{module} imports {', '.join(sorted(used))}"
    )


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
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_light_modules_never_load_torch() -> None:
    light = {
        f"eosbench.{name}"
        for name in (
            "digest",
            "errors",
            "records",
            "metrics",
            "results",
            "report",
            "check",
            "plugin",
            "cli",
        )
    }
    loaded = loaded_after(f"import {', '.join(sorted(light))}")
    assert light <= loaded
    assert not {"torch", "transformers", "lm_eval"} & loaded


HELP = [[*command, "--help"] for command in ([], ["fit"], ["sweep"], ["report"], ["check"])]


@pytest.mark.parametrize("words", [*HELP, ["methods"], ["families"], ["--version"]])
def test_what_prints_at_once_never_loads_torch(words: list[str]) -> None:
    code = (
        f"sys.argv = ['eosbench', *{words}]\n"
        "from eosbench.cli import app\n"
        "try:\n    app()\nexcept SystemExit as leaving:\n    assert not leaving.code, leaving.code"
    )
    assert not {"torch", "transformers", "lm_eval"} & loaded_after(code)
