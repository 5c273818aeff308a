"""Other versions of lm-eval: the oldest supported, and one that discovers tasks of plug-ins."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import REPOSITORY, Environment

# What lm-eval's pull request 4015 says of the group `lm_eval.tasks`: the value names a package or a
# module, and the folder of it is read, without a call and without a look at include_defaults.
DISCOVERY = """
def discover_plugin_task_paths():
    import importlib.metadata, importlib.util
    folders = []
    for point in importlib.metadata.entry_points(group="lm_eval.tasks"):
        spec = importlib.util.find_spec(point.value.partition(":")[0])
        places = spec.submodule_search_locations
        folder = Path(places[0]) if places else Path(spec.origin).parent
        folders.append(folder.resolve())
    return tuple(dict.fromkeys(folders))

"""
CLASS, INCLUDED = "class TaskManager:\n", "        if include_path:\n"
ASK = """
import lm_eval.tasks.manager as manager
found = manager.TaskManager(include_defaults=INCLUDED)
index = found.task_index
print(hasattr(manager.TaskManager.__init__, "eosbench_tasks"), len(index))
print(index["eos_upper_bound_u00"].yaml_path.parent.parent if index else "nothing")
"""
NAMES = len(list((REPOSITORY / "tasks").rglob("*.yaml")))
WITH_DEFAULTS, WITHOUT = (ASK.replace("INCLUDED", word) for word in ("True", "False"))


@pytest.fixture
def discovering(environment: Environment) -> Iterator[Environment]:
    """eosbench beside an lm-eval that looks for the tasks of installed packages."""
    file = environment.site_packages / "lm_eval" / "tasks" / "manager.py"
    text = file.read_text()
    assert text.count(CLASS) == text.count(INCLUDED) == 1
    patched = text.replace(CLASS, DISCOVERY + CLASS)
    call = "        all_paths += discover_plugin_task_paths()\n"
    file.write_text(patched.replace(INCLUDED, call + INCLUDED))
    yield environment
    file.write_text(text)


def folder_of(environment: Environment) -> Path:
    """The folder that the tasks come from."""
    installed = environment.site_packages / "eosbench" / "_tasks"
    return installed.resolve() if installed.is_dir() else REPOSITORY / "tasks"


def test_our_tasks_are_found_once(environment: Environment) -> None:
    done = environment.run("-c", WITH_DEFAULTS)
    bridged, names, folder = done.stdout.split()
    assert (bridged, folder) == ("True", str(folder_of(environment)))
    assert (int(names), done.stderr) == (NAMES, "")
    assert environment.run("-c", WITHOUT).stdout.split() == ["True", "0", "nothing"]


@pytest.mark.parametrize("plugin", ["", "0"])
def test_an_lm_eval_that_discovers_tasks_finds_them_by_itself(
    discovering: Environment, plugin: str
) -> None:
    for code in (WITH_DEFAULTS, WITHOUT):
        done = discovering.run("-c", code, EOSBENCH_PLUGIN=plugin)
        bridged, names, folder = done.stdout.split()
        assert (bridged, folder) == ("False", str(folder_of(discovering)))
        assert (int(names), done.stderr) == (NAMES, "")  # no task is there twice


def test_the_metrics_are_declared_and_registered(environment: Environment) -> None:
    code = """
import importlib.metadata
from lm_eval.api.registry import get_metric, get_metric_aggregation, is_higher_better
points = importlib.metadata.entry_points(group="lm_eval.metrics")
for point in sorted(points, key=lambda point: point.name):
    metric = point.load()
    named = f"{metric.__module__}:{metric.__name__}" == point.value
    registered = get_metric(point.name) is metric
    aggregation = get_metric_aggregation(point.name).__name__
    print(point.name, named, registered, aggregation, is_higher_better(point.name))
"""
    lines = environment.run("-c", code).stdout.splitlines()
    assert len(lines) == 14
    assert "eos_bound_coverage True True mean True" in lines
    assert "eos_bound_rmse True True mean False" in lines
    assert all(" True True mean " in line for line in lines)


@pytest.mark.slow
def test_the_oldest_supported_lm_eval(environment: Environment, tmp_path: Path) -> None:
    """Fetched from the package index, without its own tasks, which take half a minute to read."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path]
    subprocess.run([*pip, "lm_eval==0.4.12"], check=True, capture_output=True, text=True)
    for folder in (tmp_path / "lm_eval" / "tasks").iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    arguments = ["--tasks", "eos_upper_bound,varlen_instruct", "--limit", "2", "--output_path"]
    done = environment.run(
        *("-m", "lm_eval", "--model", "varlen_dlm", *arguments, tmp_path / "out"),
        PYTHONPATH=str(tmp_path),
    )
    assert "eos_upper_bound" in done.stdout and "exact_match" in done.stdout
    assert list((tmp_path / "out").rglob("results_*.json"))
    code = "import importlib.metadata as m, lm_eval; print(m.version('lm_eval'), lm_eval.__file__)"
    version, file = environment.run("-c", code, PYTHONPATH=str(tmp_path)).stdout.split()
    assert version == "0.4.12" and Path(file).is_relative_to(tmp_path)
