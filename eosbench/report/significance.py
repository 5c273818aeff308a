"""The differences between runs that are more than chance: every pair on the same documents.

Coverage and qualities that are right or wrong are compared by McNemar's exact test, everything
else (means over seeds among it) by the paired bootstrap. Bounds are compared at each benchmark's
least unmasked fraction; Holm's correction runs over all pairs of one metric there.

Legend: N documents, M pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.metrics import SIGNIFICANT, holm, mcnemar, paired, ranks
from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.evidence import Evidence
from eosbench.report.quality import quality_metric
from eosbench.report.tables import Row, Table
from eosbench.results import Score

if TYPE_CHECKING:
    import pandas as pd

HIGHER_IS_BETTER = {
    "coverage": True,
    "overshoot": False,
    "accuracy": True,
    "compute_ratio": False,
    "area": True,
}


@dataclass(frozen=True)
class Pair:
    """Two runs on the documents that both have.

    Attributes:
        difference: the mean of first minus second over the documents that define both.
        low: the lower end of its 95 % interval.
        high: the upper end.
        p: the two-sided p-value of the test.
        p_holm: the same, corrected for the number of pairs.
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
        """Whether the corrected p-value is below 5 %."""
        return self.p_holm < SIGNIFICANT

    @property
    def winner(self) -> str | None:
        """The better run; None where the difference may be chance."""
        if not self.significant:
            return None
        return self.first if (self.difference > 0) == self.higher_is_better else self.second


def compare_pairs(evidence: Evidence) -> list[Pair]:
    """Every pair of runs that logged a task, task by task and metric by metric."""
    documents = evidence.documents
    order = [run.name for run in evidence.runs]
    made: list[Pair] = []
    for benchmark in sorted(documents["benchmark"].dropna().unique()):
        own = documents[documents["benchmark"] == benchmark]
        own = own[own["fraction"] == own["fraction"].min()]
        for metric, higher in HIGHER_IS_BETTER.items():
            made += _pairs(own, str(own["task"].iloc[0]), metric, order, higher)
    for task in sorted(documents.loc[documents["benchmark"].isna(), "task"].unique()):
        result = next(run.tasks[task] for run in evidence.runs if task in run.tasks)
        score = quality_metric(result)
        own = documents[documents["task"] == task]
        if score and score in own:
            higher = bool(result.higher_is_better.get(score.split(",")[0], True))
            made += _pairs(own, task, score, order, higher)
    return made


def rank_table(evidence: Evidence, pairs: Sequence[Pair]) -> Table:
    """Ranks per task and run: by each metric 1 + the number of runs that are significantly better.

    A rank is absent where no pair differs significantly: such an order would be chance.
    """
    columns: dict[str, Column] = {}
    rows: list[Row] = []
    for task in dict.fromkeys(pair.task for pair in pairs):
        own = [pair for pair in pairs if pair.task == task]
        names = {pair.first for pair in own} | {pair.second for pair in own}
        competitors = [run for run in evidence.runs if run.name in names]
        place = {run.name: index for index, run in enumerate(competitors)}
        cells: list[dict[str, Score]] = [{} for _ in competitors]
        for metric in dict.fromkeys(pair.metric for pair in own):
            key = metric if metric in HIGHER_IS_BETTER else "quality"
            columns.setdefault(key, _rank_column(key))
            won: list[tuple[int, int]] = []
            for pair in own:
                if pair.metric == metric and pair.winner is not None:
                    loser = pair.second if pair.winner == pair.first else pair.first
                    won.append((place[pair.winner], place[loser]))
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
    """All pairs by one metric of one task.

    Args:
        own: the documents of the task.
        order: the names of all runs; those that logged the task are paired in this order.
        higher: whether more is better.
    """
    wide = own.pivot_table(
        index="document", columns="run", values=metric, aggfunc="first", dropna=False
    )
    names = [name for name in order if name in wide.columns]
    values_NM = wide[names].to_numpy(dtype=np.float64)
    exact = bool(np.isin(values_NM[~np.isnan(values_NM)], (0.0, 1.0)).all())
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
