"""The tracked files: no path that a command would take for an option, and none that only grows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
LARGEST = 256_000  # bytes
MAY_BE_LARGER = ("eosbench/embedded/", "tests/golden/")  # weights


def tracked() -> list[str]:
    """Paths of all files in git; the test skips where there is no git repository (an sdist)."""
    if not (REPOSITORY / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git repository here")
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if (REPOSITORY / path).is_file()]


def shown() -> set[str]:
    """Paths of the files that the README and the pages of docs/ link to or show."""
    found = set()
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))):
        for link in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target.is_relative_to(REPOSITORY):
                found.add(target.relative_to(REPOSITORY).as_posix())
    return found


def test_no_part_of_a_path_begins_with_a_dash() -> None:
    assert [path for path in tracked() if path.startswith("-") or "/-" in path] == []


def test_no_file_holds_the_marks_of_a_conflict() -> None:
    marked = []
    for path in tracked():
        if Path(path).suffix in (".py", ".md", ".yaml", ".yml", ".toml", ".json", ".cff", ""):
            lines = (REPOSITORY / path).read_text(encoding="utf-8", errors="replace").splitlines()
            marked += [path for line in lines if line.startswith(("<" * 7 + " ", ">" * 7 + " "))]
    assert marked == []


def test_large_files_are_weights_or_shown_in_the_docs() -> None:
    allowed = shown()
    large = [path for path in tracked() if (REPOSITORY / path).stat().st_size > LARGEST]
    surplus = [path for path in large if not path.startswith(MAY_BE_LARGER) and path not in allowed]
    assert surplus == [], f"over {LARGEST} bytes, and neither weights nor shown in the docs"


def test_results_name_no_place_of_the_machine_that_made_them() -> None:
    places = [
        (path, place)
        for path in tracked()
        if path.startswith(("results/", "reports/")) and path.endswith((".json", ".csv", ".md"))
        for place in re.findall(r'"/[\w.-]+/[^"]*"', (REPOSITORY / path).read_text("utf-8"))
    ]
    assert places == []
