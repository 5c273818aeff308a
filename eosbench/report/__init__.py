"""`eosbench report`: a results folder in, tables, figures and one self-contained page out.

    from eosbench.report import write_report
    write_report("results", "reports")  # reports/index.html, comparison.{md,csv,tex}, ..., figures/*.{svg,png}

comparison.py, significance.py and seeds.py decide the numbers (statistics.py: what chance may have
done; curves.py: areas), figures.py and page.py show them. Nothing here imports torch or lm_eval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eosbench.results import Run, Skipped, read_documents, scan

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from eosbench.report.exports import Tables

__all__ = ["ReportSummary", "make_tables", "write_report"]


@dataclass(frozen=True)
class ReportSummary:
    """What was written and read: `files` in the order written, `page` among them."""

    page: Path
    files: list[Path]
    runs: int
    documents: int
    skipped: list[Skipped]


def write_report(
    results: str | Path, output: str | Path, *, console: Console | None = None, workers: int = 1
) -> ReportSummary:
    """Writes the whole report of `results` into `output`, replacing an earlier one file by file.

    Args:
        results: a folder as lm-eval writes it, searched with everything below it.
        output: made if it is not there.
        console: where progress is shown; standard error by default, and only on a terminal.
        workers: processes that read samples, as `eosbench.results.read_documents` takes them.

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from eosbench.report.exports import write_tables
    from eosbench.report.figures.drawings import drawings
    from eosbench.report.page.page import render_page

    results, output = Path(results), Path(output)
    console = console or Console(stderr=True)
    bars = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *bars, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        step = progress.add_task("finding results", total=None)
        found = scan(results)
        logged = sum(task.samples is not None for run in found.runs for task in run.tasks.values())
        progress.reset(step, description="reading samples", total=logged)
        documents, unread = read_documents(
            found.runs, lambda: progress.advance(step), workers=workers
        )
        progress.reset(step, description="comparing runs", total=None)
        tables = make_tables(found.runs, documents)
        (output / "figures").mkdir(parents=True, exist_ok=True)
        files = write_tables(output, tables)
        figures = drawings(tables.comparison, tables.generation, documents)
        progress.reset(step, description="drawing figures", total=len(figures))
        pictures = []
        for drawing in figures:
            svg, png = drawing.render()
            for form, content in (("svg", svg), ("png", png)):
                path = output / "figures" / f"{drawing.name}.{form}"
                path.write_bytes(content)
                files.append(path)
            pictures.append((drawing, svg))
            progress.advance(step)
        skipped = [*found.skipped, *unread]
        page = output / "index.html"
        page.write_text(
            render_page(found.runs, tables, documents, pictures, skipped, results), encoding="utf-8"
        )
    return ReportSummary(page, [*files, page], len(found.runs), len(documents), skipped)


def make_tables(runs: Sequence[Run], documents: pd.DataFrame) -> Tables:
    """Every table of a report, from runs and the documents that they logged."""
    from eosbench.report.comparison import compare, costs, families
    from eosbench.report.curves import coverage_area
    from eosbench.report.exports import Tables
    from eosbench.report.seeds import across_seeds
    from eosbench.report.significance import compare_pairs, rank_table

    if "coverage" in documents:  # some bound task logged its documents
        documents = documents.assign(
            area=coverage_area(documents["coverage"], documents["compute_ratio"])
        )
    comparison = compare(runs, documents)
    by_family = {
        benchmark: families(runs, documents, benchmark, comparison.fractions(benchmark)[0])
        for benchmark in comparison.benchmarks
    }
    pairs = compare_pairs(runs, documents)
    return Tables(
        comparison,
        {benchmark: table for benchmark, table in by_family.items() if table.rows},
        costs(runs, documents),
        rank_table(runs, pairs),
        pairs,
        across_seeds(runs, comparison, documents),
    )
