"""README and docs say what is true: the tree, the make targets, the links."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "README.md"
TREE = REPOSITORY / "docs" / "architecture.md"
PACKAGES = ("eosbench", "model_adapters")
PAGES = [README, *sorted((REPOSITORY / "docs").rglob("*.md"))]


def tree_paths(text: str) -> set[str]:
    """Paths of the first fenced block with a line that begins with `eosbench/`.

    There is one path per line, nested by indentation. Plain indentation and the box drawing of
    `tree` both work. The rest of the line describes the path.
    """
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.M | re.S)
    blocks = [block for block in fenced if re.search(r"^\W*eosbench/(\s|$)", block, re.M)]
    assert blocks, (
        "docs/architecture.md shows no tree: expected a fenced block with a line that begins "
        "with eosbench/"
    )
    paths: set[str] = set()
    parents: list[tuple[int, str]] = []
    for line in filter(str.strip, blocks[0].splitlines()):
        name = re.search(r"[\w.]\S*", line)
        if name is None:
            continue
        while parents and parents[-1][0] >= name.start():
            parents.pop()
        path = (parents[-1][1] if parents else "") + name.group()
        paths.add(path)
        if path.endswith("/"):
            parents.append((name.start(), path))
    return paths


def on_disk() -> set[str]:
    """Paths that the tree has to show: every module of the packages, every folder of tasks."""
    modules = [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]
    tasks = [folder for folder in (REPOSITORY / "tasks").iterdir() if folder.is_dir()]
    shown = {file.relative_to(REPOSITORY).as_posix() for file in modules}
    shown |= {f"{folder.relative_to(REPOSITORY).as_posix()}/" for folder in tasks}
    return {path for path in shown if not re.search(r"__pycache__|__init__\.py$", path)}


@pytest.mark.parametrize(
    "tree",
    [
        "eosbench/       the library\n"
        "  cli.py        commands\n"
        "  report/       pages\n"
        "    page.py\n"
        "Makefile",
        "├── eosbench/   # the library\n"
        "│   ├── cli.py\n"
        "│   └── report/\n"
        "│       └── page.py\n"
        "└── Makefile",
    ],
)
def test_the_reader_of_trees_reads_both_styles(tree: str) -> None:
    expected = {
        "eosbench/",
        "eosbench/cli.py",
        "eosbench/report/",
        "eosbench/report/page.py",
        "Makefile",
    }
    assert tree_paths(f"# Title\n\n```bash\nmake demo\n```\n\n```\n{tree}\n```\n") == expected


def test_every_path_of_the_tree_exists() -> None:
    for path in sorted(tree_paths(TREE.read_text(encoding="utf-8"))):
        found = REPOSITORY / path
        assert found.is_dir() if path.endswith("/") else found.is_file(), (
            f"docs/architecture.md shows {path}, which is not there"
        )


def test_the_tree_shows_every_module_and_every_task() -> None:
    missing = on_disk() - tree_paths(TREE.read_text(encoding="utf-8"))
    assert not missing, f"docs/architecture.md does not show {', '.join(sorted(missing))}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    text = README.read_text(encoding="utf-8")
    named = re.findall(r"\bmake ([a-z-]+)`", text) + re.findall(r"^\s*make ([a-z-]+)", text, re.M)
    assert {"demo", "test"} <= set(named) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_into_the_repository_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_index_of_the_docs_names_every_page() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.relative_to(REPOSITORY / "docs").as_posix() for page in PAGES[1:]}
    assert pages - {"README.md"} == set(re.findall(r"\]\(([\w/-]+\.md)", index))


def test_the_finding_is_what_the_example_says() -> None:
    """The sentence of the README against the report that `make demo` wrote."""
    with (REPOSITORY / "reports/example/comparison.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["fraction"]) == 0]
    (ours,) = (row for row in rows if row["run"] == "classification")
    (oracle,) = (row for row in rows if row["run"] == "oracle")
    compute = float(ours["compute_ratio"])
    expected = (
        f"`classification` covers {100 * float(ours['coverage']):.1f} % of the answers with "
        f"{100 * compute:.1f} % of the compute of the whole canvas, {1 / compute:.0f} times less; "
        "an oracle that knows every length would need "
        f"{100 * float(oracle['compute_ratio']):.1f} %."
    )
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert expected in text
    exact, at_best = (100 * float(row["varlen_instruct"]) for row in (ours, oracle))
    assert (
        f"Inside the windows of `classification` the model answers {exact:.1f} % of the exercises "
        f"exactly, inside the oracle's {at_best:.1f} %."
    ) in text


def test_the_figure_shows_the_finding() -> None:
    """Its words are what the example says of all methods, and its picture is the one in git."""
    with (REPOSITORY / "reports/example/comparison.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["fraction"]) == 0]
    coverage = [100 * float(row["coverage"]) for row in rows]
    compute = [100 * float(row["compute_ratio"]) for row in rows]
    number = {5: "five", 6: "six", 7: "seven"}[len(rows)]
    words = (
        f"![Coverage of {number} methods, {min(coverage):.1f} to {max(coverage):.0f} %, against "
        f"their compute, {min(compute):.0f} to {max(compute):.0f} % of the whole canvas]"
    )
    assert f"{words}(reports/example/figures/tradeoff.png)" in README.read_text(encoding="utf-8")
    (picture,) = (REPOSITORY / "reports/example/figures").glob("*.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_readme_is_read_in_a_minute() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 1_000


def test_the_package_index_would_show_it() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^readme = "README.md"$', project, re.M), (
        'add readme = "README.md" under [project] of pyproject.toml'
    )
