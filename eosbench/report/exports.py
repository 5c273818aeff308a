"""The report's tables as files: Markdown for people, CSV for programs, LaTeX for papers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eosbench.report.answers import Answers, Sentence
from eosbench.report.contents import Tables
from eosbench.report.tables import BELOW, Row, Table, below_promise, heads, interval, texts
from eosbench.results import Score

BOUND_NOTE = (
    f"{BELOW} the whole 95 % interval of the coverage lies under the share that calibration "
    "promises."
)
MARKDOWN_MARKUP = "\\`*_[]"
HTML_MARKUP = "<>|"
# The columns that say at a glance what each bound task came to.
EVERY_TASK = ("coverage", "overshoot", "compute_ratio", "area")


def write_tables(output: Path, tables: Tables, answers: Sequence[Answers] = ()) -> list[Path]:
    """Writes the tables as files and returns their paths.

    comparison.{md,csv,tex} are always there; families.csv, generation.csv, pairs.csv and seeds.csv
    where there is something to tell.

    Args:
        output: the folder.
        tables: what to write.
        answers: the sentences that stand above the tables of each benchmark in comparison.md.
    """
    sections = _sections(tables)
    above = {_first_title(tables, one): sentences_as_markdown(one.sentences) for one in answers}
    parts = [above[""]] if "" in above else []
    for title, table in sections:
        parts.append(f"## {title}\n\n{above.get(title, '')}{markdown(table)}{_note(table)}")
    files = {
        "comparison.md": "\n".join(parts),
        "comparison.csv": _csv(flat(tables.comparison)),
        "comparison.tex": "\n".join(f"% {title}\n{latex(table)}" for title, table in sections),
    }
    by_family: list[dict[str, Any]] = []
    for table in tables.families.values():
        by_family += flat(table)
    further = {
        "families.csv": by_family,
        "generation.csv": flat(tables.generation),
        "pairs.csv": [vars(pair) for pair in tables.pairs],
        "seeds.csv": flat_seeds(tables.seeds),
    }
    files |= {name: _csv(lines) for name, lines in further.items() if lines}
    for name, content in files.items():
        (output / name).write_text(content, encoding="utf-8")
    return [output / name for name in files]


def sentences_as_markdown(sentences: Sequence[Sentence]) -> str:
    """The sentences as a list; the command that one tells to type is a block of code below it."""
    text = ""
    for sentence in sentences:
        text += f"- {_plain(sentence.text)}\n"
        if sentence.command is not None:
            text += f"\n  ~~~~sh\n  {sentence.command}\n  ~~~~\n\n"
    return f"{text.rstrip()}\n\n" if text else ""


def markdown(table: Table) -> str:
    """A pipe table; what a name holds of Markdown or HTML is shown, not interpreted."""
    rule = ["---", *["---:"] * (len(heads(table)) - 1)]
    lines = [list(map(_plain, line)) for line in (heads(table), *texts(table))]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))


def latex(table: Table) -> str:
    """A tabular for the booktabs package."""
    import pandas as pd

    frame = pd.DataFrame(texts(table), columns=heads(table))
    alignment = "l" + "r" * (len(frame.columns) - 1)
    text = frame.to_latex(index=False, escape=True, column_format=alignment)
    return (
        text.replace(BELOW, r"\textsuperscript{\dag}")
        .replace("–", "--")
        .replace("±", r"$\pm$")
        .replace("[", "{[}")
    )


def flat(table: Table) -> list[dict[str, Any]]:
    """Lines for a CSV file: every number in full.

    The ends of its interval, its standard error and its count have columns of their own.
    """
    lines = []
    for row in table.rows:
        line = _run_of(row)
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


def flat_seeds(table: Table) -> list[dict[str, Any]]:
    """Lines for seeds.csv: how many seeds, and over them each metric's mean and deviation.

    The ends of the mean's interval have columns of their own.
    """
    lines = []
    for row in table.rows:
        line = _run_of(row)
        line |= {"benchmark": row.benchmark, "fraction": row.fraction}
        line |= {"documents": row.documents, "censored": row.censored}
        line["seeds"] = int(row.cells["seeds"].value)
        for column in table.columns[1:]:
            score = row.cells.get(column.key, Score(math.nan))
            name = column.key.removeprefix("quality:")
            line |= {f"{name}_mean": score.value, f"{name}_sd": score.spread}
            line |= {f"{name}_low": score.low, f"{name}_high": score.high}
            if column.key == "coverage":
                line["below_promise"] = below_promise(row, column)
        lines.append(line)
    return lines


def _run_of(row: Row) -> dict[str, Any]:
    run = row.run
    return {
        "run": run.name,
        "method": run.method,
        "backbone": run.backbone,
        "recipe": run.recipe,
        "training_seed": run.training_seed,
        "attention": run.attention,
    }


def _csv(lines: Sequence[dict[str, Any]]) -> str:
    import pandas as pd

    return pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")


def _sections(tables: Tables) -> list[tuple[str, Table]]:
    """Titles and tables of comparison.md: every benchmark first, then what compares runs."""
    comparison = tables.comparison
    sections: list[tuple[str, Table]] = []
    for benchmark in comparison.benchmarks:
        sections += _of_benchmark(tables, benchmark)
    sections += _across_seeds(tables.seeds)
    if len(comparison.benchmarks) > 1:
        least = {name: comparison.fractions(name)[0] for name in comparison.benchmarks}
        rows = [
            row for row in comparison.rows if row.benchmark and row.fraction == least[row.benchmark]
        ]
        columns = tuple(column for column in comparison.columns if column.key in EVERY_TASK)
        title = "every bound task, at its least unmasked fraction"
        sections.append((title, Table(columns, rows).used()))
    if tables.generation.rows:
        sections.append(("generation: quality and cost per answer", tables.generation))
    if tables.ranks.rows:
        sections.append(("ranks, where differences are significant", tables.ranks))
    return sections


def _of_benchmark(tables: Tables, benchmark: str) -> list[tuple[str, Table]]:
    """The headline table (the least unmasked fraction), every fraction, every data family."""
    comparison = tables.comparison
    least = comparison.fractions(benchmark)[0]
    title = _headline_title(benchmark, least)
    headline = comparison.at(benchmark, least).used()
    rows = [row for row in comparison.rows if row.benchmark == benchmark]
    bounds = tuple(
        column
        for column in comparison.columns
        if not column.key.startswith(("quality:", "seconds"))
    )
    sections = [
        (title, headline),
        (f"{benchmark}, every unmasked fraction", Table(bounds, rows).used()),
    ]
    if benchmark in tables.families:
        title = f"{benchmark}, by data family, {least:.0%} unmasked"
        sections.append((title, tables.families[benchmark]))
    return sections


def _headline_title(benchmark: str, least: float) -> str:
    return f"{benchmark}, {least:.0%} unmasked"


def _first_title(tables: Tables, answers: Answers) -> str:
    """The title of the section that answers stand in; empty for the top of the file."""
    if answers.benchmark is None:
        return ""
    return _headline_title(answers.benchmark, tables.comparison.fractions(answers.benchmark)[0])


def _across_seeds(seeds: Table) -> list[tuple[str, Table]]:
    """The headline columns of each benchmark's rows, with those of runs that predict no bound."""
    if not seeds.rows:
        return []
    if not seeds.benchmarks:
        return [("across seeds", seeds.headline().used())]
    sections = []
    for benchmark in seeds.benchmarks:
        rows = [row for row in seeds.rows if row.benchmark in (benchmark, None)]
        table = Table(seeds.columns, rows).headline().used()
        sections.append((f"{benchmark}, across seeds", table))
    return sections


def _note(table: Table) -> str:
    """The note on marked coverages; empty where none is marked."""
    marked = any(BELOW in " ".join(line) for line in texts(table))
    return f"\n{BOUND_NOTE}\n" if marked else ""


def _plain(cell: str) -> str:
    """A cell whose markup is shown, not interpreted."""
    for character in MARKDOWN_MARKUP:
        cell = cell.replace(character, f"\\{character}")
    for character in HTML_MARKUP:
        cell = cell.replace(character, f"&#{ord(character)};")
    return " ".join(cell.split())
