"""The seeds of a method as one run, for sentences that name methods and not their seeds.

Its numbers are those of the tables across seeds (eosbench/report/seeds.py): means, with an interval
that knows both chances. In paired tests a document counts with its mean over the seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.report.answers.sentence import Sentence, listed
from eosbench.report.contents import Tables
from eosbench.report.evidence import Evidence, in_order
from eosbench.report.significance import compare_pairs
from eosbench.report.tables import Row, Table
from eosbench.results import Run, Score

if TYPE_CHECKING:
    import pandas as pd

SEEDS = "seeds"  # the cell that counts the seeds of a row


def with_seeds_joined(evidence: Evidence, tables: Tables) -> tuple[Evidence, Tables]:
    """Evidence and tables in which the repeats of a method are one run; as they are without any.

    Args:
        evidence: the runs and documents.
        tables: made from them.
    """
    groups = tables.seed_groups
    if not tables.seeds.rows:
        return evidence, tables
    joined: dict[str, Run] = {}  # the name of a run -> the run that it is a part of
    for group in groups:
        whole = replace(group.members[0], name=group.run.name)
        joined |= {member.name: whole for member in group.members}
    others = [run for run in evidence.runs if run.name not in joined]
    runs = {run.name: run for run in (*joined.values(), *others)}
    several = {group.run.name for group in groups if len(group.members) > 1}
    documents = _means(evidence.documents, joined, several)
    logged: Any = dict(list(documents.groupby(["run", "task"], sort=False)))
    evidence = Evidence(tuple(in_order(runs.values())), documents, logged)
    rows = [replace(row, run=runs[row.run.name]) for row in tables.seeds.rows]
    generation = Table(
        tables.generation.columns, _joined_rows(tables.generation.rows, joined, rows)
    )
    return evidence, replace(
        tables,
        comparison=Table(tables.comparison.columns, rows),
        generation=generation,
        pairs=compare_pairs(evidence),
    )


def seeds_sentences(rows: Iterable[Row]) -> list[Sentence]:
    """A sentence on the runs whose numbers are means over seeds; none where there are no such."""
    seeds = {row.run.name: int(row.cells[SEEDS].value) for row in rows if SEEDS in row.cells}
    several = {name: number for name, number in seeds.items() if number > 1}
    if not several:
        return []
    numbers = sorted(set(several.values()))
    over = " or ".join(map(str, numbers))
    return [Sentence(f"The numbers of {listed(list(several))} are means over {over} seeds.")]


def _means(documents: pd.DataFrame, joined: dict[str, Run], several: set[str]) -> pd.DataFrame:
    """The documents, with one row for all seeds of a run: the mean of each number.

    Args:
        documents: as `Evidence.documents`.
        joined: the name of a run -> the run that it is a part of.
        several: the names of those that join more than one.
    """
    import pandas as pd

    names = {name: run.name for name, run in joined.items()}
    documents = documents.assign(run=[names.get(run, run) for run in documents["run"]])
    of_seeds = documents["run"].isin(several)
    own, place = documents[of_seeds], ["run", "task", "document"]
    numbers = set(own.select_dtypes("number").columns)
    how: dict[str, Any] = {
        name: "mean" if name in numbers else "first" for name in own.columns if name not in place
    }
    means = own.groupby(place, sort=False).agg(how).reset_index()
    return pd.concat([documents[~of_seeds], means], ignore_index=True)


def _joined_rows(
    rows: Sequence[Row], joined: dict[str, Run], comparison: Sequence[Row]
) -> list[Row]:
    """The rows of the generation table, one for all seeds of a run.

    Args:
        rows: of single runs.
        joined: the name of a run -> the run that it is a part of.
        comparison: the joined rows of the comparison, which know the intervals of qualities.
    """
    by_place: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        run = joined.get(row.run.name, row.run)
        by_place.setdefault((run.name, row.task), []).append(replace(row, run=run))
    known = {row.run.name: row.cells for row in comparison}
    made: list[Row] = []
    for (name, task), own in by_place.items():
        if len(own) == 1:
            made.append(own[0])
            continue
        cells = {SEEDS: Score(float(len(own)))}
        for key in own[0].cells:
            values = [row.cells[key].value for row in own if key in row.cells]
            cells[key] = Score(float(np.mean(values)), count=own[0].cells[key].count)
        cells["quality"] = known.get(name, {}).get(f"quality:{task}", cells["quality"])
        made.append(replace(own[0], cells=cells))
    return made
