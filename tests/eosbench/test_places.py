"""Places that cannot be written are one line, before anything is loaded or computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import eosbench
from benchmarks.made_runs import make_runs
from eosbench.check import check_results
from eosbench.cli import commands as cli
from eosbench.errors import ConfigurationError, EosbenchError
from eosbench.forward import Cost, Ledger
from eosbench.places import cache_folder, check_file, check_folder, is_there, shortened, writing
from eosbench.report import write_report
from model_adapters.varlen_dlm import VarLenDLM
from model_adapters.varlen_dlm.own_answers import OwnAnswers

LONG = "a" * 300
NO_PLACE = {
    "below a file": lambda folder: below_a_file(folder) / "deep" / "down",
    "a name too long": lambda folder: folder / LONG,
    "a file system without files": lambda folder: Path("/proc/eosbench/here"),
    "a zero byte": lambda folder: folder / "a\0b",
}


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("taken", encoding="utf-8")
    return folder / "file"


@pytest.fixture(params=NO_PLACE)
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A place that nobody can write, not even root."""
    return NO_PLACE[request.param](tmp_path)


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model is an error."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a model was loaded before the places were tried")

    monkeypatch.setattr("model_adapters.loading.load_backbone", refuse)
    monkeypatch.setattr("model_adapters.load_backbone", refuse)
    monkeypatch.setattr("model_adapters.varlen_dlm.model.load_backbone", refuse)
    monkeypatch.setattr("eosbench.sweep.evaluation.load_backbone", refuse)


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(EosbenchError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    for word in ("can be written", *words):
        assert word in message


def test_places_that_cannot_be_written(nowhere: Path) -> None:
    refused(lambda: check_folder(nowhere, "--output x"), "--output x: expected a folder")
    refused(lambda: check_file(nowhere, "telemetry=x"), "telemetry=x: expected a file")


def test_places_that_can_be_written_are_left_as_they_are(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "folder", "it")
    check_file(tmp_path / "new" / "file", "it")
    assert list(tmp_path.iterdir()) == []
    file = below_a_file(tmp_path)
    check_file(file, "it")
    assert file.read_text(encoding="utf-8") == "taken"
    refused(lambda: check_folder(file, "it"), "is a file")
    refused(lambda: check_file(tmp_path, "it"), "a folder")


def test_telemetry(nowhere: Path, untouched: None) -> None:
    refused(lambda: VarLenDLM(telemetry=str(nowhere), device="cpu"), "telemetry=")
    refused(lambda: eosbench.load(telemetry=nowhere, device="cpu"), "telemetry=")
    refused(lambda: Ledger(nowhere), "telemetry=")


def test_telemetry_on_a_full_disk() -> None:
    ledger = Ledger(Path("/dev/full"))
    refused(lambda: ledger.add("task", 0, "generate", Cost()), "telemetry=/dev/full", "No space")


@pytest.mark.parametrize("variable", ["HOME", "EOSBENCH_CACHE"])
def test_the_cache(
    variable: str, nowhere: Path, untouched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "\0" in str(nowhere):
        pytest.skip("no variable of an environment can hold it")
    monkeypatch.delenv("EOSBENCH_CACHE", raising=False)
    monkeypatch.setenv(variable, str(nowhere))
    refused(lambda: VarLenDLM(reference="self", device="cpu"), "set EOSBENCH_CACHE to a folder")


def test_a_cache_that_is_there_and_cannot_be_added_to(nowhere: Path) -> None:
    from tests.model_adapters.varlen_dlm.test_own_answers import PROMPT, SETTINGS, saying

    backbone = saying(10, 11)
    own = OwnAnswers(backbone, nowhere)
    refused(lambda: own.generate([(PROMPT, SETTINGS)], batch_size=1), "EOSBENCH_CACHE")
    assert not backbone.passes


def test_without_a_home_the_cache_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("EOSBENCH_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    refused(lambda: cache_folder("own_answers"), "set EOSBENCH_CACHE")


def command(*words: str | Path) -> Callable[[], object]:
    if any("\0" in str(word) for word in words):
        pytest.skip("no command line can hold it")

    def call() -> None:
        done = CliRunner().invoke(cli.app, [str(word) for word in words])
        assert done.exception is not None, done.output
        raise done.exception

    return call


def test_fit(nowhere: Path, untouched: None, tmp_path: Path) -> None:
    fit = ("fit", "--method", "logit", "--device", "cpu")
    refused(command(*fit, "--output", nowhere), "--output")
    store = command(*fit, "--output", tmp_path / "head", "--feature_store", nowhere)
    refused(store, "the feature store", "--feature_store none", "EOSBENCH_CACHE")
    assert not (tmp_path / "head").exists()


def test_sweep(nowhere: Path, untouched: None, tmp_path: Path) -> None:
    sweep = ("sweep", "--methods", "fixed", "--tasks", "eos_upper_bound_u00", "--device", "cpu")
    refused(command(*sweep, "--output_path", nowhere), "--output_path")
    telemetry = command(
        *sweep, "--output_path", tmp_path / "out", "--model_args", f"telemetry={nowhere}"
    )
    refused(telemetry, "telemetry=")


def test_report(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eosbench.report.writing.scan", lambda folder: 1 / 0)
    refused(lambda: write_report(tmp_path, nowhere), "--output")


def test_check(nowhere: Path, tmp_path: Path) -> None:
    make_runs(tmp_path / "results")
    outcome = check_results(tmp_path / "results", nowhere, update=True)
    assert outcome.exit_code == 2 and "can be written" in outcome.message
    junit = command(
        "check", tmp_path / "results", "--baseline", tmp_path / "none", "--junit", nowhere
    )
    refused(junit, "--junit")


def test_an_error_of_the_file_system_amid_the_work_is_one_line() -> None:
    def write() -> None:
        with writing("--output x"):
            Path("/proc/none/file").write_text("text", encoding="utf-8")

    refused(write, "--output x: expected a folder that can be written (No such file")
    with pytest.raises(ConfigurationError, match=r"^as it was$"), writing("--output x"):
        raise ConfigurationError("as it was")


def test_a_name_that_is_too_long_is_not_there(tmp_path: Path) -> None:
    assert is_there(tmp_path)
    assert not is_there(tmp_path / LONG) and not is_there(tmp_path / "a\0b")
    assert len(shortened("b" * 5000)) < 200
