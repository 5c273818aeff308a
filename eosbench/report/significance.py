"""Which differences between runs are more than chance: every pair on the same documents, corrected
for the number of pairs.

Coverage and right-or-wrong qualities are compared by McNemar's exact test, everything else by
the paired bootstrap. Bounds are compared at each benchmark's least unmasked fraction; Holm's
correction runs over all pairs of one metric there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.metrics import SIGNIFICANT, holm, mcnemar, paired, ranks
from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.comparison import quality_metric
from eosbench.report.tables import Row, Table, in_order
from eosbench.results import Run, Score

if TYPE_CHECKING:
    import pandas as pd

HIGHER_IS_BETTER = {
    "coverage": True,
    "overshoot": False,
    "accuracy": True,
    "compute_ratio": False,
    "area": True,
}
EXACT = ("coverage",)


@dataclass(frozen=True)
class Pair:
    """Two runs on the documents that both have: first minus second, its interval, and Holm's
    p-value.
    """

    task: str
    metric: str
    first: str
    second: str
    documents: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    higher_is_better: bool
    test: str

    @property
    def significant(self) -> bool:
        return self.p_holm < SIGNIFICANT

    @property
    def winner(self) -> str | None:
        """The better run; None where the difference may be chance."""
        if not self.significant:
            return None
        return self.first if (self.difference > 0) == self.higher_is_better else self.second


def compare_pairs(runs: Sequence[Run], documents: pd.DataFrame) -> list[Pair]:
    """Every pair of runs, metric by metric, task by task; nothing where fewer than two runs logged
    a task.
    """
    order = [run.name for run in in_order(runs)]
    made: list[Pair] = []
    for benchmark in sorted(documents["benchmark"].dropna().unique()):
        own = documents[documents["benchmark"] == benchmark]
        own = own[own["fraction"] == own["fraction"].min()]
        for metric, higher in HIGHER_IS_BETTER.items():
            made += _pairs(own, str(own["task"].iloc[0]), metric, order, higher)
    for task in sorted(documents.loc[documents["benchmark"].isna(), "task"].unique()):
        result = next(run.tasks[task] for run in runs if task in run.tasks)
        score = quality_metric(result)
        own = documents[documents["task"] == task]
        if score and score in own:
            made += _pairs(
                own,
                task,
                score,
                order,
                bool(result.higher_is_better.get(score.split(",")[0], True)),
            )
    return made


def rank_table(runs: Sequence[Run], pairs: Sequence[Pair]) -> Table:
    """Per task and run: its rank by each metric, 1 + the number of runs that are significantly
    better.

    Absent where no pair differs significantly: such an order would be chance.
    """
    columns: dict[str, Column] = {}
    rows: list[Row] = []
    for task in dict.fromkeys(pair.task for pair in pairs):
        own = [pair for pair in pairs if pair.task == task]
        names = {name for pair in own for name in (pair.first, pair.second)}
        competitors = [run for run in in_order(runs) if run.name in names]
        place = {run.name: index for index, run in enumerate(competitors)}
        cells: list[dict[str, Score]] = [{} for _ in competitors]
        for metric in dict.fromkeys(pair.metric for pair in own):
            key = metric if metric in HIGHER_IS_BETTER else "quality"
            columns.setdefault(key, _rank_column(key))
            won = [
                (place[winner], place[pair.second if winner == pair.first else pair.first])
                for pair in own
                if pair.metric == metric and (winner := pair.winner) is not None
            ]
            if won:
                for cell, rank in zip(cells, ranks(len(competitors), won), strict=True):
                    cell[key] = Score(float(rank))
        size = max(pair.documents for pair in own)
        rows += [
            Row(run, cell, size, benchmark=run.tasks[task].benchmark, task=task)
            for run, cell in zip(competitors, cells, strict=True)
        ]
    return Table(tuple(columns.values()), rows)


def _pairs(
    own: pd.DataFrame, task: str, metric: str, order: Sequence[str], higher: bool
) -> Iterator[Pair]:
    wide = own.pivot_table(
        index="document", columns="run", values=metric, aggfunc="first", dropna=False
    )
    names = [name for name in order if name in wide.columns]
    values_NM = wide[names].to_numpy(dtype=np.float64)
    exact = metric in EXACT or bool(np.isin(values_NM[~np.isnan(values_NM)], (0.0, 1.0)).all())
    found: list[dict[str, Any]] = []
    for index, name in enumerate(names[:-1]):
        first_NM = np.broadcast_to(values_NM[:, [index]], (len(values_NM), len(names) - index - 1))
        second_NM = values_NM[:, index + 1 :]
        difference_M, low_M, high_M, p_M = paired(first_NM, second_NM)
        if exact:
            p_M = np.where(np.isnan(difference_M), math.nan, mcnemar(first_NM, second_NM))
        both_M = np.sum(~np.isnan(first_NM - second_NM), axis=0)
        for column, other in enumerate(names[index + 1 :]):
            found.append(
                {
                    "first": name,
                    "second": other,
                    "documents": int(both_M[column]),
                    "difference": float(difference_M[column]),
                    "low": float(low_M[column]),
                    "high": float(high_M[column]),
                    "p": float(p_M[column]),
                }
            )
    test = "McNemar, exact" if exact else "paired bootstrap"
    for pair, adjusted in zip(found, holm([pair["p"] for pair in found]), strict=True):
        yield Pair(task, metric, p_holm=float(adjusted), higher_is_better=higher, test=test, **pair)


def _rank_column(key: str) -> Column:
    known = next((column for column in BOUND_COLUMNS if column.key == key), None)
    title = known.title.removesuffix(" %") if known else "quality"
    return Column(
        key,
        title,
        f"Rank by {title}: 1 + the number of runs that are significantly better (Holm, 5 %).",
        digits=0,
    )
