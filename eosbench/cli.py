"""The command line. Each command is a page of options around one function; what is heavy is imported when a command runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from eosbench import __version__
from eosbench.errors import ConfigurationError, EosbenchError

app = typer.Typer(
    help="How long must the canvas of a diffusion language model be? Fit, compare and check length predictors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True)


def main() -> None:
    """Entry point: an error raised on purpose is one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except EosbenchError as error:
        errors.print(f"eosbench: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from error


def _version(wanted: bool) -> None:
    if wanted:
        console.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


ModelArgs = Annotated[str, typer.Option("--model_args", help="Of varlen_dlm, as lm_eval takes them: pretrained=...,dtype=...")]


@app.command()
def sweep(
    methods: Annotated[str, typer.Option(help="all, five, or names with commas")] = "five",
    tasks: Annotated[str, typer.Option(help="lm-eval tasks, with commas")] = "eos_upper_bound",
    output_path: Annotated[Path, typer.Option("--output_path", help="one folder per method is written here")] = Path("results"),
    model_args: ModelArgs = "",
    predictors: Annotated[Path | None, typer.Option(help="folder with a fitted predictor per method")] = None,
    limit: Annotated[float | None, typer.Option(help="documents per task (or a share below 1)")] = None,
    batch_size: Annotated[int, typer.Option("--batch_size")] = 16,
    device: Annotated[str | None, typer.Option()] = None,
    num_fewshot: Annotated[int | None, typer.Option("--num_fewshot")] = None,
    apply_chat_template: Annotated[bool, typer.Option("--apply_chat_template")] = False,
    log_samples: Annotated[bool, typer.Option("--log_samples/--no_log_samples")] = True,
) -> None:
    """Several methods through lm-eval in one process: one backbone, one shared first forward pass, one result set per method."""
    from eosbench import sweep as sweeping

    chosen = sweeping.chosen_methods(methods)
    given = {**_key_values(model_args), "batch_size": batch_size, "device": device}
    results = sweeping.sweep(
        chosen,
        _names(tasks),
        output_path,
        model_args=given,
        predictors=predictors,
        limit=int(limit) if limit is not None and limit >= 1 else limit,
        num_fewshot=num_fewshot,
        apply_chat_template=apply_chat_template,
        log_samples=log_samples,
    )
    if results:
        console.print(_sweep_table(results))
        console.print(f"Results in {output_path}. Next: eosbench report {output_path}", highlight=False)


@app.command()
def fit(
    method: Annotated[str, typer.Option(help="a method, names with commas, or five")],
    output: Annotated[Path, typer.Option(help="folder of the predictor; with several methods, of their folders")],
    pretrained: Annotated[str, typer.Option(help="folder or hub id of the DLM, or embedded")] = "embedded",
    data: Annotated[str, typer.Option(help="JSONL or CSV file, or instruct:SPLIT of the embedded benchmark")] = "instruct:train",
    calibration: Annotated[str | None, typer.Option(help="data for calibration; default: a held-out part of --data")] = None,
    prompt_column: Annotated[str, typer.Option("--prompt_column")] = "prompt",
    response_column: Annotated[str, typer.Option("--response_column")] = "response",
    canvas: Annotated[int, typer.Option(help="C, tokens")] = 256,
    limit: Annotated[int | None, typer.Option(help="training documents")] = None,
    revision: Annotated[str | None, typer.Option()] = None,
    dtype: Annotated[str, typer.Option()] = "float32",
    device: Annotated[str | None, typer.Option()] = None,
    batch_size: Annotated[int, typer.Option("--batch_size")] = 16,
    seed: Annotated[int, typer.Option()] = 0,
    chat: Annotated[bool, typer.Option("--apply_chat_template", help="encode prompts as chat turns")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust_remote_code")] = False,
    option: Annotated[list[str] | None, typer.Option(help="of the method, name=value; may be repeated")] = None,
) -> None:
    """Fit and calibrate length predictors on a frozen backbone."""
    from eosbench import embedded
    from eosbench.fitting.data import load_examples, split_calibration
    from eosbench.fitting.fit import FitJob, fit_all
    from eosbench.sweep import chosen_methods
    from model_adapters import load_backbone

    methods = chosen_methods(method)
    folder = str(embedded.MODEL) if pretrained == embedded.NAME else pretrained
    backbone = load_backbone(folder, device=device or "cpu", dtype=dtype, revision=revision, trust_remote_code=trust_remote_code)
    train = load_examples(data, backbone, limit=limit, chat=chat)
    if calibration is not None:
        held_out = load_examples(calibration, backbone, chat=chat)
    else:
        train, held_out = split_calibration(train)
    options = _key_values(",".join(option or []))
    jobs = [FitJob(name, output / name if len(methods) > 1 else output, options) for name in methods]
    reports = fit_all(
        jobs, backbone=backbone, train=train, calibration=held_out, canvas=canvas, seed=seed, backbone_batch_size=batch_size
    )
    table = Table(title="fitted", title_justify="left")
    for heading in ("method", "folder", *(f"rmse at u={fraction:g}" for fraction in reports[0].rmse)):
        table.add_column(heading)
    for report in reports:
        table.add_row(report.method, str(report.output), *(f"{error:.1f}" for error in report.rmse.values()))
    console.print(table)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="folder with lm-eval results, searched with everything below it")],
    output: Annotated[Path, typer.Option(help="where tables, figures and index.html go")] = Path("reports"),
) -> None:
    """Tables, figures and one self-contained page from lm-eval's own output files."""
    from eosbench.report import write_report

    summary = write_report(results, output)
    for skipped in summary.skipped:
        errors.print(f"skipped {skipped.path}: {skipped.reason}", style="yellow", markup=False, highlight=False)
    console.print(f"{summary.runs} runs, {summary.documents} documents: {summary.page}", highlight=False)


