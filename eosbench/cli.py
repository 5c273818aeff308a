"""The command line. Each command is a page of options around one function; what is heavy is imported when a command runs."""

from __future__ import annotations

import logging
from functools import partial
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


# Options that lm-eval has too are spelled as there.
BatchSize = Annotated[int | None, typer.Option("--batch_size", min=1, help="Prompts per forward pass. No result depends on it.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps. By default cuda where there is a GPU, else cpu.")]
ChatTemplate = Annotated[bool, typer.Option("--apply_chat_template", help="Put each prompt into the model's chat template.")]


@app.command()
def sweep(
    methods: Annotated[str, typer.Option(help="all, five, or names with commas.")] = "five",
    tasks: Annotated[str, typer.Option(help="Tasks that lm-eval knows, with commas.")] = "eos_upper_bound",
    output_path: Annotated[Path, typer.Option("--output_path", help="One folder per method is written here.")] = Path("results"),
    model_args: Annotated[
        str, typer.Option("--model_args", help="Of varlen_dlm, as lm_eval takes them: pretrained=...,dtype=...")
    ] = "",
    predictors: Annotated[Path | None, typer.Option(help="Folder with one fitted predictor per method (eosbench fit).")] = None,
    limit: Annotated[float | None, typer.Option(min=0, help="Documents per task, or below 1 a share of them.")] = None,
    batch_size: BatchSize = None,
    device: Device = None,
    num_fewshot: Annotated[int | None, typer.Option("--num_fewshot", min=0, help="Examples in the prompt.")] = None,
    apply_chat_template: ChatTemplate = False,
    metadata: Annotated[str, typer.Option(help="For the tasks' data sets: split=calibration.")] = "",
    log_samples: Annotated[
        bool, typer.Option("--log_samples/--no_log_samples", help="Write a record per document (the report's figures need it).")
    ] = True,
) -> None:
    """Several methods through lm-eval in one process: one backbone, one shared first forward pass, one result set per method."""
    from eosbench import sweep as sweeping

    results = sweeping.sweep(
        sweeping.chosen_methods(methods),
        _names(tasks),
        output_path,
        model_args=model_args,
        predictors=predictors,
        batch_size=batch_size,
        device=device,
        metadata=_key_values(_names(metadata)),
        limit=int(limit) if limit is not None and limit >= 1 else limit,
        num_fewshot=num_fewshot,
        apply_chat_template=apply_chat_template,
        log_samples=log_samples,
    )
    if results:
        console.print(_sweep_table(results))
        console.print(f"Results in {output_path}. Next: eosbench report {output_path}", highlight=False, soft_wrap=True)


