"""Builds eosbench once and installs it into fresh virtual environments, as a wheel and editable.

The environment that runs the tests usually holds an editable eosbench of its own, which would hide
a broken wheel. A fresh environment therefore sees the outer site-packages through a path line: what
lies there can be imported, its `.pth` files stay unread.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lm_eval
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LM_EVAL_COMMAND = Path(sysconfig.get_path("scripts")) / "lm_eval"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with eosbench in it, and everything else as in the one that runs the
    tests.
    """

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return Path(
            sysconfig.get_path(
                "purelib", vars={"base": str(self.folder), "platbase": str(self.folder)}
            )
        )

    def run(
        self, *arguments: str | Path, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs the environment's python outside the repository, in a folder of its own."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "EOSBENCH_PLUGIN")
        }
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        done = subprocess.run(
            [self.python, *arguments],
            cwd=work,
            env=inherited
            | {
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{inherited['PATH']}",
                "HF_HUB_OFFLINE": "1",
            }
            | variables,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, (
            f"{arguments} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def lm_eval(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs the console script that installing lm-eval put down."""
        return self.run(LM_EVAL_COMMAND, *arguments, check=True, **variables)


def build(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    build("--wheel", "--outdir", folder, REPOSITORY)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    def make(*pip_arguments: str | Path, all_lm_eval_tasks: bool = False) -> Environment:
        environment = Environment(tmp_path_factory.mktemp("environment"))
        venv.create(environment.folder, symlinks=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-build-isolation",
        ]
        # --ignore-installed: whatever eosbench the outer environment has stays as it is
        subprocess.run(
            [*pip, "--prefix", environment.folder, "--ignore-installed", *pip_arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (environment.site_packages / "outer.pth").write_text("\n".join(sorted(paths)))
        if not all_lm_eval_tasks:
            copy_lm_eval(environment.site_packages / "lm_eval")
        return environment

    return make


def copy_lm_eval(target: Path) -> None:
    """The installed lm-eval without the thousands of task files that it needs half a minute to read
    at every start.
    """
    source = Path(lm_eval.__file__).parent

    def task_files(folder: str, names: list[str]) -> list[str]:
        if Path(folder) != source / "tasks":
            return []
        return [name for name in names if (source / "tasks" / name).is_dir()]

    shutil.copytree(source, target, ignore=task_files)


@pytest.fixture(scope="session", params=["wheel", "editable"])
def environment(
    request: pytest.FixtureRequest, make_environment: Callable[..., Environment], wheel: Path
) -> Environment:
    """eosbench installed each way."""
    return (
        make_environment(wheel)
        if request.param == "wheel"
        else make_environment("--editable", REPOSITORY)
    )
