"""`python -m benchmarks.rival_area`: the rivals' quality against their compute, as one number each.

    python -m benchmarks.rival_area --canvas 256

It is a function of the table that `benchmarks.rival_table` wrote, and answers nothing. A family is
a method with all its lines, and a method that reads the model is also one at each part of the
canvas. Its area is the exact match that its best line within a budget reaches, averaged over
budgets from 128 to 2,048 token-positions an answer, on a logarithmic axis. Weighted, a line counts
what it counts in the report's area of a generation task (docs/report.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from eosbench.report import staircase_area

LEAST, DOUBLINGS = 128, 4  # the range of budgets: from LEAST, in tokens, up to 16 times as many
MOST = LEAST * 2**DOUBLINGS

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def families_of(line: str) -> list[str]:
    """The families that a line of the table belongs to.

    >>> families_of("logit, grid:16, 95 %"), families_of("fixed, threshold"), families_of("cal")
    (['logit', 'logit, grid:16'], ['fixed'], ['cal'])
    """
    method, *more = line.split(", ")
    if more and (more[0] == "full" or more[0].startswith("grid:")):
        return [method, f"{method}, {more[0]}"]
    return [method]


def areas_of(table: pd.DataFrame) -> pd.DataFrame:
    """A row a family, in the order of the table.

    Args:
        table: of `rival_table.table_of`. Lines that answered only some of the documents have no
            part in an area, since their exact match is that of other documents.

    Returns:
        `lines`, the number of them that count, `area`, and `weighted_area`; of a family without
        such a line both are NaN.
    """
    whole = table[table["documents"] == table["documents"].max()]
    best = float(whole["exact"].max())
    rows = []
    for family in _in_order(table["competitor"]):
        own = whole[[family in families_of(line) for line in whole["competitor"]]]
        points = list(zip(own["token_positions"] / MOST, own["exact"], strict=True))
        plain = staircase_area(points, best, alpha=0, halvings=DOUBLINGS)
        weighted = staircase_area(points, best, halvings=DOUBLINGS)
        row = {"competitor": family, "lines": len(own), "area": plain, "weighted_area": weighted}
        rows.append(row if points else row | {"area": None, "weighted_area": None})
    return pd.DataFrame(rows).astype({"area": float, "weighted_area": float})


def _in_order(lines: Iterable[str]) -> list[str]:
    """Every family once, those at a part of the canvas behind their method."""
    members: dict[str, list[str]] = {}
    for line in lines:
        method, *part = families_of(line)
        members.setdefault(method, [method]).extend(part)
    return [name for own in members.values() for name in dict.fromkeys(own)]


def as_markdown(areas: pd.DataFrame) -> str:
    """The areas for people."""
    lines = ["|  | lines | area | weighted |", "| --- | ---: | ---: | ---: |"]
    for row in areas.to_dict("records"):
        numbers = [row["area"], row["weighted_area"]]
        cells = " | ".join("–" if pd.isna(number) else f"{number:.3f}" for number in numbers)
        lines.append(f"| {row['competitor']} | {row['lines']} | {cells} |")
    return "\n".join(lines) + "\n"


def write_areas(folder: Path, canvas: int) -> pd.DataFrame:
    """Reads the table of a canvas, and writes its areas beside it."""
    areas = areas_of(pd.read_csv(folder / f"canvas-{canvas}.csv"))
    areas.to_csv(folder / f"area-{canvas}.csv", index=False, float_format="%.5g")
    (folder / f"area-{canvas}.md").write_text(as_markdown(areas), encoding="utf-8")
    return areas


@app.command()
def main(
    canvas: Annotated[int, typer.Option(help="C, in tokens")] = 256,
    folder: Annotated[Path, typer.Option(help="of the tables")] = Path("results/rivals"),
) -> None:
    """Writes the areas as CSV and Markdown, and prints them."""
    print(as_markdown(write_areas(folder, canvas)))


if __name__ == "__main__":
    app()
