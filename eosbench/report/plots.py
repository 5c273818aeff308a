"""The report's pens: figures that read in grey and for colour-blind people (Okabe and Ito's colours, a marker and line per run).

Figures are built without pyplot: no global state, no display. Their ink is one colour, so that the page can swap it in dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eosbench.report.columns import Column
from eosbench.report.tables import Row, interval
from eosbench.results import Run, Score

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1b1d21"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
POINTS = 400  # of a scatter panel
SETTINGS = {
    "font.family": "sans-serif", "font.size": 10, "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "svg.fonttype": "none", "svg.hashsalt": "eosbench", "text.color": INK, "text.parse_math": False,
    "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": INK, "grid.alpha": 0.15, "grid.linewidth": 0.6,
    "figure.facecolor": "none", "axes.facecolor": "none", "legend.frameon": False, "legend.fontsize": 9,
}  # fmt: skip


def lines(rows: Sequence[Row], names: Sequence[str], column: Column) -> Figure:
    """One line a run over the unmasked fractions, set a little apart so that no error bar hides another."""
    figure, axes = _axes()
    for index, name in enumerate(names):
        own = [row for row in rows if row.run.name == name]  # fractions ascend
        x = [100 * (row.fraction or 0) + (index - (len(names) - 1) / 2) * 0.9 for row in own]
        y, error = _points(own, column)
        axes.errorbar(
            x, y, error, label=name, linestyle=LINES[index % len(LINES)], linewidth=1.5, elinewidth=0.9, **_style(index)
        )
    axes.set_xticks(sorted({100 * (row.fraction or 0) for row in rows}))
    axes.set_xlabel("answer tokens already unmasked, %")
    axes.set_ylabel(column.title.replace(" %", ", %") if column.percent else f"{column.title}, tokens")
    if column.key == "coverage":
        for target in sorted({1 - alpha for row in rows if (alpha := _alpha(row.run)) is not None}):
            axes.axhline(100 * target, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    if column.percent:
        axes.set_ylim(top=min(101.5, axes.get_ylim()[1]))
    _legend(axes, len(names))
    return figure


def tradeoff(rows: Sequence[Row], names: Sequence[str], across: Column, up: Column) -> Figure:
    """One point a run."""
    figure, axes = _axes()
    for row in rows:
        x, reach_x = _points([row], across)
        y, reach_y = _points([row], up)
        style = _style(names.index(row.run.name)) | {"markersize": 8}
        axes.errorbar(x, y, reach_y, reach_x, label=row.run.name, linestyle="none", **style)
    axes.set_xlim(left=0)
    axes.set_ylim(top=min(101.5, axes.get_ylim()[1]))
    axes.set_xlabel("compute ratio (1 = full canvas)")
    axes.set_ylabel("coverage, %")
    _legend(axes, len(rows))
    return figure


def scatter(names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """Small multiples on binary logarithmic axes, one panel a run: bound against length, a point a document."""
    from matplotlib.figure import Figure

    across = min(3, len(names))
    down = math.ceil(len(names) / across)
    figure = Figure(figsize=(2.5 * across + 0.6, 2.4 * down + 0.5), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    top = float(documents["canvas"].max()) * 1.3
    for index, (axes, name) in enumerate(zip(panels, names, strict=False)):
        own = documents[documents["run"] == name].head(POINTS)
        covered = own["bound"] >= own["length"]
        axes.plot([0.8, top], [0.8, top], color=INK, linewidth=0.9)
        for chosen, marker, colour in ((own[covered], "o", COLOURS[0]), (own[~covered], "x", COLOURS[3])):
            axes.plot(chosen["length"], chosen["bound"], marker, color=colour, fillstyle="none", markersize=3.5, alpha=0.7)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set(xlim=(0.8, top), ylim=(0.8, top))
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelbottom=index + across >= len(names))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel("true length, tokens", fontsize=10)
    figure.supylabel("predicted bound, tokens", fontsize=10)
    return figure


def _points(rows: Sequence[Row], column: Column) -> tuple[list[float], list[list[float]]]:
    """Values, and how far their intervals reach below and above them; a row without the metric is a gap."""
    scale = 100 if column.percent else 1
    scores = [row.cells.get(column.key, Score(math.nan)) for row in rows]
    reaches = [(score.value - interval(score, column)[0], interval(score, column)[1] - score.value) for score in scores]
    error = [[0.0 if math.isnan(reach[side]) else max(reach[side], 0.0) * scale for reach in reaches] for side in (0, 1)]
    return [score.value * scale for score in scores], error


def _alpha(run: Run) -> float | None:
    """The share of documents that calibration allows to be uncovered; None for a run that is not calibrated."""
    calibration = (run.settings or {}).get("calibration")
    return float(calibration["alpha"]) if isinstance(calibration, dict) and "alpha" in calibration else None


def _style(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "markersize": 5.5, "capsize": 2.5}


def _axes() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4))
    return figure, figure.add_subplot()


def _legend(axes: Axes, entries: int) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2 if entries > 1 else 1, handlelength=3.2)
