"""What a method scores whatever the seed of its predictor: runs that differ in nothing else,
joined.

A mean over S seeds of N documents has two sources of chance: which documents were asked, and
which seeds trained. The interval is a two-level bootstrap. Resample r draws N of the N documents
with replacement, the same ones for every seed, since all seeds answered the same documents;
gives every seed s its estimate m_rs on them (rmse: the root of the mean square); draws S of the
S seeds with replacement; and takes the mean of the drawn m_rs. Its 95 % percentile interval is
reported. A share of documents never gets a narrower interval than Wilson's of the mean share,
which does not close where every document is covered.

Few seeds make it rough. Three whose documents are beyond doubt give the range of the three,
since each extreme is drawn three times in 1 / 27 of the resamples, more than the 2.5 % that are
cut off; such a range holds the mean of a symmetric distribution in 1 - 2 / 2 ** 3 = 75 % of the
cases, not in 95 %.

Legend: N documents, S seeds, M metrics, R resamples.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eosbench.metrics import bootstrap, over_seeds, percentiles, wilson
from eosbench.report.columns import Column
from eosbench.report.comparison import BOUND_KEYS, by_run_and_task, quality_metric
from eosbench.report.tables import Row, Table, below_promise, in_order, interval
from eosbench.results import Run, Score, named

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

SEEDS = Column(
    "seeds",
    "seeds",
    "How many runs a row joins: predictors trained with different seeds.",
    digits=0,
    main=True,
)
# Of the block: what it ran on, where, and what it took.
NOT_COMPARED = ("version", "predictor", "fingerprint", "costs")


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ in their predictor's seed alone, by seed; `run` is what they share, under a
    name without the seed.
    """

    run: Run
    members: list[Run]


def seed_groups(runs: Iterable[Run]) -> list[SeedGroup]:
    """Every run in one group, in the order of the tables; without repeats it is alone there.
    Baselines are left out.
    """
    by_recipe: dict[str, list[Run]] = {}
    for run in runs:
        if run.settings is not None:
            by_recipe.setdefault(_recipe(run), []).append(run)
    joined: dict[str, list[Run]] = {}
    for members in by_recipe.values():
        obstacle = _obstacle(members)
        if obstacle:
            names = ", ".join(sorted(run.name for run in members))
            logger.warning(
                "not joined across seeds, since of runs with equal settings %s: %s", obstacle, names
            )
        groups = (
            [[one] for one in members]
            if obstacle
            else [sorted(members, key=lambda run: run.predictor_seed or 0)]
        )
        joined |= {group[0].fingerprint: group for group in groups}
    return [
        SeedGroup(run, joined[run.fingerprint])
        for run in in_order(named(map(_shared, joined.values())))
    ]


def across_seeds(runs: Sequence[Run], comparison: Table, documents: pd.DataFrame) -> Table:
    """Mean, standard deviation (S - 1 in the denominator) and interval over the seeds, for each row
    of the comparison.

    Empty where every method has one seed. Else such methods stand in it too, with their own
    interval and no deviation. Seconds are left out: they tell of the machine.
    """
    groups = seed_groups(runs)
    if all(len(group.members) == 1 for group in groups):
        return Table((), [])
    columns = [column for column in comparison.columns if column.key != "seconds"]
    logged = by_run_and_task(documents)
    rows: list[Row] = []
    for group in groups:
        places: dict[tuple[str | None, float | None], dict[str, Row]] = {}
        for member in group.members:
            for row in comparison.rows:
                if row.run.name == member.name:
                    places.setdefault((row.benchmark, row.fraction), {})[member.name] = row
        for (benchmark, fraction), own in sorted(
            places.items(), key=lambda item: (item[0][0] or "", item[0][1] or 0.0)
        ):
            cells = _cells(list(own.values()), columns, logged)
            size, censored = (
                max(getattr(row, name) for row in own.values())
                for name in ("documents", "censored")
            )
            rows.append(Row(group.run, cells, size, censored, benchmark, fraction))
    shown = (replace(column, share=False) for column in columns)  # the intervals are made here
    return Table((SEEDS, *shown), rows).used()


def flat_seeds(table: Table) -> list[dict[str, Any]]:
    """Rows for seeds.csv: per metric its mean and standard deviation over the seeds, and the ends
    of its interval.
    """
    lines = []
    for row in table.rows:
        line: dict[str, Any] = {
            "run": row.run.name,
            "method": row.run.method,
            "backbone": row.run.backbone,
        }
        line |= {
            "benchmark": row.benchmark,
            "fraction": row.fraction,
            "documents": row.documents,
            "censored": row.censored,
        }
        line["seeds"] = int(row.cells["seeds"].value)
        for column in table.columns[1:]:
            score, name = (
                row.cells.get(column.key, Score(math.nan)),
                column.key.removeprefix("quality:"),
            )
            line |= {
                f"{name}_mean": score.value,
                f"{name}_sd": score.spread,
                f"{name}_low": score.low,
                f"{name}_high": score.high,
            }
            if column.key == "coverage":
                line["below_promise"] = below_promise(row, column)
        lines.append(line)
    return lines


