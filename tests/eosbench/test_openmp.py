"""How torch's threads wait: set before torch is loaded, by our commands and runs of our model."""

from __future__ import annotations

import subprocess
import sys

import pytest

from eosbench.openmp import POLICIES
from tests.test_imports import REPOSITORY

SHOW = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
SLEEP = "from eosbench.openmp import let_threads_sleep as sleep; sleep(); "
HELP = """
import sys
sys.argv = ["eosbench", "--help"]
from eosbench.cli import main
try:
    main()
except SystemExit:
    pass
"""
PLUGIN = "import eosbench.plugin; eosbench.plugin.add_tasks(); "


def policy(code: str, *arguments: str, **variables: str) -> str:
    """The last word that an interpreter prints which runs this code and then shows the policy."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{SHOW}", *arguments],
        cwd=REPOSITORY,
        env={"PATH": "", "PYTHONPATH": str(REPOSITORY)} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]


def test_threads_sleep_unless_the_user_or_torch_decided() -> None:
    assert policy(SLEEP) == "passive"
    assert policy(SLEEP, OMP_WAIT_POLICY="active") == "active"
    for name in POLICIES[1:]:
        assert policy(SLEEP, **{name: "1000"}) == "None"
    assert policy(f"import torch; {SLEEP}") == "None"


def test_our_commands_let_them_sleep() -> None:
    assert policy(HELP) == "passive"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--model", "varlen_dlm"), "passive"),
        (("run", "--model=varlen_dlm"), "passive"),
        (("--model", "hf"), "None"),
        ((), "None"),
    ],
)
def test_a_run_of_lm_eval_does_where_it_asks_for_our_model(
    arguments: tuple[str, ...], expected: str
) -> None:
    assert policy(PLUGIN, *arguments) == expected
