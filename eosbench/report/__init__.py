"""`eosbench report`: a results folder in, tables, figures and one self-contained page out.

    from eosbench.report import write_report
    write_report("results", "reports")  # reports/index.html, comparison.{md,csv,tex}, generation.csv, figures/*.{svg,png}

tables.py decides the numbers, figures.py and page.py show them. Nothing here imports torch or lm_eval.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eosbench.results import Skipped, read_documents, scan

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ReportSummary", "write_report"]


@dataclass(frozen=True)
class ReportSummary:
    """What was written and read: `files` in the order written, `page` among them."""

    page: Path
    files: list[Path]
    runs: int
    documents: int
    skipped: list[Skipped]


def write_report(results: str | Path, output: str | Path, *, console: Console | None = None) -> ReportSummary:
    """Writes the whole report of `results` into `output`, replacing an earlier one file by file.

    Args:
        results: a folder as lm-eval writes it, searched with everything below it.
        output: made if it is not there.
        console: where progress is shown; standard error by default, and only on a terminal.

    Raises:
        ResultsError: there is no such folder, or nothing in it can be read.
    """
    from rich.console import Console
    from rich.progress import Progress

    from eosbench.report.exports import write_tables
    from eosbench.report.figures import drawings
    from eosbench.report.page import render_page
    from eosbench.report.tables import compare, costs

    results, output = Path(results), Path(output)
    console = console or Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        step = progress.add_task("reading results", total=None)
        found = scan(results)
        documents, unread = read_documents(found.runs)
        skipped = [*found.skipped, *unread]
        comparison, generation = compare(found.runs, documents), costs(found.runs)
        (output / "figures").mkdir(parents=True, exist_ok=True)
        files = write_tables(output, comparison, generation)
        figures = drawings(comparison, documents)
        progress.update(step, description="drawing figures", total=2 * len(figures))
        pictures = []
        for drawing in figures:
            for form in ("svg", "png"):
                path = output / "figures" / f"{drawing.name}.{form}"
                path.write_bytes(drawing.render(form))
                files.append(path)
                progress.advance(step)
            pictures.append((drawing, path.with_suffix(".svg").read_bytes()))
        page = output / "index.html"
        page.write_text(render_page(found.runs, comparison, generation, documents, pictures, skipped, results), encoding="utf-8")
    return ReportSummary(page, [*files, page], len(found.runs), len(documents), skipped)
