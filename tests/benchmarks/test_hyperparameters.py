"""The comparison of options: which are tried, and that it runs."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from benchmarks.hyperparameters import TOGETHER, VARIED, app, choices
from eosbench.predictors import METHODS

TRIED = [name for name in METHODS if name in VARIED or name in TOGETHER]


def test_every_method_with_options_is_compared() -> None:
    fitted = [name for name in METHODS if METHODS[name].fitting in ("weights", "calibration")]
    assert fitted == TRIED


@pytest.mark.parametrize("method", TRIED)
def test_an_option_is_changed_alone_and_the_defaults_come_once(method: str) -> None:
    tried = choices(method)
    assert tried.count({}) == (method in VARIED)
    assert len({str(options) for options in tried}) == len(tried)
    for options in tried:
        assert set(options) <= set(METHODS[method].options())
        assert len(options) <= 1 or method in TOGETHER


def test_a_line_for_every_choice() -> None:
    run = CliRunner().invoke(
        app, ["--method", "smartcrop", "--documents", "20", "--calibration", "40"]
    )
    lines = [
        line.split("|")[1:-1]
        for line in run.stdout.splitlines()
        if line.startswith("| `smartcrop`")
    ]
    assert run.exit_code == 0
    assert lines[0][1].strip() == "defaults"
    assert len(lines) == len(choices("smartcrop"))
    assert all(0 <= float(coverage) <= 100 for *_, coverage, _ in lines)


def test_an_unknown_method_is_named() -> None:
    run = CliRunner().invoke(app, ["--method", "oracle"])
    assert run.exit_code == 2
    assert "oracle" in run.output
