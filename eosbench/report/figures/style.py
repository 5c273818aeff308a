"""One look for all figures, readable in grey and by the colour-blind.

Colours are Okabe and Ito's; every run has a marker and dashes of its own. Figures are built without
pyplot: no global state, no display. Their ink is one colour, so that the page can swap it in dark
mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1b1d21"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f7f7f")
GOOD, BAD = COLOURS[0], COLOURS[3]
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
SHARE_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
SETTINGS = {
    "font.family": "sans-serif",
    "font.size": 10,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "svg.fonttype": "none",
    "svg.hashsalt": "eosbench",
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 0.6,
    "hatch.color": INK,
}


def marks(index: int) -> dict[str, Any]:
    """Colour and marker of the run at this place."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "markersize": 5.5,
        "capsize": 2.5,
    }


def line(index: int) -> dict[str, Any]:
    """Colour and dashes of the run at this place."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "linewidth": 1.6,
    }


def single() -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4))
    return figure, figure.add_subplot()


def panels(
    titles: Sequence[str], *, across: int = 3, width: float = 2.5, height: float = 2.3
) -> tuple[Figure, list[Axes]]:
    """Small multiples that share their axes, one per title; the rest of the grid stays empty.

    Args:
        titles: one per panel.
        across: how many panels stand side by side at most.
        width: of a panel, in inches.
        height: of a panel, in inches.
    """
    from matplotlib.figure import Figure

    across = min(across, len(titles))
    down = math.ceil(len(titles) / across)
    figure = Figure(figsize=(width * across + 0.6, height * down + 0.5), layout="constrained")
    grid = list(np.ravel(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)))
    for index, (axes, title) in enumerate(zip(grid, titles, strict=False)):
        axes.set_title(fill(title, round(14 * width)), fontsize=9)  # 14 letters to the inch
        axes.tick_params(labelbottom=index + across >= len(titles), labelsize=8)
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    return figure, grid[: len(titles)]


def share_axis(axes: Axes) -> None:
    """A logarithmic x axis of shares of the full canvas, in per cent."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low, max(high, 1.25))
    ticks = [tick for tick in SHARE_TICKS if low <= tick <= max(high, 1.25)]
    axes.set_xticks(ticks, [f"{100 * tick:g}" for tick in ticks], minor=False)
    axes.minorticks_off()


def legend(axes: Axes, entries: int, below: float = -0.18) -> None:
    """A legend under the axes, in two columns unless there is one entry."""
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, below),
        ncols=2 if entries > 1 else 1,
        handlelength=3.2,
    )
