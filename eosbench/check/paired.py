"""`eosbench check` by a paired test: is a metric significantly worse on the same documents?

A tolerance on a mean has to be wide enough for chance; a paired test knows how much chance there
is, since both runs answered the same documents. For that the baseline keeps each document's value.
Right-or-wrong values are compared by McNemar's exact test, all others by the paired bootstrap
(eosbench/metrics/statistics.py).

Legend: N documents.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from eosbench.metrics import Floats, mcnemar, paired
from eosbench.results import Run, TaskResult, read_documents

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05  # of a new baseline's tests
DIGITS = 6  # after the point, of each document's value on both sides of a test
# Metrics that are no mean over documents, and the columns that they come from.
OF_A_DOCUMENT = {"rmse": "squared_error"}


def logged_documents(run: Run, task: TaskResult) -> tuple[pd.DataFrame | None, str]:
    """A row per document of one task, indexed by the document's name.

    Without usable samples it is None, and the text says why.
    """
    if task.samples is None:
        return None, "no samples were logged: run with --log_samples"
    frame, skipped = read_documents([replace(run, tasks={task.task: task})])
    return (None, skipped[0].reason) if skipped else (frame.set_index("document"), "")


def kept_values(frame: pd.DataFrame, metrics: list[str]) -> dict[str, list[Any]]:
    """The part of a baseline that holds documents: their names, and per metric a value of each.

    A value is None where the metric is not defined for the document.
    """
    kept: dict[str, list[Any]] = {"document": list(frame.index)}
    for metric in metrics:
        values_N = _rounded(frame[OF_A_DOCUMENT.get(metric, metric)])
        kept[metric] = [None if math.isnan(value) else value for value in values_N.tolist()]
    return kept


def significantly_worse(
    metric: str, better: str, level: float, kept: dict[str, list[Any]], frame: pd.DataFrame
) -> tuple[bool | None, str]:
    """Whether `metric` fell, and in words by how much.

    It is None, with the reason, where the documents are not those of the baseline.

    Args:
        metric: a metric of the baseline, with a list in `kept`.
        better: "higher" or "lower".
        level: a two-sided p-value below it is significant.
        kept: as `kept_values` wrote it.
        frame: as `logged_documents` gives it.
    """
    if set(kept["document"]) != set(frame.index) or not frame.index.is_unique:
        return None, (
            "the documents are not those of the baseline: run the same ones, or accept these "
            "with --update"
        )
    column = OF_A_DOCUMENT.get(metric, metric)
    if column not in frame:
        return None, "the metric is missing in the samples"
    before_N = _rounded([math.nan if value is None else value for value in kept[metric]])
    now_N = _rounded(frame.loc[kept["document"], column])
    known_N = ~np.isnan(before_N - now_N)
    before_N, now_N = before_N[known_N], now_N[known_N]
    if len(now_N) < 2:
        return False, f"defined for {len(now_N)} documents of both: nothing to test"
    exact = bool(np.isin([before_N, now_N], (0.0, 1.0)).all())
    difference = float((now_N - before_N).mean())
    if exact:
        test, p = "McNemar's exact test", mcnemar(now_N[:, None], before_N[:, None]).item()
    else:
        test, p = "paired bootstrap", paired(now_N[:, None], before_N[:, None])[3].item()
    worse = difference < 0 if better == "higher" else difference > 0
    kind = "worse" if worse else "better"
    words = (
        f"{kind if difference else 'equal'} by {abs(difference):.4g} on {len(now_N)} documents, "
        f"p = {p:.2g} ({test}, significant below {level:g})"
    )
    return worse and p < level, words


def _rounded(values: ArrayLike) -> Floats:
    """The values [N] as a baseline keeps them.

    Both sides of a test are rounded alike: a run that is compared with its own baseline would else
    differ from it by what rounding took, on every document and in one direction.
    """
    return np.asarray(np.round(np.asarray(values), DIGITS), dtype=np.float64)
