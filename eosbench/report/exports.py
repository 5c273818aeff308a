"""The report's tables as files: Markdown for people, CSV for programs, LaTeX (booktabs) for papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eosbench.report.seeds import flat_seeds
from eosbench.report.significance import Pair
from eosbench.report.tables import BELOW, Table, flat, heads, texts

BOUND_NOTE = f"{BELOW} the whole 95 % interval of the coverage lies under the share that calibration promises."


@dataclass(frozen=True)
class Tables:
    """Every table of a report. `families` is keyed by a benchmark's name; `seeds` is empty where no
    method has several.
    """

    comparison: Table
    families: dict[str, Table]
    generation: Table
    ranks: Table
    pairs: Sequence[Pair]
    seeds: Table


def write_tables(output: Path, tables: Tables) -> list[Path]:
    """Writes comparison.{md,tex,csv} and, where there is something to tell, families.csv,
    generation.csv, pairs.csv and
    seeds.csv."""
    import pandas as pd

    sections = _sections(tables)
    files = {
        "comparison.md": "\n".join(
            f"## {title}\n\n{markdown(table)}{_note(table)}" for title, table in sections
        ),
        "comparison.csv": pd.DataFrame(flat(tables.comparison)).to_csv(
            index=False, lineterminator="\n"
        ),
        "comparison.tex": "\n".join(f"% {title}\n{latex(table)}" for title, table in sections),
    }
    extra = {
        "families.csv": [line for table in tables.families.values() for line in flat(table)],
        "generation.csv": flat(tables.generation),
        "pairs.csv": [vars(pair) for pair in tables.pairs],
        "seeds.csv": flat_seeds(tables.seeds),
    }
    files |= {
        name: pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")
        for name, lines in extra.items()
        if lines
    }
    for name, content in files.items():
        (output / name).write_text(content, encoding="utf-8")
    return [output / name for name in files]


def markdown(table: Table) -> str:
    """A pipe table; what a name holds of Markdown or HTML is shown, not interpreted."""
    head, *lines = [[_plain(cell) for cell in line] for line in (heads(table), *texts(table))]
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


def latex(table: Table) -> str:
    """A tabular for the booktabs package."""
    import pandas as pd

    frame = pd.DataFrame(texts(table), columns=heads(table))
    text = frame.to_latex(
        index=False, escape=True, column_format="l" + "r" * (len(frame.columns) - 1)
    )
    return (
        text.replace(BELOW, r"\textsuperscript{\dag}")
        .replace("–", "--")
        .replace("±", r"$\pm$")
        .replace("[", "{[}")
    )


def _sections(tables: Tables) -> list[tuple[str, Table]]:
    """Per benchmark the headline table (the least unmasked fraction), every fraction, every family;
    then what compares runs.
    """
    comparison, sections = tables.comparison, []
    for benchmark in comparison.benchmarks:
        fractions = comparison.fractions(benchmark)
        sections.append(
            (
                f"{benchmark}, {fractions[0]:.0%} unmasked",
                comparison.at(benchmark, fractions[0]).used(),
            )
        )
        every = [row for row in comparison.rows if row.benchmark == benchmark]
        bounds = tuple(
            column
            for column in comparison.columns
            if not column.key.startswith(("quality:", "seconds"))
        )
        sections.append((f"{benchmark}, every unmasked fraction", Table(bounds, every).used()))
        if benchmark in tables.families:
            sections.append(
                (
                    f"{benchmark}, by data family, {fractions[0]:.0%} unmasked",
                    tables.families[benchmark],
                )
            )
    if tables.seeds.rows:
        sections += [
            (f"{name}, across seeds".removeprefix(", "), table)
            for name, table in _by_benchmark(tables.seeds)
        ]
    if len(comparison.benchmarks) > 1:
        least = {
            benchmark: comparison.fractions(benchmark)[0] for benchmark in comparison.benchmarks
        }
        rows = [
            row for row in comparison.rows if row.benchmark and row.fraction == least[row.benchmark]
        ]
        keys = ("coverage", "overshoot", "compute_ratio", "area")
        every_task = Table(
            tuple(column for column in comparison.columns if column.key in keys), rows
        )
        sections.append(("every bound task, at its least unmasked fraction", every_task.used()))
    if tables.generation.rows:
        sections.append(("generation: quality and cost per answer", tables.generation))
    if tables.ranks.rows:
        sections.append(("ranks, where differences are significant", tables.ranks))
    return sections


def _by_benchmark(table: Table) -> list[tuple[str, Table]]:
    """The headline columns of each benchmark's rows, with those of runs that predict no bound."""
    chosen = {
        name: [row for row in table.rows if row.benchmark in (name, None)]
        for name in table.benchmarks
    }
    return [
        (name, Table(table.columns, rows).headline().used())
        for name, rows in (chosen or {"": table.rows}).items()
    ]


def _note(table: Table) -> str:
    return (
        f"\n{BOUND_NOTE}\n" if any(BELOW in cell for line in texts(table) for cell in line) else ""
    )


def _plain(cell: str) -> str:
    for character in "\\`*_<>|[]":
        cell = cell.replace(
            character, f"&#{ord(character)};" if character in "<>|" else f"\\{character}"
        )
    return " ".join(cell.split())
