"""`eosbench sweep`: one step zero for all methods, and result folders that are those of separate
lm-eval runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
from typer.testing import CliRunner

import eosbench.plugin
from eosbench.canvas_view import FULL, CanvasView
from eosbench.cli import app
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.forward import step_zero
from eosbench.predictors import THE_FIVE
from eosbench.report import write_report
from eosbench.results.runs import read_runs
from eosbench.results.table import read_results
from eosbench.strategies import ALL_METHODS, STRATEGIES
from eosbench.sweep import Grid, chosen_methods, sweep
from eosbench.sweep.plan import planned_runs
from tests.golden_files import GOLDEN, load_golden

MODEL = {"pretrained": str(GOLDEN / "llada-trained"), "max_gen_toks": 64}
BENCHMARK, GENERATION, OTHER = "eos_upper_bound_u50", "varlen_instruct", "no_reference"
SWEPT = ["logit", "fixed", "oracle"]
LIMIT = 3
VARYING = {
    "seconds",
    "model_seconds",
    "date",
    "start_time",
    "end_time",
    "total_evaluation_time_seconds",
    "git_hash",
}


@pytest.fixture(scope="module", autouse=True)
def no_environment_report() -> Any:
    """lm-eval asks pip and nvidia-smi about the machine for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        yield


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> TaskManager:
    """The packaged tasks, and one whose requests carry no reference."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "documents.jsonl").write_text(
        '{"question": "Count from 1 to 4.", "answer": "1 2 3 4"}\n', encoding="utf-8"
    )
    (folder / f"{OTHER}.yaml").write_text(
        f"task: {OTHER}\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {folder / 'documents.jsonl'}}}\ntest_split: train\n"
        "output_type: generate_until\ndoc_to_text: question\ndoc_to_target: answer\n"
        "num_fewshot: 0\ngeneration_kwargs: {until: [], max_gen_toks: 32}\n"
        "metric_list: [{metric: exact_match}]\n",
        encoding="utf-8",
    )
    return TaskManager(
        include_defaults=False, include_path=[str(eosbench.plugin.tasks_folder()), str(folder)]
    )


class Swept:
    """One sweep over three methods, and how many forward passes of step zero it took."""

    def __init__(self, folder: Path, manager: TaskManager) -> None:
        self.folder, self.batches = folder, 0
        with pytest.MonkeyPatch.context() as patch:
            real = step_zero.run_step_zero

            def counted(*args: Any, **kwargs: Any) -> Any:
                self.batches += 1
                return real(*args, **kwargs)

            patch.setattr("eosbench.predictors.reader.run_step_zero", counted)
            tasks = [BENCHMARK, GENERATION]
            self.results = sweep(
                SWEPT,
                tasks,
                folder,
                model_args=MODEL,
                batch_size=2,
                task_manager=manager,
                limit=LIMIT,
                log_samples=True,
            )


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, manager: TaskManager) -> Swept:
    return Swept(tmp_path_factory.mktemp("sweep"), manager)


def test_chosen_methods() -> None:
    assert chosen_methods("all") == list(ALL_METHODS)
    assert chosen_methods("five") == list(THE_FIVE)
    assert chosen_methods("fixed, logit,fixed") == ["fixed", "logit"]
    with pytest.raises(
        ConfigurationError, match="unknown method 'best': expected all, five, or some of logit, "
    ):
        chosen_methods("logit,best")
    with pytest.raises(ConfigurationError, match="unknown method ','"):
        chosen_methods(",")


def test_step_zero_runs_once_per_prompt_for_all_methods(swept: Swept) -> None:
    """Three documents in batches of two are two passes a task; only `logit` reads them, and no
    method asks again.
    """
    assert swept.batches == 4


def test_a_second_method_that_reads_the_model_costs_no_pass(
    tmp_path: Path, manager: TaskManager
) -> None:
    """Two methods on the same prompts, asked through one reader."""
    from eosbench.predictors import load_predictor
    from eosbench.predictors.reader import LengthReader
    from eosbench.records import Prompt

    backbone = load_golden("llada-trained").backbone
    fitted = {
        name: load_predictor("logit", None, backbone=backbone, canvas=64, options={"variant": name})
        for name in ("quantile", "threshold", "top1")
    }
    reader = LengthReader(backbone, fitted, keep=True)
    prompts = [Prompt("", (2, 5, 6, 3), (0,) * 64), Prompt("", (2, 7, 3), (0,) * 64)]
    passes = 0
    real = backbone.hidden

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal passes
        passes += 1
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbone, "hidden", counted)
        shared = {
            name: [r.predictions[name].length for r in reader.read(name, prompts, 2)]
            for name in fitted
        }
        assert passes == 1
        alone = {
            name: [
                r.predictions[name].length
                for r in LengthReader(backbone, {name: fitted[name]}).read(name, prompts, 2)
            ]
            for name in fitted
        }
    assert shared == alone


def test_the_report_reads_a_sweep(swept: Swept, tmp_path: Path) -> None:
    runs = read_runs(swept.folder)
    assert [run.method for run in runs] == sorted(SWEPT)
    assert all(set(run.tasks) == {BENCHMARK, GENERATION} for run in runs)
    frame = read_results(swept.folder)
    assert len(frame) == len(SWEPT) * 2 * LIMIT and not frame.attrs["skipped"]
    summary = write_report(swept.folder, tmp_path)
    assert summary.runs == 3 and summary.page.is_file()


def test_the_methods_do_what_they_are(swept: Swept) -> None:
    frame = read_results(swept.folder)
    bounds = frame[frame.task == BENCHMARK].set_index("method")
    assert set(bounds.loc["fixed", "bound"]) == {64}
    assert list(bounds.loc["oracle", "prediction"]) == list(bounds.loc["oracle", "length"])
    # NaN: there is nothing it does not cover.
    assert swept.results["oracle"]["results"][BENCHMARK]["shortfall,none"] != 0


def comparable(value: Any) -> Any:
    """A results file without what two runs cannot have in common: times, and the folder a date is
    in.
    """
    if isinstance(value, dict):
        return {name: comparable(inner) for name, inner in value.items() if name not in VARYING}
    return [comparable(inner) for inner in value] if isinstance(value, list) else value


def files(folder: Path) -> dict[str, Any]:
    """Kind of file -> content, of the one run in a folder."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*.json*"):
        kind = path.name.rsplit("_", 1)[0]
        assert kind not in found
        text = path.read_text(encoding="utf-8")
        found[kind] = (
            json.loads(text)
            if path.suffix == ".json"
            else [json.loads(line) for line in text.splitlines()]
        )
    return {kind: comparable(content) for kind, content in found.items()}


