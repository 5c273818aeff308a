"""Figures of one pair of axes, on which runs are compared.

Every function takes the rows or documents that it shows and the names of the runs in the order of
their colours. small_multiples.py draws the figures with a panel per run.

Legend: C canvas positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eosbench.report.columns import Column
from eosbench.report.curves import coverage_curve
from eosbench.report.figures.style import INK, legend, line, marks, share_axis, single
from eosbench.report.tables import Row, interval
from eosbench.results import Score

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 48  # tokens to either side of the true end
BINS = 10  # of predicted probabilities


def lines(rows: Sequence[Row], names: Sequence[str], column: Column) -> Figure:
    """One line per run over the unmasked fractions; error bars stand beside each other."""
    figure, axes = single()
    for index, name in enumerate(names):
        own = [row for row in rows if row.run.name == name]  # fractions ascend
        x = [100 * (row.fraction or 0) + (index - (len(names) - 1) / 2) * 0.9 for row in own]
        y, error = _points(own, column)
        axes.errorbar(x, y, error, label=name, elinewidth=0.9, **{**line(index), **marks(index)})
    axes.set_xticks(sorted({100 * (row.fraction or 0) for row in rows}))
    axes.set_xlabel("answer tokens already unmasked, %")
    label = column.title.replace(" %", ", %") if column.percent else f"{column.title}, tokens"
    axes.set_ylabel(label)
    if column.key == "coverage":
        _promises(axes, rows)
    if column.percent:
        axes.set_ylim(top=min(101.5, axes.get_ylim()[1]))
    legend(axes, len(names))
    return figure


def tradeoff(rows: Sequence[Row], names: Sequence[str], across: Column, up: Column) -> Figure:
    """One point per run: the column `up` against the compute ratio, the column `across`."""
    figure, axes = single()
    for row in rows:
        x, reach_x = _points([row], across)
        y, reach_y = _points([row], up)
        style = {**marks(names.index(row.run.name)), "markersize": 8}
        axes.errorbar(x, y, reach_y, reach_x, label=row.run.name, linestyle="none", **style)
    share_axis(axes)
    axes.set_ylim(top=min(101.5, axes.get_ylim()[1]))
    axes.set_xlabel("compute, % of the full canvas")
    axes.set_ylabel("coverage, %")
    _promises(axes, rows)
    legend(axes, len(rows))
    return figure


def safety(rows: Sequence[Row], names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """Coverage against overshoot as a run's predictions are scaled.

    The marker is where the run itself stands.
    """
    figure, axes = single()
    known = documents[documents["censored"] == 0]
    for index, name in enumerate(names):
        own = known[known["run"] == name]
        if not len(own):
            continue
        curve = coverage_curve(*(own[column] for column in ("prediction", "length", "canvas")))
        axes.plot(np.maximum(curve.mean_overshoot_S, 0.5), 100 * curve.coverage_S, **line(index))
        row = next(row for row in rows if row.run.name == name)
        stands = [row.cells.get(key, Score(math.nan)).value for key in ("overshoot", "coverage")]
        axes.errorbar(
            [max(stands[0], 0.5)],
            [100 * stands[1]],
            label=name,
            **{**marks(index), "linestyle": line(index)["linestyle"]},
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlim(left=0.5)
    axes.set_ylim(0, 101.5)
    axes.set_xlabel("mean overshoot of covered answers, tokens")
    axes.set_ylabel("coverage, %")
    _promises(axes, rows)
    legend(axes, len(names))
    return figure


def quality(
    rows: Sequence[Row],
    names: Sequence[str],
    relative: dict[str, float],
    baselines: Sequence[Row],
    column: Column,
) -> Figure:
    """One point per run: downstream quality against token-positions; other models as levels.

    Args:
        relative: the name of a run -> its token-positions relative to the full canvas.
        baselines: the rows of other models.
        column: that of the quality.
    """
    figure, axes = single()
    for row in rows:
        y, reach = _points([row], column)
        style = {**marks(names.index(row.run.name)), "markersize": 8}
        axes.errorbar(
            [relative[row.run.name]], y, reach, label=row.run.name, linestyle="none", **style
        )
    for row in baselines:
        level = row.cells[column.key].value * column.scale
        axes.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate(
            row.run.name,
            (1, level),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            ha="right",
            va="bottom",
        )
    share_axis(axes)
    axes.set_xlabel("token-positions per answer, % of the full canvas")
    axes.set_ylabel(column.title.replace(" %", ", %"))
    legend(axes, len(rows))
    return figure


def eos_average(names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """Mean per-position probability of the end, aligned at each document's true end."""
    figure, axes = single()
    axes.axvline(0, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
    for index, name in _with_curves(names, documents):
        total, count = np.zeros(2 * REACH + 1), np.zeros(2 * REACH + 1)
        for length, curve, revealed in _curves(documents, name):
            position = np.arange(len(curve)) - length
            shown = (abs(position) <= REACH) & ~np.isnan(curve)
            shown[revealed] = False
            np.add.at(total, position[shown] + REACH, curve[shown])
            np.add.at(count, position[shown] + REACH, 1)
        mean = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
        axes.plot(np.arange(-REACH, REACH + 1), mean, label=name, **line(index))
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("canvas position relative to the true end, tokens")
    axes.set_ylabel("probability of the end")
    legend(axes, len(names))
    return figure


def calibration(names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """A reliability diagram: the share of positions that have ended, by predicted probability."""
    figure, axes = single()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
    for index, name in _with_curves(names, documents):
        said, ended, count = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
        for length, curve, revealed in _curves(documents, name):
            masked = ~np.isnan(curve)
            masked[revealed] = False
            place = np.minimum((curve[masked] * BINS).astype(int), BINS - 1)
            said += np.bincount(place, curve[masked], BINS)
            ended += np.bincount(place, (np.arange(len(curve)) >= length)[masked], BINS)
            count += np.bincount(place, minlength=BINS)
        shown = count >= 20
        axes.plot(
            said[shown] / count[shown],
            ended[shown] / count[shown],
            label=name,
            **line(index),
            **_plain_marks(index),
        )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_xlabel("predicted probability that the answer has ended")
    axes.set_ylabel("share of positions where it has")
    legend(axes, len(names))
    return figure


def _with_curves(names: Sequence[str], documents: pd.DataFrame) -> list[tuple[int, str]]:
    """The runs that give a probability per position, each with its place among all runs.

    The place is the run's colour in every figure.
    """
    known = set(documents.loc[documents["eos_probability"].notna(), "run"])
    return [(index, name) for index, name in enumerate(names) if name in known]


def _curves(documents: pd.DataFrame, name: str) -> Iterator[tuple[int, Any, list[int]]]:
    """True length, probabilities [C] and revealed positions of every document of a run."""
    own = documents[
        (documents["run"] == name)
        & (documents["censored"] == 0)
        & documents["eos_probability"].notna()
    ]
    return zip(own["length"], own["eos_probability"], own["revealed"], strict=True)


def _plain_marks(index: int) -> dict[str, Any]:
    return {key: value for key, value in marks(index).items() if key in ("marker", "markersize")}


def _promises(axes: Axes, rows: Sequence[Row]) -> None:
    """A dashed level at each coverage that a calibrated run promises."""
    for promise in sorted({row.run.promise for row in rows if row.run.promise is not None}):
        axes.axhline(100 * promise, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            f"promised {promise:.0%}",
            (1, 100 * promise),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            fontsize=8,
            ha="right",
            va="top",
        )


def _points(rows: Sequence[Row], column: Column) -> tuple[list[float], list[list[float]]]:
    """Values, and how far their intervals reach below and above them.

    A row without the metric is a gap.
    """
    values: list[float] = []
    below: list[float] = []
    above: list[float] = []
    for row in rows:
        score = row.cells.get(column.key, Score(math.nan))
        low, high = interval(score, column)
        values.append(score.value * column.scale)
        below.append(_reach(score.value - low) * column.scale)
        above.append(_reach(high - score.value) * column.scale)
    return values, [below, above]


def _reach(distance: float) -> float:
    """The length of one side of an error bar; 0 where it is not known."""
    return 0.0 if math.isnan(distance) else max(distance, 0.0)
