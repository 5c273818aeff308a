"""Promises to whoever reads a file of the packages: docstrings, and no comprehension in another.

A docstring's first line says what the thing is or does, alone on its line, and never begins with
a question word. Lines of at most 100 columns are ruff's to hold (E501).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("eosbench", "model_adapters", "tasks", "benchmarks")
FILES = sorted(file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py"))
QUESTION_WORDS = ("What", "How", "Where", "Which")
FIRST_LINE = 97  # columns, after three quotes
SECTION_IN_ONE_LINE = re.compile(r"\s*(Args|Attributes|Returns|Yields|Raises|Example): +\S")

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def public(scope: ast.Module | ast.ClassDef) -> Iterator[ast.stmt]:
    """Classes, functions and methods that no leading underscore hides."""
    for node in scope.body:
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def without_docstring(tree: ast.Module) -> Iterator[str]:
    """The module, if it has none, and every public definition that has none."""
    if tree.body and ast.get_docstring(tree) is None:
        yield "the module has no docstring"
    for node in public(tree):
        if ast.get_docstring(node) is None:
            yield f"line {node.lineno}: {node.name} has no docstring"


def poor_docstrings(tree: ast.Module) -> Iterator[str]:
    """Docstrings, private ones included, that do not say at once what a thing is.

    The titles of their sections (Args, Raises, ...) stand alone on a line, one entry below another.
    """
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, *DEFINITIONS)):
            continue
        docstring = ast.get_docstring(node)
        if docstring is None:
            continue
        first, *more = docstring.splitlines()
        where = f"line {getattr(node, 'lineno', 1)}: the first line of a docstring"
        if first.startswith(QUESTION_WORDS):
            yield f"{where} begins with a question word: {first}"
        if len(first) > FIRST_LINE:
            yield f"{where} has {len(first)} columns, {FIRST_LINE} fit: {first}"
        if more and more[0]:
            yield f"{where} has no blank line after it: {first}"
        for line in more:
            if SECTION_IN_ONE_LINE.match(line):
                yield f"{where}: below it a section begins on the line of its title: {line}"


def nested_comprehensions(tree: ast.Module) -> Iterator[str]:
    """Comprehensions with another one anywhere in them."""
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS):
            found = [inner for inner in ast.walk(node) if isinstance(inner, COMPREHENSIONS)]
            if len(found) > 1:
                yield f"line {node.lineno}: a comprehension in another: give the inner one a name"


def faults(tree: ast.Module) -> list[str]:
    return [*without_docstring(tree), *poor_docstrings(tree), *nested_comprehensions(tree)]


def room_of(file: Path) -> str:
    return "/".join(file.relative_to(REPOSITORY).with_suffix("").parts[:2])


@pytest.mark.parametrize("room", sorted({room_of(file) for file in FILES}))
def test_every_file_of_a_room_reads_well(room: str) -> None:
    found = []
    for file in FILES:
        if room_of(file) == room:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            found += [f"{file.relative_to(REPOSITORY)} {fault}" for fault in faults(tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('"""A module."""\n\n\ndef _private(): ...\n', 0),
        ("def public(): ...\n", 2),
        ('"""A module."""\nclass A:\n    """A class."""\n    def b(self): ...\n', 1),
        ('"""A module."""\ndef _a():\n    """Which row."""\n', 1),
        ('"""A module that goes\non."""\n', 1),
        (f'"""A{"n" * 97}."""\n', 1),
        ('"""A module.\n\nRaises: ValueError: never.\n"""\n', 1),
        ('"""A module.\n\nRaises:\n    ValueError: never.\n"""\n', 0),
        ('"""A module."""\nrows = [[cell for cell in row] for row in table]\n', 1),
        ('"""A module."""\nrows = [row for row in table if any(cell for cell in row)]\n', 1),
        ('"""A module."""\ncells = [cell for row in table for cell in row]\n', 0),
    ],
)
def test_the_reader_sees_every_fault(code: str, expected: int) -> None:
    assert len(faults(ast.parse(code))) == expected
