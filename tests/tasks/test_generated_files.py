"""The YAML files of bound tasks are what tasks/_generate.py writes, and lm-eval finds them all."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
from lm_eval.tasks import TaskManager

import eosbench.plugin
from eosbench.documents.public import DATA_SETS

FOLDER = eosbench.plugin.tasks_folder()


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_tasks", FOLDER / "_generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_as_generated(generator: ModuleType) -> None:
    written = {
        file.relative_to(FOLDER).as_posix(): file.read_text(encoding="utf-8")
        for file in FOLDER.rglob("*.yaml")
    }
    assert written.pop("instruct/varlen_instruct.yaml")
    assert written == generator.files(), "run python tasks/_generate.py"


def test_every_data_set_says_how_it_is_asked() -> None:
    assert {file.name for file in (FOLDER / "real").glob("_*_yaml")} == {
        f"_{data.task.removeprefix('eos_upper_bound_')}_yaml" for data in DATA_SETS.values()
    }


def test_lm_eval_finds_them_all() -> None:
    found = TaskManager(include_defaults=False, include_path=str(FOLDER))
    benchmarks = ["eos_upper_bound", *(data.task for data in DATA_SETS.values())]
    whole = [*benchmarks, "eos_upper_bound_length_ood", "eos_upper_bound_domain_ood"]
    assert set(found.all_subtasks) == {
        "varlen_instruct",
        *(f"{name}_u{percent}" for name in whole for percent in ("00", "25", "50", "75")),
        *(f"{name}_prefix_u{percent}" for name in benchmarks for percent in ("25", "50", "75")),
    }
    prefixed = {f"{name}_prefix" for name in [*benchmarks, "eos_upper_bound_real"]}
    assert set(found.all_groups) == {*whole, "eos_upper_bound_real", *prefixed}
    assert all(
        re.fullmatch(r".+_u\d\d", name) for name in found.all_subtasks if name != "varlen_instruct"
    )