@app.command()
def fit(
    method: Annotated[str, typer.Option(help="all (that can be fitted), five, or names with commas.")],
    output: Annotated[Path, typer.Option(help="Folder of the predictor; of several methods, the folder of their folders.")],
    pretrained: Annotated[str, typer.Option(help="Folder or hub id of the diffusion language model, or embedded.")] = "embedded",
    data: Annotated[
        str, typer.Option(help="A .jsonl or .csv file, or instruct:SPLIT of the embedded benchmark.")
    ] = "instruct:train",
    calibration: Annotated[
        str | None, typer.Option(help="As --data, for the calibration. By default a fifth of --data is held out for it.")
    ] = None,
    prompt_column: Annotated[str, typer.Option("--prompt_column", help="Where a file has the prompts.")] = "prompt",
    response_column: Annotated[str, typer.Option("--response_column", help="Where a file has the answers.")] = "response",
    canvas: Annotated[
        int, typer.Option(min=1, help="Tokens an answer may have: max_gen_toks of the evaluation. Longer ones are left out.")
    ] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first documents of --data only.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="Of the method, name=value. May be repeated.")] = None,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Annotated[str, typer.Option(help="Of the model's weights: float32, bfloat16, float16 or auto.")] = "float32",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    seed: Annotated[int, typer.Option(help="Of revealed tokens, weights and training.")] = 0,
    apply_chat_template: ChatTemplate = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust_remote_code", help="Let the checkpoint's own tokenizer code run.")
    ] = False,
) -> None:
    """Fit and calibrate length predictors on a frozen model; all methods share their passes over it."""
    from eosbench import embedded
    from eosbench.fitting.data import load_examples, split_calibration
    from eosbench.fitting.fit import FitJob, fit_all
    from eosbench.predictors import METHODS, method_class
    from eosbench.sweep import chosen_methods
    from model_adapters import load_backbone
    from model_adapters.processes import Processes

    methods = [name for name in chosen_methods(method, list(METHODS)) if method != "all" or method_class(name).fitting != "none"]
    jobs = [FitJob(name, output / name if len(methods) > 1 else output, _key_values(option or [])) for name in methods]
    folder = str(embedded.MODEL) if pretrained == embedded.NAME else pretrained
    backbone = load_backbone(
        folder, device=Processes(device).device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
    )
    if canvas >= backbone.spec.max_length:
        raise ConfigurationError(
            f"--canvas {canvas} leaves no room for a prompt: the model has {backbone.spec.max_length} positions"
        )
    load = partial(
        load_examples, backbone=backbone, chat=apply_chat_template, prompt_column=prompt_column, response_column=response_column
    )
    train = load(data, limit=limit)
    if calibration is None:
        train, held_out = split_calibration(train)
    else:
        held_out = load(calibration)
    reports = fit_all(
        jobs, backbone=backbone, train=train, calibration=held_out, canvas=canvas, seed=seed, backbone_batch_size=batch_size or 16
    )
    table = Table(title="fitted", title_justify="left")
    for heading in ("method", "folder", *(f"rmse at u={fraction:g}" for fraction in reports[0].rmse)):
        table.add_column(heading, overflow="fold")
    for report in reports:
        table.add_row(report.method, str(report.output), *(f"{error:.1f}" for error in report.rmse.values()))
    console.print(table)
    use = f"pretrained={pretrained},max_gen_toks={canvas},method={reports[0].method},predictor={reports[0].output}"
    console.print(f"Next: lm_eval --model varlen_dlm --model_args {use} --tasks eos_upper_bound", highlight=False, soft_wrap=True)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Folder with lm-eval results, searched with everything below it.")],
    output: Annotated[Path, typer.Option(help="Where tables, figures and index.html go.")] = Path("reports"),
) -> None:
    """Tables, figures and one self-contained page from lm-eval's own output files."""
    from eosbench.report import write_report

    summary = write_report(results, output)
    for skipped in summary.skipped:
        errors.print(f"skipped {skipped.path}: {skipped.reason}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{summary.runs} runs, {summary.documents} documents: {summary.page}", highlight=False, soft_wrap=True)


@app.command()
def check(
    results: Annotated[Path, typer.Argument(help="Folder with lm-eval results.")],
    baseline: Annotated[Path, typer.Option(help="JSON file to compare with.")],
    update: Annotated[bool, typer.Option("--update", help="Write the baseline from the results instead.")] = False,
    paired: Annotated[
        bool, typer.Option("--paired", help="With --update: watch by a paired test over the documents instead of by tolerances.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML here.")] = None,
) -> None:
    """Compare metrics with a committed baseline: exit 0 fine, 1 regression, 2 cannot compare."""
    from eosbench.outcomes import print_outcome
    from eosbench.regression import check_results

    outcome = check_results(results, baseline, update=update, paired=paired, junit=junit)
    print_outcome(outcome, console)
    raise typer.Exit(outcome.exit_code)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _key_values(pairs: list[str]) -> dict[str, Any]:
    """`name=value` pairs; a value is a number, true, false or none where it reads as one, else text.

    Raises:
        ConfigurationError: a piece that is no such pair.
    """
    broken = [pair for pair in pairs if not all(pair.partition("=")[:2])]
    if broken:
        raise ConfigurationError(f"{', '.join(broken)}: expected name=value")
    return {name.strip(): _value(text.strip()) for name, _, text in (pair.partition("=") for pair in pairs)}


def _value(text: str) -> Any:
    """
    >>> [_value(text) for text in ("3", "1e-3", "true", "none", "threshold")]
    [3, 0.001, True, None, 'threshold']
    """
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


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
