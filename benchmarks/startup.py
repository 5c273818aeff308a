"""Start-up of the command line in units of a bare Python's; torch must not be loaded."""

from __future__ import annotations

import functools
import subprocess
import sys

from benchmarks.measure import Row, Setup

COMMANDS = (("--help",), ("report", "--help"))
PROGRAM = """
import sys
from eosbench.cli import app
try:
    app({arguments})
except SystemExit:
    print("torch" in sys.modules, file=sys.stderr)
"""


def commands(setup: Setup) -> list[Row]:
    """A row per command, each in a fresh process against `python -c pass`."""
    rows = []
    for arguments in COMMANDS:
        command = functools.partial(_python, PROGRAM.format(arguments=list(arguments)))
        bare = functools.partial(_python, "pass")
        bare()
        torch_loaded = command().split()[-1] == "True"
        ratios = setup.alternate(command, bare)
        found = f"torch loaded: {'yes' if torch_loaded else 'no'}"
        rows.append(
            Row(
                "startup",
                f"eosbench {' '.join(arguments)}",
                "python -c pass",
                "one process",
                ratios,
                found,
            )
        )
    return rows


def _python(program: str) -> str:
    """Runs a program; its standard error."""
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stderr
