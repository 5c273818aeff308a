"""What the command line prints of itself: versions, methods, families, and words for a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
import transformers

import eosbench
from eosbench.cli import listing
from eosbench.predictors import METHODS
from eosbench.strategies import STRATEGIES
from model_adapters.families import FAMILIES

REPOSITORY = Path(__file__).resolve().parents[3]


def eosbench_(*words: str, **variables: str) -> str:
    """The output of `python -m eosbench`, on a terminal that is narrow."""
    done = subprocess.run(
        [sys.executable, "-m", "eosbench", *words],
        cwd=REPOSITORY,
        env={**os.environ, "COLUMNS": "40", **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_methods_are_printed_with_their_summaries_a_line_each() -> None:
    title, *lines = eosbench_("methods").splitlines()
    split = lines.index("Methods that decide the length while they decode:")
    assert title == "Methods that predict a bound before the first token:"
    assert [tuple(line.split(maxsplit=1)) for line in lines[:split]] == [
        (name, row.summary) for name, row in METHODS.items()
    ]
    assert [tuple(line.split(maxsplit=1)) for line in lines[split + 1 :]] == [
        (name, row.summary) for name, row in STRATEGIES.items()
    ]


def test_families_are_printed_with_their_checkpoints_a_line_each() -> None:
    _, *lines = eosbench_("families").splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in lines] == list(FAMILIES.items())


def test_the_version_names_what_answers_depend_on() -> None:
    assert eosbench_("--version").splitlines() == [
        f"eosbench {eosbench.__version__}",
        f"lm_eval {metadata.version('lm_eval')}",
        f"transformers {transformers.__version__}",
        f"torch {torch.__version__}",
    ]


def test_a_package_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "BESIDE_IT", ("torch", "no_such_package"))
    assert listing.versions().splitlines()[2] == "no_such_package is not installed"


@pytest.mark.parametrize(
    ("unfinished", "expected"),
    [
        ("sm", ["smartcrop"]),
        ("fixed,ra", ["fixed,random"]),
        ("daedal,dae", []),
        ("rho_eos,m", ["rho_eos,mean", "rho_eos,max"]),
    ],
)
def test_the_methods_that_a_shell_completes(unfinished: str, expected: list[str]) -> None:
    assert [name for name, _ in listing.complete_methods(unfinished)] == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("eosbench me", {"methods"}),
        ("eosbench sweep --methods ro,d", {"ro,daedal", "ro,distilbert"}),
        ("eosbench fit --method ma", {"max"}),
        ("eosbench report --out", {"--output"}),
    ],
)
def test_bash_completes_words(line: str, expected: set[str], tmp_path: Path) -> None:
    """The script that --show-completion prints, in a shell whose PATH knows eosbench."""
    command = tmp_path / "eosbench"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m eosbench "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    words = line.split()
    script = "\n".join(
        [
            eosbench_("--show-completion", "bash"),
            f"COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}",
            "_eosbench_completion eosbench",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        ]
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == expected, done.stderr
