"""A method is a file and a row: two toys, each with an option of its own, from the command line of
lm-eval to the report's table.
"""

from __future__ import annotations

import json
from collections import abc
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.__main__ import cli_evaluate
from typer.testing import CliRunner

from eosbench.backbone import Backbone
from eosbench.cli import app
from eosbench.decoding import DecodeConfig, Job, Sequence, Steps, fill_window
from eosbench.errors import ConfigurationError
from eosbench.forward import StepZero
from eosbench.predictors import METHODS, Method
from eosbench.records import LengthPrediction
from eosbench.strategies import ALL_METHODS, STRATEGIES
from eosbench.strategies.protocol import Prepared
from model_adapters.varlen_dlm import parse_arguments
from tests.golden_files import GOLDEN

MODEL = f"pretrained={GOLDEN / 'llada-trained'},max_gen_toks=64,block_length=16,device=cpu"


class Share:
    """Predicts one of `parts` equal parts of the canvas."""

    def __init__(self, *, parts: int = 2) -> None:
        self.parts = parts
        self.options: dict[str, Any] = {"parts": parts}

    def predict(self, batch: StepZero) -> list[LengthPrediction]:
        return [LengthPrediction(len(prompt.canvas) / self.parts) for prompt in batch.prompts]


@dataclass(frozen=True)
class Stubborn:
    """Denoises a window of `tokens`, whatever stands in it."""

    tokens: int = 32

    options = property(asdict)

    def check(self, settings: DecodeConfig) -> None:
        """Every decode setting has its place here."""

    def prepare(self, backbone: Backbone, jobs: abc.Sequence[Job]) -> Prepared:
        """Every model has what it needs."""
        return self, [replace(job, window=self.tokens) for job in jobs]

    def decode(self, sequence: Sequence) -> Steps:
        """The window, and no more."""
        yield from fill_window(sequence)


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    share = Method(f"{__name__}:Share", "A part of the canvas.", order=45)
    stubborn = Method(f"{__name__}:Stubborn", "A window of one length.", order=5)
    monkeypatch.setitem(METHODS, "share", share)
    monkeypatch.setitem(STRATEGIES, "stubborn", stubborn)
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)  # takes seconds


def evaluate(monkeypatch: pytest.MonkeyPatch, folder: Path, method: str, task: str) -> Any:
    """Runs lm-eval's own command; what its results file says of the run."""
    command = ["lm_eval", "--model", "varlen_dlm", "--model_args", f"{MODEL},{method}"]
    command += ["--tasks", task, "--limit", "2", "--batch_size", "2", "--log_samples"]
    monkeypatch.setattr("sys.argv", [*command, "--output_path", str(folder)])
    cli_evaluate()
    (file,) = folder.rglob("results_*.json")
    return json.loads(file.read_text(encoding="utf-8"))["config"]["eosbench"]


def test_from_the_command_line_to_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    bound = evaluate(
        monkeypatch, results / "share", "method=share,parts=4,rounding=none", "eos_upper_bound_u00"
    )
    assert (bound["method"], bound["method_options"]) == ("share", {"parts": 4})
    assert bound["costs"]["eos_upper_bound_u00"]["mean_window"] == 64 / 4
    text = evaluate(
        monkeypatch, results / "stubborn", "method=stubborn,tokens=16", "varlen_instruct"
    )
    assert (text["method"], text["method_options"]) == ("stubborn", {"tokens": 16})
    assert text["costs"]["varlen_instruct"]["mean_window"] == 16
    evaluate(monkeypatch, results / "fixed", "method=fixed", "varlen_instruct")

    report = CliRunner().invoke(app, ["report", str(results), "--output", str(tmp_path / "report")])
    assert report.exit_code == 0, report.output
    table = (tmp_path / "report" / "comparison.md").read_text(encoding="utf-8")
    named = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    found = [name for name in named if name in ("stubborn", "share", "fixed")]
    assert list(dict.fromkeys(found)) == ["stubborn", "share", "fixed"]  # by the rows' order


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "share", "parts": "x"}, r"^parts='x': expected a whole number$"),
        (
            {"method": "share", "part": 3},
            r"^varlen_dlm has no argument part; it knows pretrained, .*, device, "
            r"and method 'share' has no option part: expected parts\. Did you mean parts\?$",
        ),
        (
            {"method": "stubborn", "tokes": 3, "parts": 2},
            r"method 'stubborn' has no option parts, tokes: expected tokens\. "
            r"Did you mean tokens\?$",
        ),
        (
            {"method": "share", "step": 3},
            r"expected parts\. Did you mean steps\?$",
        ),
    ],
)
def test_an_option_is_checked_by_the_signature(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_arguments(given)


def test_an_option_is_converted_by_the_signature_and_changes_the_settings_alone() -> None:
    assert parse_arguments({"method": "share", "parts": "3"}).options == {"parts": 3}
    assert parse_arguments({"method": "stubborn", "tokens": 8.0}).options == {"tokens": 8}
    assert parse_arguments({"method": "share", "parts": None}).options == {}  # the default
    assert parse_arguments({"method": "share"}).options == {}


@pytest.mark.parametrize("method", ALL_METHODS)
def test_no_option_hides_behind_an_argument_of_the_adapter(method: str) -> None:
    for name, option in ALL_METHODS[method].options().items():
        with pytest.raises(ConfigurationError, match=f"has no (argument|option) .*{name}"):
            parse_arguments({"method": "blocks", name: option.default})