def _recipe(run: Run) -> str:
    """All that two runs must share to be repeats of each other; a run whose seed is not known is
    like no other.
    """
    if run.settings is None or run.predictor_seed is None:
        return run.fingerprint
    facts = {name: value for name, value in run.settings.items() if name not in NOT_COMPARED} | {
        "asked": run.asked
    }
    facts["predictor_fit"] = _without(facts["predictor_fit"], "seed")
    if "fingerprint" in facts["backbone"]:
        # One model may lie in several places.
        facts["backbone"] = _without(facts["backbone"], "name")
    return json.dumps(facts, sort_keys=True, default=str)


def _obstacle(members: Sequence[Run]) -> str | None:
    """What keeps runs of one recipe from being repeats of each other, in words."""
    if len({run.predictor_seed for run in members}) < len(members):
        return "two have one seed"
    shots = {(task.task, task.shots) for run in members for task in run.tasks.values()}
    return (
        "one task has several numbers of examples"
        if len({name for name, _ in shots}) < len(shots)
        else None
    )


def _shared(members: Sequence[Run]) -> Run:
    """The first of the runs, with what it does not share with the others taken out of its settings."""
    first = members[0]
    if len(members) == 1 or first.settings is None:
        return first
    folders = [str((run.settings or {}).get("predictor")) for run in members]
    shared = {
        "predictor": _pattern(folders),
        "predictor_fit": _without(first.settings["predictor_fit"], "seed"),
    }
    return replace(first, settings={**first.settings, **shared})


def _pattern(folders: Sequence[str]) -> str:
    """
    >>> _pattern(["heads/seed-0/logit", "heads/seed-1/logit"])
    'heads/*/logit'
    """
    parts = [folder.split("/") for folder in folders]
    if len({len(one) for one in parts}) > 1:
        return ", ".join(folders)
    return "/".join(names[0] if len(set(names)) == 1 else "*" for names in zip(*parts, strict=True))


def _cells(
    rows: Sequence[Row], columns: Sequence[Column], logged: Mapping[tuple[str, str], pd.DataFrame]
) -> dict[str, Score]:
    cells = {"seeds": Score(float(len(rows)))}
    ends = _resampled(rows, columns, logged) if len(rows) > 1 else {}
    for column in columns:
        scores = [row.cells[column.key] for row in rows if column.key in row.cells]
        if not scores:
            continue
        if len(rows) == 1:
            low, high = interval(scores[0], column)
            cells[column.key] = replace(scores[0], low=low, high=high)
            continue
        values_S = np.array([score.value for score in scores])
        mean, spread = _moments(values_S[~np.isnan(values_S)])
        low, high = ends.get(column.key, (math.nan, math.nan))
        count = max(score.count for score in scores)
        if column.share and not math.isnan(low):
            least, most = wilson(mean, count)
            low, high = min(low, least), max(high, most)
        cells[column.key] = Score(mean, count=count, low=low, high=high, spread=spread)
    return cells


def _moments(values_S: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation (S - 1); taken from the first value on, so that equal ones
    deviate by 0 and not by a rounding.

    >>> _moments(np.array([1.0, 2.0, 6.0]))[0], _moments(np.array([0.95, 0.95, 0.95]))
    (3.0, (0.95, 0.0))
    """
    if not values_S.size:
        return math.nan, math.nan
    from_first_S = values_S - values_S[0]
    mean = float(values_S[0] + from_first_S.mean())
    return mean, float(from_first_S.std(ddof=1)) if values_S.size > 1 else math.nan


def _resampled(
    rows: Sequence[Row], columns: Sequence[Column], logged: Mapping[tuple[str, str], pd.DataFrame]
) -> dict[str, tuple[float, float]]:
    """Column -> the ends of its interval, as far as every seed logged the documents."""
    ends: dict[str, tuple[float, float]] = {}
    tasks = rows[0].run.tasks
    for task in tasks.values():
        if (task.benchmark, task.fraction) == (
            rows[0].benchmark,
            rows[0].fraction,
        ) and task.benchmark:
            wanted = {key: "squared_error" if key == "rmse" else key for key in BOUND_KEYS}
        elif f"quality:{task.task}" in {column.key for column in columns}:
            wanted = {f"quality:{task.task}": quality_metric(task) or ""}
        else:
            continue
        frames = [logged.get((row.run.name, task.task)) for row in rows]
        known = [frame for frame in frames if frame is not None]
        wanted = {
            key: name for key, name in wanted.items() if all(name in frame for frame in known)
        }
        if len(known) == len(rows) and wanted:
            low_M, high_M = percentiles(_estimates(known, wanted))
            ends |= {
                key: (float(low), float(high))
                for key, low, high in zip(wanted, low_M, high_M, strict=True)
            }
    return ends


def _estimates(frames: Sequence[pd.DataFrame], wanted: Mapping[str, str]) -> NDArray[np.float64]:
    """The resampled means over seeds [R, M] of some columns of S frames; a document that a seed
    lacks is undefined there.
    """
    order = list(dict.fromkeys(document for frame in frames for document in frame["document"]))
    values_NSM = np.stack(
        [
            frame.drop_duplicates("document")
            .set_index("document")
            .reindex(order)[list(wanted.values())]
            .to_numpy(np.float64)
            for frame in frames
        ],
        axis=1,
    )
    estimates_RSM = bootstrap(values_NSM.reshape(len(order), -1)).reshape(-1, *values_NSM.shape[1:])
    rooted = [index for index, key in enumerate(wanted) if key == "rmse"]
    estimates_RSM[:, :, rooted] = np.sqrt(estimates_RSM[:, :, rooted])
    return over_seeds(estimates_RSM)


def _without(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}
