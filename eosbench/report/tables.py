"""The report's tables: rows of cells, and how they are printed. comparison.py and significance.py
fill them.

A cell is a `Score` (value, 95 % interval, count of documents it is over) and is absent where
nothing was measured; its column says how it is printed, so that the page, Markdown, CSV and
LaTeX agree. NaN is "not defined here": a dash with its count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from eosbench.metrics import wilson
from eosbench.report.columns import Column
from eosbench.results import Run, Score
from eosbench.strategies import ALL_METHODS

BELOW = "†"  # marks a coverage whose whole interval lies under what calibration promises


@dataclass(frozen=True)
class Row:
    """One line of a table. What does not apply is None: a run without bound tasks has no benchmark
    and no fraction.
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
    columns: tuple[Column, ...]
    rows: list[Row]

    def at(self, benchmark: str | None, fraction: float | None) -> Table:
        """The rows of one benchmark and fraction, with those of runs that predict no bound
        (baselines).
        """
        chosen = [
            row
            for row in self.rows
            if row.benchmark is None or (row.benchmark, row.fraction) == (benchmark, fraction)
        ]
        return Table(self.columns, chosen).headline()

    def headline(self) -> Table:
        """With the main columns alone."""
        return Table(tuple(column for column in self.columns if column.main), self.rows)

    def used(self) -> Table:
        """Without the columns that no row has."""
        return Table(
            tuple(
                column
                for column in self.columns
                if any(column.key in row.cells for row in self.rows)
            ),
            self.rows,
        )

    @property
    def benchmarks(self) -> list[str]:
        return sorted(
            {row.benchmark for row in self.rows if row.benchmark is not None},
            key=lambda name: (len(name), name),
        )

    def fractions(self, benchmark: str) -> list[float]:
        return sorted(
            {
                row.fraction
                for row in self.rows
                if row.benchmark == benchmark and row.fraction is not None
            }
        )


def in_order(runs: Iterable[Run]) -> list[Run]:
    """By the order of their methods' rows, then methods without a row by name, other models last."""
    place = {method: row.order for method, row in ALL_METHODS.items()}

    def key(run: Run) -> tuple[bool, float, str]:
        return run.settings is None, place.get(run.method or "", math.inf), run.name

    return sorted(runs, key=key)


def text(row: Row, column: Column) -> str:
    """A cell in words: "95.3 [93.8, 96.4]", "95.3 ± 0.4 [93.8, 96.4]" across seeds; "– (0/200)"
    where no document defines it; a
    bare dash where nothing was measured."""
    score = row.cells.get(column.key)
    if score is None:
        return "–"
    if math.isnan(score.value):
        return f"– (0/{row.documents})"
    scale = 100 if column.percent else 1
    low, high = interval(score, column)
    mark = BELOW if below_promise(row, column) else ""
    value = f"{score.value * scale:.{column.digits}f}{mark}"
    if not math.isnan(score.spread):
        value += f" ± {score.spread * scale:.{column.digits}f}"
    return (
        value
        if math.isnan(low)
        else f"{value} [{low * scale:.{column.digits}f}, {high * scale:.{column.digits}f}]"
    )


def below_promise(row: Row, column: Column) -> bool:
    """Whether the whole interval of a calibrated run's coverage lies under the promised share."""
    score = row.cells.get(column.key)
    if column.key != "coverage" or score is None or row.run.promise is None:
        return False
    return interval(score, column)[1] < row.run.promise


def interval(score: Score, column: Column) -> tuple[float, float]:
    """The 95 % interval: Wilson's for shares of documents, the resampled one, else a normal
    approximation; NaN if unknown.
    """
    if column.share and score.count:
        return wilson(score.value, score.count)
    if not math.isnan(score.low):
        return score.low, score.high
    low, high = score.value - 1.96 * score.stderr, score.value + 1.96 * score.stderr
    return low if column.signed or math.isnan(low) else max(low, 0.0), high


def heads(table: Table) -> list[str]:
    return [
        "method",
        *(name for name, _ in places(table)),
        *(column.title for column in table.columns),
        "n",
    ]


def texts(table: Table) -> list[list[str]]:
    """The cells of a table as they are printed, first the run and what it ran on, last the number
    of documents.
    """
    where = places(table)
    return [
        [
            row.run.name,
            *(place(row) for _, place in where),
            *(text(row, column) for column in table.columns),
            str(row.documents),
        ]
        for row in table.rows
    ]


def flat(table: Table) -> list[dict[str, Any]]:
    """Rows for the CSV file: every number in full, with its interval, standard error and count in
    columns of their own.
    """
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {
            "run": row.run.name,
            "method": row.run.method,
            "backbone": row.run.backbone,
        }
        line |= {
            "benchmark": row.benchmark,
            "fraction": row.fraction,
            "task": row.task,
            "family": row.family,
        }
        line |= {"documents": row.documents, "censored": row.censored}
        for column in table.columns:
            score = row.cells.get(column.key, Score(math.nan))
            low, high = interval(score, column)
            name = column.key.removeprefix("quality:")
            line |= {name: score.value, f"{name}_low": low, f"{name}_high": high}
            line |= {f"{name}_stderr": score.stderr, f"{name}_n": score.count}
            if column.key == "coverage":
                line["below_promise"] = below_promise(row, column)
        lines.append(line)
    return lines


def places(table: Table) -> list[tuple[str, Callable[[Row], str]]]:
    """What tells the rows of one run apart: heading, and the row's text."""
    rows = table.rows
    found: list[tuple[str, Callable[[Row], str]]] = []
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
