"""The command line: what each command prints, writes and returns."""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from typer.testing import CliRunner, Result

from benchmarks.made_runs import make_runs
from eosbench.canvas_view import FULL, CanvasView
from eosbench.cli import commands as cli
from eosbench.command_lines import model_args_text
from eosbench.documents.instruct import instruct_documents
from eosbench.documents.public import DataSet, Document
from eosbench.errors import ConfigurationError, EosbenchError
from eosbench.records import LengthRecord
from eosbench.sweep import Grid
from model_adapters.varlen_dlm import VarLenDLM
from tests.golden_files import GOLDEN

REPOSITORY = Path(__file__).resolve().parents[3]
LLADA, CANVAS, SIZE = GOLDEN / "llada-trained", 64, 160
COMMANDS = ("sweep", "fit", "generate", "report", "check")


@pytest.fixture(scope="module", autouse=True)
def wide_terminal() -> Iterator[None]:
    """Tables are folded to the terminal, whose width a test cannot know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.console, "width", 200)
        yield


def run(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(
        cli.app, [str(argument) for argument in arguments]
    )


def process(
    *arguments: str | Path, code: str = "from eosbench.cli import main; main()"
) -> subprocess.CompletedProcess[str]:
    """The console script in a process of its own."""
    call = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents with columns of their own names."""
    return write_documents(tmp_path_factory.mktemp("data") / "documents.jsonl", "train", SIZE)


