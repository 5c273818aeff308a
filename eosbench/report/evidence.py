"""The one value that a report's tables, figures and page all read.

`Evidence.of` puts runs in order and cuts documents apart once; nothing after it does so again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eosbench.report.curves import coverage_area
from eosbench.results import Run
from eosbench.strategies import ALL_METHODS

if TYPE_CHECKING:
    import pandas as pd

LIMITS = ("fixed", "oracle")  # no prediction falls below the one or gets beyond the other


@dataclass(frozen=True)
class Evidence:
    """The runs that a report tells of, and the documents that they logged.

    Attributes:
        runs: in the order of every table (`in_order`).
        documents: a row per run x task x document, as `eosbench.results.read_documents` gives them;
            where bound tasks were logged also `area`, a document's part of the area (curves.py).
        logged: the same rows by the names of run and task; without those that logged nothing.
    """

    runs: tuple[Run, ...]
    documents: pd.DataFrame
    logged: Mapping[tuple[str, str], pd.DataFrame]

    @classmethod
    def of(cls, runs: Iterable[Run], documents: pd.DataFrame) -> Evidence:
        """The evidence of runs in any order, and of the documents that they logged."""
        if "compute_ratio" in documents:  # some bound task logged its documents
            area = coverage_area(documents["coverage"], documents["compute_ratio"])
            documents = documents.assign(area=area)
        logged = dict(list(documents.groupby(["run", "task"], sort=False)))
        return cls(tuple(in_order(runs)), documents, logged)  # type: ignore[arg-type]


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Runs by the order of their methods, then methods without a row by name, baselines last."""
    place = {method: row.order for method, row in ALL_METHODS.items()}

    def key(run: Run) -> tuple[bool, float, str]:
        return run.settings is None, place.get(run.method or "", math.inf), run.name

    return sorted(runs, key=key)
