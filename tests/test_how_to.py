"""The commands of the how-to pages run as they stand there.

A fenced block that opens with ```bash is run, page by page, in an empty folder. One that needs more
says so after the word: ```bash gpu, ```bash hub. Those are read for their syntax alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted((REPOSITORY / "docs" / "how-to").glob("*.md"))
BLOCK = re.compile(r"^```bash([ a-z]*)\n(.*?)^```$", re.M | re.S)
NEEDS = {"gpu", "hub"}


def blocks(page: Path) -> list[tuple[set[str], str]]:
    """What each bash block of a page needs, and its text."""
    return [(set(needs.split()), text) for needs, text in BLOCK.findall(page.read_text("utf-8"))]


def run(script: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in `folder` with this interpreter's commands before all others."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    command = ["bash", "-euo", "pipefail", *flags, "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_there_are_pages_and_most_of_them_run_something() -> None:
    assert len(PAGES) >= 6
    running = [page.stem for page in PAGES if any(not needs for needs, _ in blocks(page))]
    assert set(running) >= {"own-model", "own-data", "own-method", "own-task", "in-ci"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_that_are_not_run_say_why_and_parse(page: Path, tmp_path: Path) -> None:
    for needs, script in blocks(page):
        assert needs <= NEEDS, f"{page.name}: {needs}"
        checked = run(script, tmp_path, "-n")
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_run_as_they_stand(page: Path, tmp_path: Path) -> None:
    script = "\n".join(text for needs, text in blocks(page) if not needs)
    done = run(script, tmp_path)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
