"""The report's tables as files: Markdown for people, CSV for programs, LaTeX (booktabs) for papers."""

from __future__ import annotations

from pathlib import Path

from eosbench.report.tables import Table, flat, heads, texts


def write_tables(output: Path, comparison: Table, generation: Table) -> list[Path]:
    """Writes comparison.md, .csv, .tex and generation.csv; the files written, in that order."""
    import pandas as pd

    sections = _sections(comparison, generation)
    files = {
        "comparison.md": "\n".join(f"## {title}\n\n{markdown(table)}" for title, table in sections),
        "comparison.csv": pd.DataFrame(flat(comparison)).to_csv(index=False, lineterminator="\n"),
        "comparison.tex": "\n".join(f"% {title}\n{latex(table)}" for title, table in sections),
    }
    if generation.rows:
        files["generation.csv"] = pd.DataFrame(flat(generation)).to_csv(index=False, lineterminator="\n")
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
    text = frame.to_latex(index=False, escape=True, column_format="l" + "r" * (len(frame.columns) - 1))
    return text.replace("±", r"$\pm$").replace("–", "--")


def _sections(comparison: Table, generation: Table) -> list[tuple[str, Table]]:
    """Per benchmark the headline table (the least unmasked fraction) and the full one, then what generation took."""
    sections: list[tuple[str, Table]] = []
    for benchmark in comparison.benchmarks:
        fractions = comparison.fractions(benchmark)
        sections.append((f"{benchmark}, {fractions[0]:.0%} unmasked", comparison.at(benchmark, fractions[0])))
        every = [row for row in comparison.rows if row.benchmark == benchmark]
        bounds = tuple(column for column in comparison.columns if not column.key.startswith(("quality:", "seconds")))
        sections.append((f"{benchmark}, every unmasked fraction", Table(bounds, every)))
    if generation.rows:
        sections.append(("generation", generation))
    return sections


def _plain(cell: str) -> str:
    for character in "\\`*_<>|[]":
        cell = cell.replace(character, f"&#{ord(character)};" if character in "<>|" else f"\\{character}")
    return " ".join(cell.split())
