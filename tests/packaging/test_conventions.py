"""The citation, the metadata of the package, and the example workflow, whose steps run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import eosbench
from tests.packaging.conftest import LM_EVAL_COMMAND, REPOSITORY, Environment

WORKFLOW = REPOSITORY / "docs" / "how-to" / "in-ci.yml"
COPIED = ("eosbench", "model_adapters", "tasks", "pyproject.toml", "README.md", "LICENSE")


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    """The table [project] of pyproject.toml; Python 3.10 has no reader of its own."""
    tomllib = pytest.importorskip("tomllib")
    table: dict[str, Any] = tomllib.loads(text("pyproject.toml"))["project"]
    return table


def test_the_citation_says_what_the_package_says() -> None:
    cited = yaml.safe_load(text("CITATION.cff"))
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert {"message", "title", "authors", "abstract"} <= cited.keys()
    assert cited["version"] == eosbench.__version__
    assert cited["license"] == project()["license"]
    assert cited["keywords"] == project()["keywords"]
    released = re.search(rf"^## {re.escape(cited['version'])} \((.*)\)", text("CHANGELOG.md"), re.M)
    assert released is not None and cited["date-released"] == released.group(1)


def test_classifiers_and_links_are_well_formed() -> None:
    known = pytest.importorskip("trove_classifiers").classifiers
    assert set(project()["classifiers"]) <= known
    for address in project()["urls"].values():
        assert address.startswith("https://") and address in text("README.md")


def steps() -> list[dict[str, Any]]:
    (job,) = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    listed: list[dict[str, Any]] = job["steps"]
    return listed


def test_the_workflow_is_one_of_github_actions() -> None:
    parsed = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert {"pull_request", "workflow_dispatch"} == set(parsed[True])  # YAML reads `on` as true
    assert parsed["permissions"] == {"contents": "read"}
    for step in steps():
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_steps_of_the_workflow_run(
    make_environment: Callable[..., Environment], wheel: Path, tmp_path: Path
) -> None:
    """In a copy of the repository; pip installs eosbench alone, without a network."""
    environment = make_environment(wheel)  # for lm-eval without its own tasks
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in COPIED:
        copy: Any = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, clone / name)
    command = environment.folder / "bin" / "lm_eval"
    command.write_text(f'#!/bin/sh\nexec {environment.python} {LM_EVAL_COMMAND} "$@"\n')
    command.chmod(0o755)
    hidden = ("PYTHONPATH", "EOSBENCH_PLUGIN")
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    variables = inherited | {
        "PATH": f"{environment.folder / 'bin'}{os.pathsep}{inherited['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's word for: without
        "PIP_IGNORE_INSTALLED": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(script: str) -> None:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=clone,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"

    install, evaluate, compare = [step["run"] for step in steps() if "run" in step]
    run(install)
    run(evaluate)
    run("eosbench check results/ci --baseline baseline.json --update")  # as in-ci.md says: once
    run(compare)
    assert "eosbench check" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    (kept,) = [step["with"]["path"].split() for step in steps() if step.get("if") == "always()"]
    assert all((clone / path).exists() for path in kept)
