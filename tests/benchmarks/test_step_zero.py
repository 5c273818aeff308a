"""The table of smaller passes: which methods stand in it, and that it is made."""

from __future__ import annotations

from typer.testing import CliRunner

from benchmarks.step_zero import TRIED, app, choices
from eosbench.canvas_view import FULL, PROMPT
from eosbench.predictors import METHODS


def test_every_method_that_reads_the_model_is_compared() -> None:
    assert {method for method, _ in TRIED} == {name for name, row in METHODS.items() if row.needs}
    assert choices(FULL) == list(TRIED)
    assert {options["pooling"] for _, options in choices(PROMPT)} == {"prompt"}


def test_a_line_for_every_choice() -> None:
    run = CliRunner().invoke(app, ["--views", "prompt", "--documents", "40", "--canvas", "128"])
    assert run.exit_code == 0
    lines = [line.split("|")[1:-1] for line in run.stdout.splitlines() if "average_reg" in line]
    assert len(lines) == len(choices(PROMPT))
    for _, _, _, overshoot, coverage, positions, _ in lines:
        assert 0 <= float(coverage) <= 100 and 0 <= float(overshoot) <= 128
        assert float(positions) < 40  # the prompts alone