def write_documents(path: Path, split: str, size: int) -> Path:
    rows = [
        {"question": document.prompt, "answer": document.response}
        for document in instruct_documents(split, size)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fit(
    data: Path, output: Path, *more: str | Path, method: str = "average_regression,logit"
) -> Result:
    given = (
        "--method",
        method,
        "--pretrained",
        LLADA,
        "--data",
        data,
        "--output",
        output,
        "--canvas",
        CANVAS,
    )
    return run(
        "fit",
        *map(str, given),
        "--prompt_column",
        "question",
        "--response_column",
        "answer",
        "--device",
        "cpu",
        "--feature_store",
        str(output) + "-features",
        *more,
    )


@pytest.fixture(scope="module")
def heads(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    done = fit(data, folder)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "average_regression" in done.output and "rmse at u=0.75" in done.output
    return folder


def test_help_shows_every_command() -> None:
    shown = run("--help")
    assert shown.exit_code == 0
    assert all(re.search(rf"\b{command}\b", shown.output) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    import typer

    found = typer.main.get_command(cli.app).commands[command]  # type: ignore[attr-defined]
    unexplained = [
        parameter.name for parameter in found.params if not getattr(parameter, "help", None)
    ]
    assert not unexplained
    shown = run(command, "--help")
    assert shown.exit_code == 0 and all(
        parameter.name in shown.output for parameter in found.params
    )


@pytest.mark.parametrize("command", ["fit", "generate"])
def test_help_loads_no_torch_and_no_lm_eval(command: str) -> None:
    code = (
        "import sys; from eosbench.cli import app; app(standalone_mode=False);"
        "heavy = {'torch', 'transformers', 'lm_eval', 'pandas', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert process(command, "--help", code=code).stdout.strip().endswith("[]")


def test_an_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = process("report", tmp_path / "nothing")
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"eosbench: .*nothing.*\n", done.stderr)


def test_a_wrong_option_is_exit_code_2() -> None:
    assert run("sweep", "--colour", "red").exit_code == 2
    assert run("fit", "--method", "logit").exit_code == 2  # --output is missing
    assert run("fit", "--method", "logit", "--output", "x", "--canvas", "0").exit_code == 2


def test_fit_writes_predictors_that_varlen_dlm_runs(heads: Path) -> None:
    """A regression that is calibrated and a zero-shot method that is: both answer a benchmark
    request.
    """
    for method in ("average_regression", "logit"):
        config = json.loads((heads / method / "config.json").read_text(encoding="utf-8"))
        used = [config["data"][part]["documents"] for part in ("train", "calibration")]
        assert (config["method"], config["canvas"]) == (method, CANVAS)
        assert sum(used) + config["data"]["censored"] == SIZE and min(used) >= 19
        model = VarLenDLM(
            pretrained=str(LLADA),
            max_gen_toks=CANVAS,
            method=method,
            predictor=str(heads / method),
            device="cpu",
        )
        arguments = {"until": [], "reference": "3 4 5", "eos_upper_bound": {"fraction": 0.0}}
        request = Instance(
            "generate_until", {}, ("Count from 3 to 5.", arguments), 0, metadata=("any", 0, 1)
        )
        record = LengthRecord.from_json(model.generate_until([request], disable_tqdm=True)[0])
        assert record.method == method and 1 <= record.bound <= CANVAS
        info = model.get_model_info()["eosbench"]
        assert info["calibration"] == {"kind": "split_conformal", "alpha": 0.05, "samples": used[1]}
    assert sorted(path.name for path in heads.iterdir()) == ["average_regression", "logit"]


def test_fit_one_method_with_options_and_calibration_data(data: Path, tmp_path: Path) -> None:
    held_out = write_documents(tmp_path / "calibration.jsonl", "calibration", 10)
    done = fit(
        data,
        tmp_path / "head",
        "--option",
        "variant=threshold",
        "--option",
        "tau=2e-1",
        "--calibration",
        held_out,
        "--limit",
        "4",
        "--calibration_limit",
        "8",
        method="logit",
    )
    assert done.exit_code == 0, (done.output, done.exception)
    config = json.loads((tmp_path / "head" / "config.json").read_text(encoding="utf-8"))
    assert (config["options"]["variant"], config["options"]["tau"]) == ("threshold", 0.2)
    assert (
        config["data"]["train"]["documents"] <= 4 < config["data"]["calibration"]["documents"] <= 8
    )
    assert "Next: lm_eval --model varlen_dlm" in done.output
    assert done.output.endswith("--tasks eos_upper_bound\n")


def test_a_fit_on_public_data_goes_on_with_their_own_task(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def rows(data: DataSet, use: str) -> list[Document]:
        return [
            Document(f"{data.name}-{use}-{n}", data.name, "en", f"Question {n}", "1 2 3")
            for n in range(30)
        ]

    monkeypatch.setattr("eosbench.fitting.data.public_documents", rows)
    done = fit(Path("gsm8k:train"), tmp_path / "head", method="mean")
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.output.endswith("--tasks eos_upper_bound_gsm8k\n")


def test_fit_refuses_before_it_runs_anything(data: Path, tmp_path: Path) -> None:
    def refused(*given: str, method: str = "logit") -> str:
        done = fit(data, tmp_path / "x", *given, method=method)
        assert isinstance(done.exception, ConfigurationError) and not (tmp_path / "x").exists()
        return str(done.exception)

    assert "--push_to_hub uploads one predictor, these are 2" in refused(
        "--push_to_hub", "a/b", method="logit,mean"
    )
    assert "--push_to_hub uploads one predictor, these are 2" in refused(
        "--push_to_hub", "a/b", "--seed", "0,1"
    )
    assert "--calibration_limit needs --calibration" in refused("--calibration_limit", "5")
    assert "--seed one: expected whole numbers with commas" in refused("--seed", "one")
    assert "no text in column prompt, the columns are question, answer" in refused(
        "--prompt_column", "prompt"
    )


def test_fit_on_a_block_model_says_why_and_what_to_take_before_the_work(tmp_path: Path) -> None:
    model = ("fit", "--pretrained", GOLDEN / "llada2-tiny", "--feature_store", "none")
    given = (*model, "--data", tmp_path / "nowhere.jsonl", "--output", tmp_path / "x")
    refused = run(*given, "--method", "classification")
    message = str(refused.exception)
    assert isinstance(refused.exception, ConfigurationError)
    assert "'classification' looks at the whole canvas, and 'llada2' attends causally" in message
    assert "mean, max, random, prompt_length, oracle, distilbert" in message
    # Those that read the prompt alone get as far as the documents.
    for possible in (("all",), ("average_regression", "--option", "pooling=prompt")):
        assert "no data file" in str(run(*given, "--method", *possible).exception)


def test_fit_with_another_tokenizer_on_a_checkpoint_that_has_none(tmp_path: Path) -> None:
    given = ("--pretrained", GOLDEN / "sdar-tiny", "--tokenizer", GOLDEN / "llada-moe-tiny")
    words = [{"prompt": f"w{n} w{n + 1}", "response": "w5 " * (1 + n % 9)} for n in range(140)]
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in words), encoding="utf-8")
    data = ("--data", path, "--canvas", "24", "--output", tmp_path / "mean")
    done = run("fit", "--method", "mean", *given, *data, "--feature_store", "none")
    assert done.exit_code == 0, (done.output, done.exception)
    _, _, arguments = done.output.partition("--model_args ")
    use = arguments.split()[0]
    assert f"tokenizer={GOLDEN / 'llada-moe-tiny'}" in use
    model = VarLenDLM.create_from_arg_string(use, {"device": "cpu"})
    asked = Instance("generate_until", {}, ("w7 w8", {"until": []}), 0, ("task", 0, 1))
    model.generate_until([asked], disable_tqdm=True)
    assert model.get_model_info()["eosbench"]["costs"]["task"]["mean_window"] < 24


def test_a_fit_at_a_part_of_the_canvas_that_cannot_be(data: Path, tmp_path: Path) -> None:
    for method, step_zero, message in (
        ("mean", "grid:31", "--step_zero grid:31: mean reads nothing of the model"),
        ("logit", "half", "step_zero='half': expected full, prompt, or grid:N"),
        ("logit", "full,half", "step_zero='half': expected full, prompt, or grid:N"),
        ("logit", ",", "step_zero=',': expected full, prompt, or grid:N"),
        ("mean", "full,grid:31", "--step_zero full,grid:31: mean reads nothing of the model"),
        ("logit", "prompt", "'logit' reads positions of the canvas"),
    ):
        done = run(
            *("fit", "--method", method, "--pretrained", "nowhere", "--data", data),
            *("--step_zero", step_zero, "--output", tmp_path / "heads"),
        )
        assert isinstance(done.exception, ConfigurationError)
        assert message in str(done.exception)


def test_fit_several_seeds(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> None:
    asked: list[tuple[str, int, str]] = []

    def stop(jobs: Any, **_: Any) -> Any:
        asked.extend(
            (job.method, job.seed, job.output.relative_to(tmp_path).as_posix()) for job in jobs
        )
        raise ConfigurationError("far enough")

    monkeypatch.setattr("eosbench.fitting.fit_all", stop)
    fit(data, tmp_path, "--seed", "0,7", method="logit,mean")
    fit(data, tmp_path, "--seed", "3", method="mean")
    assert asked == [
        ("logit", 0, "seed-0/logit"),
        ("mean", 0, "seed-0/mean"),
        ("logit", 7, "seed-7/logit"),
        ("mean", 7, "seed-7/mean"),
        ("mean", 3, "."),
    ]


def test_fit_all_is_all_that_can_be_fitted(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    asked: list[str] = []

    def stop(jobs: Any, **_: Any) -> Any:
        asked.extend(job.method for job in jobs)
        raise ConfigurationError("far enough")

    monkeypatch.setattr("eosbench.fitting.fit_all", stop)
    fit(data, tmp_path, method="all")
    assert asked == [
        "logit",
        "concat_regression",
        "average_regression",
        "classification",
        "distilbert",
        "smartcrop",
        "mean",
        "max",
        "random",
        "prompt_length",
    ]


def test_fit_asks_for_the_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    asked: list[str] = []

    def stop(folder: str, *, device: str, **_: Any) -> Any:
        asked.append(device)
        raise ConfigurationError("far enough")

    monkeypatch.setattr("model_adapters.load_backbone", stop)
    for available in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        run(
            "fit",
            "--method",
            "logit",
            "--output",
            tmp_path / "x",
            "--pretrained",
            LLADA,
            "--data",
            data,
        )
    assert asked == ["cuda", "cpu"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--canvas", "512"),
            "--canvas 512 leaves no room for a prompt: the model has 512 positions",
        ),
        (("--option", "depth"), "depth: expected name=value"),
        (("--option", "depth=3"), "has no option depth"),
        (
            ("--response_column", "reply"),
            "no text in column reply, the columns are question, answer",
        ),
        (("--data", "nowhere.jsonl"), "no data file nowhere.jsonl"),
        (("--method", "fixed"), "'fixed' has nothing to fit"),
        (("--method", "best"), "unknown method 'best'"),
        (("--apply_chat_template",), "no chat template"),
    ],
)
def test_wrong_fits_leave_nothing_behind(
    more: tuple[str, ...], message: str, data: Path, tmp_path: Path
) -> None:
    done = fit(data, tmp_path / "head", *more, method="logit")
    assert isinstance(done.exception, EosbenchError) and message in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_fit_onto_a_file_is_refused_before_it_begins(data: Path, tmp_path: Path) -> None:
    (tmp_path / "head").write_text("mine", encoding="utf-8")
    done = fit(data, tmp_path / "head", method="logit")
    assert "head is a file: expected the name of a folder" in str(done.exception)


@pytest.mark.parametrize("where", ["new", "old"])
def test_a_fit_that_cannot_write_leaves_no_half_of_a_folder(
    where: str, heads: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: a new folder is not there afterwards, an old one is as it was."""
    output = tmp_path / where
    if where == "old":
        shutil.copytree(heads / "logit", output)
    before = {path.name: path.read_bytes() for path in output.glob("*")}

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("eosbench.predictors.folder.save_file", full)
    done = fit(data, output, "--limit", "40", method="logit")
    assert isinstance(done.exception, ConfigurationError)
    assert str(output) in str(done.exception) and "No space left" in str(done.exception)
    assert {path.name: path.read_bytes() for path in output.glob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == (["old"] if where == "old" else [])


def test_sweep_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def remember(
        methods: list[str], tasks: list[str], output_path: Path, **more: Any
    ) -> dict[str, Any]:
        asked.update(methods=methods, tasks=tasks, output_path=output_path, **more)
        metrics = {
            "alias": "u=0",
            "coverage,none": 0.5,
            "coverage_stderr,none": 0.25,
            "sample_len": 4,
        }
        return {"logit": {"results": {"a_task": metrics}}, "fixed": {"results": {}}}

    monkeypatch.setattr("eosbench.sweep.sweep", remember)
    done = run(
        "sweep",
        "--methods",
        "logit, fixed",
        "--tasks",
        "a,b",
        "--output_path",
        "here",
        "--model_args",
        "pretrained=x,dtype=y",
        "--limit",
        "8",
        "--metadata",
        "split=length_ood,seed=3",
        "--batch_size",
        "4",
        "--alpha",
        "0.1,0.2",
        "--tau",
        "0.5",
        "--step_zero",
        "full,grid:31",
    )
    assert done.exit_code == 0, (done.output, done.exception)
    assert asked == {
        "methods": ["logit", "fixed"],
        "tasks": ["a", "b"],
        "output_path": Path("here"),
        "model_args": "pretrained=x,dtype=y",
        "predictors": None,
        "grid": Grid([0.1, 0.2], [0.5], [], views=[FULL, CanvasView.of("grid:31")]),
        "limit": 8,
        "metadata": {"split": "length_ood", "seed": 3},
        "batch_size": 4,
        "device": None,
        "num_fewshot": None,
        "apply_chat_template": False,
        "log_samples": True,
    }
    assert isinstance(asked["limit"], int)
    assert (
        "coverage 0.500 ± 0.250" in " ".join(done.output.split())
        and "Next: eosbench report here" in done.output
    )


def test_the_line_to_type_after_a_sweep_works_when_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {"alias": "u=0", "coverage,none": math.nan, "coverage_stderr,none": math.nan}
    monkeypatch.setattr(
        "eosbench.sweep.sweep", lambda *_, **__: {"logit": {"results": {"a_task": metrics}}}
    )
    done = run("sweep", "--output_path", "it's a folder")
    line = done.output[done.output.index("eosbench report") :]
    assert shlex.split(line) == ["eosbench", "report", "it's a folder"]
    assert "nan" not in done.output and "coverage –" in " ".join(done.output.split())


@pytest.mark.parametrize("output", ["heads/a b", "heads/a,b", "10", "it's", "x=y", 'a"b', "[1]"])
def test_model_arguments_are_read_as_they_were_meant(output: str) -> None:
    from lm_eval._cli.utils import MergeDictAction

    given = {"pretrained": "embedded", "max_gen_toks": 64, "predictor": output}
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_args", nargs="+", action=MergeDictAction)
    line = shlex.join(["--model_args", model_args_text(**given)])
    assert parser.parse_args(shlex.split(line)).model_args == given


def test_a_share_is_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Any] = []

    def remember(*_: Any, limit: Any, **__: Any) -> dict[str, Any]:
        limits.append(limit)
        return {}

    monkeypatch.setattr("eosbench.sweep.sweep", remember)
    for given in ((), ("--limit", "0.25"), ("--limit", "1")):
        assert run("sweep", *given).exit_code == 0
    assert limits == [None, 0.25, 1]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("results"), size=12)


def test_report(results: Path, tmp_path: Path) -> None:
    (results / "broken.json").write_text("{", encoding="utf-8")
    done = process("report", results, "--output", tmp_path / "reports")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reports" / "index.html").is_file()
    assert re.fullmatch(r"\d+ runs, \d+ documents: \S*index\.html\n", done.stdout)
    assert done.stderr.count("skipped") == done.stderr.count("broken.json") == 1


def test_check(results: Path, tmp_path: Path) -> None:
    """Written, compared, lowered: exit codes 0, 0 and 1, and JUnit on request."""
    baseline, junit = tmp_path / "baseline.json", tmp_path / "junit.xml"

    def check(*more: str | Path) -> Result:
        return run("check", results, "--baseline", baseline, *more)

    assert run("check", results, "--baseline", baseline).exception is not None  # there is none yet
    assert check("--update").exit_code == 0
    assert check().exit_code == 0
    kept = json.loads(baseline.read_text(encoding="utf-8"))
    for entry in kept["runs"]:
        for task in entry["tasks"].values():
            for metric in task["metrics"].values():
                metric["value"] += 1.0 if metric["better"] == "higher" else -1.0
    baseline.write_text(json.dumps(kept), encoding="utf-8")
    assert check("--junit", junit).exit_code == 1
    assert "<failure" in junit.read_text(encoding="utf-8")
