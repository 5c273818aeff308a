"""`python -m benchmarks`: one table of ratios, each with its spread over alternating runs."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.measure import Row, Setup

BENCHMARKS = {
    "decoding": "benchmarks.decoding:one_prompt",
    "batching": "benchmarks.decoding:batch",
    "kept_keys": "benchmarks.decoding:kept_keys",
    "likelihood": "benchmarks.likelihood:multiple_choice",
    "choices": "benchmarks.choices:public_rows",
    "overhead": "benchmarks.overhead:beside_the_model",
    "memory": "benchmarks.memory:requests",
    "threads": "benchmarks.threads:bounded",
    "sweep": "benchmarks.sweep:five_methods",
    "windows": "benchmarks.windows:windows",
    "rivals": "benchmarks.rivals:daedal",
    "startup": "benchmarks.startup:commands",
}
COLUMNS = ("benchmark", "time of / time of", "on", "ratio", "min to max", "found")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    only: Annotated[
        str, typer.Option(help=f"some of {', '.join(BENCHMARKS)}, with commas")
    ] = ",".join(BENCHMARKS),
    runs: Annotated[int, typer.Option(min=1, help="rounds; each runs both sides")] = 5,
    documents: Annotated[
        int,
        typer.Option(min=1, help="windows, rivals: of each of the eight families, in every round"),
    ] = 1,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="small shapes: shows that it works, its ratios mean nothing"),
    ] = False,
    pretrained: Annotated[
        str, typer.Option(help="the small trained model: embedded, a folder or a hub id")
    ] = "embedded",
    predictors: Annotated[
        Path | None, typer.Option(help="fitted predictors of --pretrained, one folder per method")
    ] = None,
    canvas: Annotated[int, typer.Option(help="C, which --predictors were fitted for")] = 256,
    method: Annotated[
        str, typer.Option(help="the one length predictor where one is enough")
    ] = "classification",
    output: Annotated[
        Path | None, typer.Option(help="also write the table as Markdown here")
    ] = None,
) -> None:
    """Speed as ratios: both sides run in turn, the ratio is the median over the rounds."""
    setup = Setup(pretrained, predictors, canvas, method, runs, quick, documents)
    rows = _run_all(_asked(only), setup)
    Console().print(_table(rows))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(markdown(rows), encoding="utf-8")


def _asked(only: str) -> list[str]:
    """The names of an option, checked."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise typer.BadParameter(
            f"no benchmark {', '.join(unknown)}: expected some of {', '.join(BENCHMARKS)}"
        )
    return names


def _run_all(names: Sequence[str], setup: Setup) -> list[Row]:
    """The rows of all benchmarks, with a progress bar for each while it runs."""
    rows: list[Row] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for name in names:
            rows += run(name, setup.watched_by(progress, progress.add_task(name, total=None)))
    return rows


def run(name: str, setup: Setup) -> list[Row]:
    """The rows of one benchmark, whose module is imported now."""
    module, function = BENCHMARKS[name].split(":")
    rows: list[Row] = getattr(importlib.import_module(module), function)(setup)
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = [COLUMNS, ("---", "---", "---", "---:", "---:", "---"), *map(_cells, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title="eosbench: ratios of times", title_justify="left")
    for column in COLUMNS:
        right = column in ("ratio", "min to max")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.slow} / {row.fast}",
        row.shapes,
        f"{row.median:.2f}",
        row.spread,
        row.found,
    )


if __name__ == "__main__":
    app()