@app.command()
def check(
    results: Annotated[Path, typer.Argument(help="folder with lm-eval results")],
    baseline: Annotated[Path, typer.Option(help="JSON file to compare with")],
    update: Annotated[bool, typer.Option("--update", help="write the baseline from the results instead")] = False,
    junit: Annotated[Path | None, typer.Option(help="also write JUnit XML here")] = None,
) -> None:
    """Compare metrics with a committed baseline: exit 0 fine, 1 regression, 2 cannot compare."""
    from eosbench.outcomes import print_outcome
    from eosbench.regression import check_results

    outcome = check_results(results, baseline, update=update, junit=junit)
    print_outcome(outcome, console)
    raise typer.Exit(outcome.exit_code)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _key_values(text: str) -> dict[str, Any]:
    """`name=value` pairs with commas, values as YAML reads them.

    Raises:
        ConfigurationError: a piece that is no such pair.
    """
    pairs = [pair.partition("=") for pair in _names(text)]
    broken = [name for name, equals, _ in pairs if not equals]
    if broken:
        raise ConfigurationError(f"{', '.join(broken)}: expected name=value")
    return _typed({name: value for name, _, value in pairs})


def _typed(options: dict[str, str]) -> dict[str, Any]:
    """Option values as YAML reads them: numbers, true and false, text."""
    import yaml

    return {name: yaml.safe_load(value) for name, value in options.items()}


def _sweep_table(results: dict[str, dict[str, Any]]) -> Table:
    """Method by task: the first metric of each task, with its standard error."""
    tasks = sorted({task for outcome in results.values() for task in outcome["results"]})
    table = Table(title="sweep", title_justify="left")
    table.add_column("method")
    for task in tasks:
        table.add_column(task, justify="right")
    for method, outcome in results.items():
        table.add_row(method, *(_headline(outcome["results"].get(task, {})) for task in tasks))
    return table


def _headline(metrics: dict[str, Any]) -> str:
    for name, value in metrics.items():
        metric, _, filter_name = name.partition(",")
        if filter_name and isinstance(value, float) and not metric.endswith("_stderr"):
            error = metrics.get(f"{metric}_stderr,{filter_name}")
            spread = f" ± {error:.3f}" if isinstance(error, float) else ""
            return f"{metric} {value:.3f}{spread}"
    return "-"
