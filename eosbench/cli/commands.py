"""The commands of the command line, each a page of options around one function.

What is heavy is imported when a command runs.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from eosbench.cli.fit import fit
from eosbench.cli.generate import generate
from eosbench.cli.listing import complete_methods, families, methods, versions
from eosbench.cli.shared import (
    BatchSize,
    ChatTemplate,
    Device,
    canvas_views,
    console,
    errors,
    key_values,
    names,
    numbers,
)
from eosbench.cli.train import train
from eosbench.command_lines import command_line
from eosbench.errors import EosbenchError
from eosbench.openmp import let_threads_sleep

app = typer.Typer(
    help="How long must the canvas of a diffusion language model be? "
    "Fit, compare and check length predictors.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point: an error raised on purpose is one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    let_threads_sleep()
    try:
        app(prog_name="eosbench")
    except EosbenchError as error:
        errors.print(
            f"eosbench: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        raise SystemExit(2) from error


def _version(wanted: bool) -> None:
    """Prints the versions and leaves."""
    if wanted:
        console.print(versions(), highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the versions of eosbench, lm-eval, transformers and torch.",
        ),
    ] = False,
) -> None:
    """Options of the command line itself."""


@app.command(
    help="Several methods through lm-eval in one process: one backbone, one shared first forward "
    "pass, one result set per method."
)
def sweep(
    methods: Annotated[
        str,
        typer.Option(help="all, five, or names with commas.", autocompletion=complete_methods),
    ] = "five",
    tasks: Annotated[
        str, typer.Option(help="Tasks that lm-eval knows, with commas.")
    ] = "eos_upper_bound",
    output_path: Annotated[
        Path, typer.Option("--output_path", help="One folder per method is written here.")
    ] = Path("results"),
    model_args: Annotated[
        str,
        typer.Option(
            "--model_args", help="Of varlen_dlm, as lm_eval takes them: pretrained=...,dtype=..."
        ),
    ] = "",
    predictors: Annotated[
        Path | None,
        typer.Option(
            help="Folder with a fitted predictor per method, and per part of the canvas "
            "(eosbench fit)."
        ),
    ] = None,
    alpha: Annotated[
        str,
        typer.Option(
            help="Levels with commas, for curves: each method that can be calibrated "
            "runs at each of them."
        ),
    ] = "",
    tau: Annotated[
        str,
        typer.Option(
            help="Thresholds with commas: logit, smartcrop and classification "
            "also run at each, uncalibrated."
        ),
    ] = "",
    quantile: Annotated[
        str, typer.Option(help="Quantiles with commas: logit also runs at each, uncalibrated.")
    ] = "",
    step_zero: Annotated[
        str,
        typer.Option(
            "--step_zero",
            help="Parts of the canvas with commas (full,grid:31): methods that read the model run "
            "at each that they have a predictor for.",
        ),
    ] = "",
    limit: Annotated[
        float | None, typer.Option(min=0, help="Documents per task, or below 1 a share of them.")
    ] = None,
    batch_size: BatchSize = None,
    device: Device = None,
    num_fewshot: Annotated[
        int | None, typer.Option("--num_fewshot", min=0, help="Examples in the prompt.")
    ] = None,
    apply_chat_template: ChatTemplate = False,
    metadata: Annotated[
        str, typer.Option(help="For the tasks' data sets: split=calibration.")
    ] = "",
    log_samples: Annotated[
        bool,
        typer.Option(
            "--log_samples/--no_log_samples",
            help="Write a record per document (the report's figures need it).",
        ),
    ] = True,
) -> None:
    """Runs `eosbench.sweep.sweep`, and prints its table."""
    from eosbench import sweep as sweeping

    grid = sweeping.Grid(
        alphas=numbers(alpha, "alpha"),
        taus=numbers(tau, "tau"),
        quantiles=numbers(quantile, "quantile"),
        views=canvas_views(step_zero) if step_zero else (),
    )
    results = sweeping.sweep(
        sweeping.chosen_methods(methods),
        names(tasks),
        output_path,
        model_args=model_args,
        predictors=predictors,
        grid=grid,
        batch_size=batch_size,
        device=device,
        metadata=key_values(names(metadata)),
        limit=int(limit) if limit is not None and limit >= 1 else limit,
        num_fewshot=num_fewshot,
        apply_chat_template=apply_chat_template,
        log_samples=log_samples,
    )
    if results:
        console.print(_sweep_table(results))
        command = command_line("eosbench", "report", output_path)
        console.print(
            f"Results in {output_path}. Next: {command}",
            highlight=False,
            soft_wrap=True,
        )


app.command(
    help="Fit and calibrate length predictors on a frozen model; all methods and seeds share their "
    "passes over it."
)(fit)
# What the command does not know is a setting or an argument of transformers' trainer.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)


app.command()(generate)


@app.command()
def report(
    results: Annotated[
        Path, typer.Argument(help="Folder with lm-eval results, searched with everything below it.")
    ],
    output: Annotated[Path, typer.Option(help="Where tables, figures and index.html go.")] = Path(
        "reports"
    ),
) -> None:
    """Tables, figures and one self-contained page from lm-eval's own output files."""
    from eosbench.report import write_report

    # At most: a core each, and only where there is much to read. What is skipped is logged there.
    summary = write_report(results, output, workers=4)
    runs = "1 run" if summary.runs == 1 else f"{summary.runs} runs"
    console.print(
        f"{runs}, {summary.documents} documents: {summary.page}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def check(
    results: Annotated[Path, typer.Argument(help="Folder with lm-eval results.")],
    baseline: Annotated[Path, typer.Option(help="JSON file to compare with.")],
    update: Annotated[
        bool, typer.Option("--update", help="Write the baseline from the results instead.")
    ] = False,
    paired: Annotated[
        bool,
        typer.Option(
            "--paired",
            help="With --update: watch by a paired test over the documents "
            "instead of by tolerances.",
        ),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Also write JUnit XML here.")] = None,
) -> None:
    """Compare metrics with a committed baseline: exit 0 fine, 1 fell, 2 cannot compare."""
    from eosbench.check import check_results, print_outcome

    outcome = check_results(results, baseline, update=update, paired=paired, junit=junit)
    print_outcome(outcome, console)
    raise typer.Exit(outcome.exit_code)


app.command()(methods)
app.command()(families)


def _sweep_table(results: dict[str, dict[str, Any]]) -> Table:
    """Task by task, the first metric of every method that ran it, with its standard error."""
    table = Table(title="sweep", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "method", "metric"):
        table.add_column(heading, overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
    for task in sorted({task for outcome in results.values() for task in outcome["results"]}):
        ran = [
            (method, outcome["results"][task])
            for method, outcome in results.items()
            if task in outcome["results"]
        ]
        for row, (method, metrics) in enumerate(ran):
            table.add_row("" if row else task, method, *_headline(metrics))
        table.add_section()
    return table


def _headline(metrics: dict[str, Any]) -> tuple[str, str]:
    """The first metric of a task and its value, with its standard error where it has one.

    A metric that no document defines is a dash, as in the report.

    >>> _headline({"alias": "u=0", "coverage,none": 0.95, "coverage_stderr,none": 0.01})
    ('coverage', '0.950 ± 0.010')
    >>> _headline({"coverage,none": math.nan, "coverage_stderr,none": math.nan})
    ('coverage', '–')
    """
    for name, value in metrics.items():
        metric, _, filter_name = name.partition(",")
        if filter_name and _is_number(value) and not metric.endswith("_stderr"):
            if math.isnan(value):
                return metric, "–"
            error: Any = metrics.get(f"{metric}_stderr,{filter_name}")
            known = _is_number(error) and not math.isnan(error)
            return metric, f"{value:.3f}" + (f" ± {error:.3f}" if known else "")
    return "", "–"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
