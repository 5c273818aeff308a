"""The report's tables: rows of cells, and how they are printed.

A cell is a `Score` (value, 95 % interval, count of documents it is over) and is absent where
nothing was measured; its column says how it is printed, so that the page, Markdown, CSV and
LaTeX agree. NaN is "not defined here": a dash with its count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from eosbench.metrics import wilson
from eosbench.report.columns import Column
from eosbench.results import Run, Score

BELOW = "†"  # marks a coverage whose whole interval lies under what calibration promises


@dataclass(frozen=True)
class Row:
    """One line of a table.

    What does not apply is None: a run without bound tasks has no benchmark and no fraction.

    Attributes:
        cells: keyed by the column's key.
        documents: the number of documents.
        censored: how many of them have an answer longer than the canvas.
    """

    run: Run
    cells: dict[str, Score]
    documents: int = 0
    censored: int = 0
    benchmark: str | None = None
    fraction: float | None = None
    task: str | None = None
    family: str | None = None


@dataclass(frozen=True)
class Table:
    """Columns, and rows of cells in the order in which they are shown."""

    columns: tuple[Column, ...]
    rows: list[Row]

    def at(self, benchmark: str | None, fraction: float | None) -> Table:
        """The headline of one benchmark and fraction, with the runs that predict no bound."""
        place = (benchmark, fraction)
        chosen = [
            row
            for row in self.rows
            if row.benchmark is None or (row.benchmark, row.fraction) == place
        ]
        return Table(self.columns, chosen).headline()

    def headline(self) -> Table:
        """The table with its main columns alone."""
        return Table(tuple(column for column in self.columns if column.main), self.rows)

    def used(self) -> Table:
        """The table without the columns that no row has."""
        keys: set[str] = set()
        for row in self.rows:
            keys.update(row.cells)
        return Table(tuple(column for column in self.columns if column.key in keys), self.rows)

    @property
    def benchmarks(self) -> list[str]:
        """The names of all benchmarks, from the shortest on."""
        names = {row.benchmark for row in self.rows if row.benchmark is not None}
        return sorted(names, key=lambda name: (len(name), name))

    def fractions(self, benchmark: str) -> list[float]:
        """The unmasked fractions of one benchmark, from the least on."""
        own = [row.fraction for row in self.rows if row.benchmark == benchmark]
        return sorted({fraction for fraction in own if fraction is not None})


def text(row: Row, column: Column) -> str:
    """A cell as it is printed: "95.3 [93.8, 96.4]", or "95.3 ± 0.4 [93.8, 96.4]" across seeds.

    It is "– (0/200)" where no document defines the metric, and a bare dash where nothing was
    measured.
    """
    score = row.cells.get(column.key)
    if score is None:
        return "–"
    if math.isnan(score.value):
        return f"– (0/{row.documents})"
    low, high = interval(score, column)
    printed = column.printed(score.value)
    if below_promise(row, column):
        printed += BELOW
    if not math.isnan(score.spread):
        printed += f" ± {column.printed(score.spread)}"
    if not math.isnan(low):
        printed += f" [{column.printed(low)}, {column.printed(high)}]"
    return printed


def below_promise(row: Row, column: Column) -> bool:
    """Whether the whole interval of a calibrated run's coverage lies under the promised share."""
    score = row.cells.get(column.key)
    if column.key != "coverage" or score is None or row.run.promise is None:
        return False
    return interval(score, column)[1] < row.run.promise


def interval(score: Score, column: Column) -> tuple[float, float]:
    """The ends of the 95 % interval, NaN if unknown.

    It is Wilson's for shares of documents, else the resampled one, else a normal approximation. A
    mean over seeds brings its own.
    """
    if column.share and score.count and math.isnan(score.spread):
        return wilson(score.value, score.count)
    if not math.isnan(score.low):
        return score.low, score.high
    low, high = score.value - 1.96 * score.stderr, score.value + 1.96 * score.stderr
    return low if column.signed or math.isnan(low) else max(low, 0.0), high


def heads(table: Table) -> list[str]:
    """The headings of a table, for the cells of `texts`."""
    where = [heading for heading, _ in places(table)]
    return ["method", *where, *(column.title for column in table.columns), "n"]


def texts(table: Table) -> list[list[str]]:
    """The lines of a table as printed: the run, its place, the cells, the number of documents."""
    where = places(table)
    lines: list[list[str]] = []
    for row in table.rows:
        line = [row.run.name]
        line += [place(row) for _, place in where]
        line += [text(row, column) for column in table.columns]
        lines.append([*line, str(row.documents)])
    return lines


def places(table: Table) -> list[tuple[str, Callable[[Row], str]]]:
    """The columns between a run and its numbers: heading, and a row's text under it.

    They tell the rows of one run apart. The attention of the model stands there only where some
    model has another than the full one.
    """
    rows = table.rows
    found: list[tuple[str, Callable[[Row], str]]] = []
    if any(row.run.attention not in (None, "full") for row in rows):
        found.append(("attention", lambda row: row.run.attention or "–"))
    if any(row.task for row in rows):
        found.append(("task", lambda row: row.task or "–"))
    elif len({row.benchmark for row in rows if row.benchmark}) > 1:
        found.append(("benchmark", lambda row: row.benchmark or "–"))
    if any(row.family is not None for row in rows):
        found.append(("family", lambda row: row.family or "–"))
    elif not any(row.task for row in rows):
        found.append(
            ("unmasked %", lambda row: "–" if row.fraction is None else f"{row.fraction * 100:.0f}")
        )
    return found