@pytest.mark.parametrize("method", ["logit", "oracle"])
def test_a_sweep_writes_what_a_separate_run_writes(
    method: str, swept: Swept, manager: TaskManager, tmp_path: Path
) -> None:
    """Field by field, the files of `lm_eval --model varlen_dlm --model_args ...,method=...`, as its
    command line makes them.
    """
    eosbench.plugin.add_model()
    tracker = EvaluationTracker(output_path=str(tmp_path))
    outcome: Any = lm_eval.simple_evaluate(
        model="varlen_dlm",
        model_args={**MODEL, "method": method},
        tasks=[BENCHMARK, GENERATION],
        batch_size=2,
        limit=LIMIT,
        log_samples=True,
        task_manager=manager,
        evaluation_tracker=tracker,
    )
    samples = outcome.pop("samples")
    tracker.save_results_aggregated(results=outcome, samples=samples)
    for task in outcome["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])

    alone, together = files(tmp_path), files(swept.folder / method)
    assert set(alone) == {"results", f"samples_{BENCHMARK}", f"samples_{GENERATION}"}
    assert json.dumps(together["results"]["config"], sort_keys=True) == json.dumps(
        alone["results"]["config"], sort_keys=True
    )
    # As text: NaN equals itself.
    assert json.dumps(together, sort_keys=True) == json.dumps(alone, sort_keys=True)


def test_the_oracle_is_left_out_where_no_reference_is_sent(
    manager: TaskManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = sweep(
        ["oracle", "fixed"], [OTHER], tmp_path, model_args=MODEL, task_manager=manager, limit=1
    )
    assert set(results) == {"fixed"}
    assert [path.name for path in tmp_path.iterdir()] == ["fixed"]
    assert f"method oracle is left out of {OTHER}: no reference answer is sent there" in caplog.text


def test_strategies_run_where_no_bound_is_asked_for(
    manager: TaskManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of `all` that decide the length while decoding: on the generation task, with their
    costs, and in the report.
    """
    asked = ["fixed", *STRATEGIES]
    arguments = MODEL | {"overflow": "retry"}  # of bounds: the strategies are not told
    results = sweep(
        asked,
        [BENCHMARK, GENERATION],
        tmp_path,
        model_args=arguments,
        task_manager=manager,
        limit=1,
        batch_size=2,
    )
    assert (
        "void_expansion is left out: method 'void_expansion' needs a model that was taught"
        in caplog.text
    )
    methods = [method for method in asked if method != "void_expansion"]
    assert list(results) == methods
    assert set(results["fixed"]["results"]) == {BENCHMARK, GENERATION}
    for method in methods[1:]:
        assert set(results[method]["results"]) == {GENERATION}
        assert (
            f"method {method} is left out of {BENCHMARK}: they ask for a bound before decoding"
            in caplog.text
        )
    runs = {run.method: run for run in read_runs(tmp_path)}
    for method in methods[1:]:
        settings, costs = runs[method].settings, runs[method].tasks[GENERATION].costs
        assert (
            settings is not None
            and settings["rounding"] is settings["overflow"] is settings["calibration"] is None
        )
        assert (
            costs["requests"] == 1
            and costs["forward_passes"] >= 1
            and 1 <= costs["mean_window"] <= 64
        )
    page = write_report(tmp_path, tmp_path / "report").page.parent / "comparison.md"
    rows = [
        line.split("|")[1].strip()
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    assert [row for row in rows if row.replace("\\", "") in methods][:5] == [
        "blocks",
        "daedal",
        "rho\\_eos",
        "cal",
        "fixed",
    ]


def test_on_a_block_model_nobody_is_told_to_fit_what_cannot_be_fitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = {"pretrained": str(GOLDEN / "llada2-tiny")}

    def planned(*methods: str) -> list[str]:
        runs = planned_runs(methods, model, flags={}, predictors=None, grid=Grid())
        return [run.method for run in runs]

    learned = ("concat_regression", "average_regression", "classification")
    assert planned("fixed", *learned, "blocks") == ["fixed", "blocks"]
    assert f"left out: {', '.join(learned)} look at the whole canvas" in caplog.text
    with pytest.raises(PredictorError, match="eosbench fit --method mean"):
        planned("mean")
    with pytest.raises(ConfigurationError, match="a sweep over no methods that can run"):
        planned("classification")
    model["pretrained"] = str(GOLDEN / "llada-tiny")
    with pytest.raises(PredictorError, match="eosbench fit --method classification"):
        planned("classification")


def test_a_sweep_of_nothing_but_strategies_over_bound_tasks_writes_nothing(
    manager: TaskManager, tmp_path: Path
) -> None:
    assert (
        sweep(["blocks"], [BENCHMARK], tmp_path, model_args=MODEL, task_manager=manager, limit=1)
        == {}
    )
    assert not list(tmp_path.iterdir())


def test_alphas_and_rules_share_their_forward_passes(manager: TaskManager, tmp_path: Path) -> None:
    """The embedded model's own predictors: seven runs, and step zero runs once over every batch."""
    batches = 0
    real = step_zero.run_step_zero

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal batches
        batches += 1
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eosbench.predictors.reader.run_step_zero", counted)
        results = sweep(
            ["logit", "classification", "fixed"],
            [BENCHMARK],
            tmp_path,
            model_args="rounding=none",
            task_manager=manager,
            grid=Grid(alphas=[0.05, 0.5], taus=[0.3], quantiles=[0.25]),
            limit=LIMIT,
            batch_size=LIMIT,
        )
    assert batches == 1
    assert list(results) == [
        "logit alpha=0.05",
        "logit alpha=0.5",
        "logit tau=0.3",
        "logit q=0.25",
        "classification alpha=0.05",
        "classification alpha=0.5",
        "classification tau=0.3",
        "fixed",
    ]
    frame = read_results(tmp_path)
    bounds = {
        name: list(rows.sort_values("document")["calibrated"])
        for name, rows in frame.groupby(["method", "calibration"])
    }
    assert len(read_runs(tmp_path)) == 8 and not frame.attrs["skipped"]
    assert (tmp_path / "logit" / "alpha=0.5").is_dir()
    for method in ("logit", "classification"):
        tight, wide = (
            next(
                found
                for (name, said), found in bounds.items()
                if name == method and f"alpha={alpha} " in said
            )
            for alpha in ("0.5", "0.05")
        )
        assert all(one <= other for one, other in zip(tight, wide, strict=True))
        assert [run.promise for run in read_runs(tmp_path / method)].count(0.5) == 1
    rules = frame[(frame["method"] == "classification") & (frame["calibration"] == "none")]
    assert list(rules["calibrated"]) == list(rules["prediction"])


PARTS = [FULL, CanvasView.of("grid:8")]
READERS = ["classification", "logit", "mean"]


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictors for the whole canvas and for a grid of it, as one `eosbench fit` makes them."""
    folder = tmp_path_factory.mktemp("fitted") / "heads"
    words = ["fit", "--method", ",".join(READERS), "--step_zero", "full,grid:8"]
    words += ["--pretrained", MODEL["pretrained"], "--canvas", str(MODEL["max_gen_toks"])]
    words += ["--limit", "40", "--calibration", "instruct:calibration", "--calibration_limit"]
    words += ["40", "--epochs", "1", "--feature_store", "none", "--output", str(folder)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, (done.output, done.exception)
    return folder


def test_parts_of_the_canvas(heads: Path, manager: TaskManager, tmp_path: Path) -> None:
    """Two methods at two parts of the canvas, and one that reads none: a pass for each part, and
    names that tell the runs apart, in the sweep as in the report.
    """
    names = ["classification", "classification-grid-8", "logit", "logit-grid-8", "mean"]
    assert sorted(path.name for path in heads.iterdir()) == names
    views: list[CanvasView] = []
    real = step_zero.run_step_zero

    def noted(backbone: Any, prompts: Any, needs: Any, view: CanvasView) -> Any:
        views.append(view)
        return real(backbone, prompts, needs, view)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eosbench.predictors.reader.run_step_zero", noted)
        results = sweep(
            READERS,
            [BENCHMARK],
            tmp_path,
            model_args=MODEL,
            predictors=heads,
            grid=Grid(views=PARTS),
            task_manager=manager,
            limit=LIMIT,
            batch_size=LIMIT,
        )
    assert views == PARTS
    grid = " step_zero=grid:8"
    runs = ["classification", f"classification{grid}", "logit", f"logit{grid}", "mean"]
    assert list(results) == runs
    assert [run.name for run in read_runs(tmp_path)] == runs
    assert (tmp_path / "logit" / "step_zero=grid-8").is_dir()
    for name in runs:
        block = results[name]["config"]["eosbench"]
        part = block["method_options"].get("step_zero")
        assert part == (None if name == "mean" else "grid:8" if grid in name else "full")
        assert block["calibration"] is not None
    page = write_report(tmp_path, tmp_path / "report").page.parent / "comparison.md"
    first_cells = [
        line.split("|")[1] for line in page.read_text("utf-8").splitlines() if "|" in line
    ]
    shown = [cell.strip().replace("\\", "") for cell in first_cells]
    assert set(runs) <= set(shown)


def test_a_method_runs_at_the_parts_that_it_has_a_predictor_for(
    heads: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def planned(methods: list[str], folder: Path, *parts: str, **more: Any) -> list[str]:
        grid = Grid(views=[CanvasView.of(part) for part in parts], **more)
        runs = planned_runs(methods, MODEL, flags={}, predictors=folder, grid=grid)
        return [f"{run.label}: {run.arguments.predictor}" for run in runs]

    some = tmp_path / "some"
    some.mkdir()
    for name in ("classification-grid-8", "mean"):
        (some / name).symlink_to(heads / name)
    grid = "classification step_zero=grid:8"
    fitted = f"{some}/classification-grid-8"
    assert planned(["classification", "mean"], some, "full", "grid:8") == [
        f"{grid}: {fitted}",
        f"mean: {some}/mean",
    ]
    assert (
        "method classification is left out at step_zero=full: no predictor was fitted there"
        in caplog.text
    )
    # What needs no folder runs at every part, uncalibrated, where there is none for any of them.
    labels = planned(["logit", "fixed"], some, "full", "grid:8", "grid:16")
    assert labels == [
        "logit: None",
        "logit step_zero=grid:8: None",
        "logit step_zero=grid:16: None",
        "fixed: None",
    ]
    assert planned(["classification"], some, "grid:8", alphas=[0.2], taus=[0.3]) == [
        f"{grid} alpha=0.2: {fitted}",
        f"{grid} tau=0.3: {fitted}",
    ]
    assert planned(["classification"], heads, "full", alphas=[0.2]) == [
        f"classification alpha=0.2: {heads}/classification"
    ]
    missing = (
        r"none at .*/classification \(for another part of the canvas, --step_zero, there is "
        r"classification-grid-8\): make it with eosbench fit --method classification "
    )
    with pytest.raises(PredictorError, match=missing + r"\S+ \S+ --data ... --output"):
        planned(["classification"], some)
    with pytest.raises(PredictorError, match=r"--data ... --step_zero grid:9 --output .*-grid-9$"):
        planned(["classification"], some, "grid:9")


def test_the_embedded_predictors_are_swept_over_the_whole_canvas(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = planned_runs(
        ["classification", "logit"], {}, flags={}, predictors=None, grid=Grid(views=PARTS)
    )
    assert [run.label for run in runs] == ["classification", "logit"]
    assert caplog.text.count("is left out at step_zero=grid:8") == 2


def test_model_args_as_text(manager: TaskManager, tmp_path: Path) -> None:
    text = ",".join(f"{name}={value}" for name, value in MODEL.items())
    results = sweep(
        ["fixed"], [BENCHMARK], tmp_path, model_args=text, task_manager=manager, limit=1
    )
    assert results["fixed"]["config"]["model_args"] == {**MODEL, "method": "fixed"}


def test_wrong_requests(manager: TaskManager, tmp_path: Path) -> None:
    def refused(message: str, kind: type[Exception] = ConfigurationError, **changes: Any) -> None:
        asked = {"methods": ["fixed"], "tasks": [BENCHMARK], "model_args": MODEL, **changes}
        with pytest.raises(kind, match=message):
            sweep(
                asked.pop("methods"),
                asked.pop("tasks"),
                tmp_path / "none",
                task_manager=manager,
                limit=1,
                **asked,
            )

    refused("knows no task no_such_task: lm_eval ls tasks", tasks=[BENCHMARK, "no_such_task"])
    refused("knows no task", tasks=[])
    refused("over no methods", methods=[])
    refused(
        "sets method, predictor itself: use --methods",
        model_args={**MODEL, "method": "logit", "predictor": "x"},
    )
    refused(
        "batch_size stands among the model arguments and beside them",
        model_args={**MODEL, "batch_size": 4},
        batch_size=2,
    )
    refused(
        "alpha stands among the model arguments and is swept over",
        model_args={**MODEL, "alpha": 0.1},
        grid=Grid(alphas=[0.1]),
    )
    refused(
        "step_zero stands among the model arguments and is swept over",
        model_args={**MODEL, "step_zero": "full"},
        grid=Grid(views=PARTS),
    )
    refused("alpha=2.0: expected above 0", methods=["logit"], grid=Grid(alphas=[2.0]))
    refused("varlen_dlm has no argument colour", model_args={**MODEL, "colour": "red"})
    refused(
        "no folder .*heads: expected one with a fitted predictor per method",
        predictors=tmp_path / "heads",
    )
    needs = (
        r"'random' needs a fitted predictor and --predictors names none: "
        r"make it with eosbench fit --method random"
    )
    refused(needs, PredictorError, methods=["fixed", "random"])
    (tmp_path / "heads").mkdir()
    refused(
        r"there is none at .*heads/random",
        PredictorError,
        methods=["random"],
        predictors=tmp_path / "heads",
    )
    assert not (tmp_path / "none").exists()
