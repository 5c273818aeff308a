"""What a wheel and an sdist bring."""

from __future__ import annotations

import email
import importlib.metadata
import zipfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import REPOSITORY, build


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sources(folder: str) -> set[str]:
    """Files of a repository folder, relative to it, without what running them leaves behind and
    without .pth files.
    """
    files = (
        path.relative_to(REPOSITORY / folder)
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file()
    )
    return {
        path.as_posix()
        for path in files
        if "__pycache__" not in path.parts and path.suffix != ".pth"
    }


def test_top_level_holds_the_two_packages_and_the_bridge(wheel: Path) -> None:
    assert {name.split("/")[0] for name in contents(wheel)} == {
        "eosbench",
        "model_adapters",
        "eosbench_bridge.pth",
        "eosbench-0.1.0.dist-info",
    }


def test_holds_every_source_file_and_every_task_file(wheel: Path) -> None:
    expected = {f"eosbench/{name}" for name in sources("eosbench")}
    expected |= {f"model_adapters/{name}" for name in sources("model_adapters")}
    expected |= {f"eosbench/_tasks/{name}" for name in sources("tasks")}
    found = {name for name in contents(wheel) if name.startswith(("eosbench/", "model_adapters/"))}
    assert found == expected
    assert "eosbench/py.typed" in found


def test_brings_the_tasks_and_the_embedded_model(wheel: Path) -> None:
    names = set(contents(wheel))
    assert {"eos_upper_bound.yaml", "varlen_instruct.yaml"} <= {
        Path(name).name for name in names if name.startswith("eosbench/_tasks/")
    }
    assert {
        "eosbench/embedded/model/config.json",
        "eosbench/embedded/model/model.safetensors",
    } <= names
    for method in (
        "logit",
        "concat_regression",
        "average_regression",
        "classification",
        "distilbert",
    ):
        assert f"eosbench/embedded/predictors/{method}/config.json" in names


def test_bridge_is_one_line_that_python_runs_at_start(wheel: Path) -> None:
    line = contents(wheel)["eosbench_bridge.pth"].decode()
    assert line.startswith("import ")
    assert line.count("\n") == 1 and line.endswith("\n")


def test_extras_are_named_as_lm_eval_names_its_own(wheel: Path) -> None:
    (metadata,) = (
        text for name, text in contents(wheel).items() if name.endswith(".dist-info/METADATA")
    )
    declared = email.message_from_bytes(metadata).get_all("Provides-Extra", [])
    assert {"hub", "math", "peft", "wandb"} <= set(declared)
    requirements = [Requirement(line) for line in requires(metadata)]
    passed_on = {
        extra
        for requirement in requirements
        if canonicalize_name(requirement.name) == "lm-eval"
        for extra in requirement.extras
    }
    known = importlib.metadata.metadata("lm_eval").get_all("Provides-Extra")
    assert passed_on == {"math", "wandb"} <= set(known or ())


def requires(metadata: bytes) -> list[str]:
    """The requirements of a distribution, those of its extras included."""
    return email.message_from_bytes(metadata).get_all("Requires-Dist", [])


def test_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build("--outdir", tmp_path, REPOSITORY)  # without --wheel: the sdist, then a wheel from it
    (from_sdist,) = tmp_path.glob("*.whl")
    assert contents(from_sdist) == contents(wheel)
