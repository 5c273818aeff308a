"""`python -m benchmarks.publish RESULTS OUTPUT`: results that may be committed.

They are small and hold no row of any data set:

    comparison.csv, comparison.md    every metric of every run, with intervals, as the report has it
    seeds.csv                        runs that differ in their predictor's seed alone, joined
    bounds.csv.gz                    a line per document and unmasked fraction: the document's
                                     length, and the bound of every run

Documents are numbered as lm-eval numbers them; the same test split gives the texts again.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from eosbench.report import write_report
from eosbench.results import read_results

TABLES = ("comparison.csv", "comparison.md", "seeds.csv")
KEYS = ["benchmark", "fraction", "document"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    results: Annotated[
        Path, typer.Argument(help="folder with lm-eval results, with their samples")
    ],
    output: Annotated[Path, typer.Argument(help="folder for the tables")],
) -> None:
    """Writes the tables and the bounds of a folder of results."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_report(results, Path(folder), workers=2)
        for name in TABLES:
            if (Path(folder) / name).is_file():
                shutil.copy(Path(folder) / name, output / name)
    table = bounds(read_results(results, workers=2))
    table.to_csv(output / "bounds.csv.gz", compression={"method": "gzip", "mtime": 0})
    print(f"{len(table)} lines, {table.shape[1] - 1} runs: {output}")


def bounds(frame: pd.DataFrame) -> pd.DataFrame:
    """A line per document, indexed by KEYS: its length, then a column of bounds per run.

    Args:
        frame: a row per run and document, as `read_results` gives it.

    Raises:
        ValueError: two runs disagree about a document's length, so that they did not see the same
            documents.
    """
    asked = frame[frame["bound"].notna()]
    lengths = asked.groupby(KEYS)["length"].agg(["min", "max"])
    if not (lengths["min"] == lengths["max"]).all():
        raise ValueError(
            "runs disagree about the length of a document: they did not see the same documents"
        )
    wide = asked.pivot_table(index=KEYS, columns="run", values="bound", aggfunc="first")
    wide.insert(0, "length", lengths["min"])
    return wide.astype("Int64")


if __name__ == "__main__":
    app()
