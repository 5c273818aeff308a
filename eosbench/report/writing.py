"""The writing of a whole report: tables, figures and the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eosbench.places import check_folder, writing
from eosbench.report.answers import make_answers
from eosbench.report.contents import make_tables
from eosbench.report.evidence import Evidence
from eosbench.report.exports import write_tables
from eosbench.report.figures import Drawing, drawings
from eosbench.report.page import render_page
from eosbench.results import Skipped, read_documents, scan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


@dataclass(frozen=True)
class ReportSummary:
    """The outcome of writing a report.

    Attributes:
        page: the page, which is the last of `files`.
        files: in the order written.
        runs: how many there are.
        documents: how many rows of a run, a task and a document were read.
        skipped: what was found and could not be used.
    """

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
        ConfigurationError: `output` cannot be written.
    """
    results, output = Path(results), Path(output)
    said = f"--output {output}"
    check_folder(output, said)
    with writing(said), _progress(console) as progress:
        step = progress.add_task("finding results", total=None)
        found = scan(results)
        logged = 0
        for run in found.runs:
            logged += sum(task.samples is not None for task in run.tasks.values())
        progress.reset(step, description="reading samples", total=logged)
        documents, unread = read_documents(
            found.runs, lambda: progress.advance(step), workers=workers
        )
        progress.reset(step, description="comparing runs", total=None)
        evidence = Evidence.of(found.runs, documents)
        tables = make_tables(evidence)
        answers = make_answers(evidence, tables, results)
        (output / "figures").mkdir(parents=True, exist_ok=True)
        files = write_tables(output, tables, answers)
        figures = drawings(evidence, tables)
        progress.reset(step, description="drawing figures", total=len(figures))
        pictures: list[tuple[Drawing, bytes]] = []
        for drawing in figures:
            svg, png = drawing.render()
            pictures.append((drawing, svg))
            for ending, content in (("svg", svg), ("png", png)):
                path = output / "figures" / f"{drawing.name}.{ending}"
                path.write_bytes(content)
                files.append(path)
            progress.advance(step)
        skipped = [*found.skipped, *unread]
        page = output / "index.html"
        text = render_page(evidence, tables, answers, pictures, skipped, results.name)
        page.write_text(text, encoding="utf-8")
    return ReportSummary(page, [*files, page], len(found.runs), len(documents), skipped)


def _progress(console: Console | None) -> Progress:
    """A progress bar that leaves nothing behind."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = console or Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
