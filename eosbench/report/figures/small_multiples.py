"""Figures of single documents, with a panel per run (or per prompt) on shared axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eosbench.metrics import bucket
from eosbench.report.figures.style import BAD, GOOD, INK, line, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

POINTS = 200  # of a scatter panel
PROMPTS = 4  # whose curves are drawn one by one


def scatter(names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """Bound against length on binary logarithmic axes, a point per document."""
    figure, grid = panels(names)
    top = float(documents["canvas"].max()) * 1.3
    for axes, name in zip(grid, names, strict=True):
        own = documents[documents["run"] == name].head(POINTS)
        covered = own["bound"] >= own["length"]
        axes.plot([0.8, top], [0.8, top], color=INK, linewidth=0.9)
        for chosen, marker, colour in ((own[covered], "o", GOOD), (own[~covered], "x", BAD)):
            axes.plot(
                chosen["length"],
                chosen["bound"],
                marker,
                color=colour,
                fillstyle="none",
                markersize=3.5,
                alpha=0.7,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set(xlim=(0.8, top), ylim=(0.8, top))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.supxlabel("true length, tokens", fontsize=10)
    figure.supylabel("predicted bound, tokens", fontsize=10)
    return figure


def distribution(names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """Shares of documents by bound minus length.

    The classes double in width to either side of zero.
    """
    known = documents[documents["censored"] == 0]
    error = known["bound"] - known["length"]
    reach = int(bucket(max(1, int(np.abs(error).max()) if len(error) else 1)))
    # 0, 1, 2, 4, ...: the class of d is the first edge >= |d|.
    edges = [0, *(2**power for power in range(reach + 1))]
    labels = [*(f"−{edge}" for edge in reversed(edges[1:])), *(f"{edge}" for edge in edges)]
    figure, grid = panels(names)
    for axes, name in zip(grid, names, strict=True):
        own = error[known["run"] == name].to_numpy()
        place = np.sign(own).astype(int) * np.searchsorted(edges, np.abs(own)) + len(edges) - 1
        share = 100 * np.bincount(place, minlength=len(labels)) / max(len(own), 1)
        short = np.arange(len(labels)) < len(edges) - 1
        axes.bar(np.flatnonzero(~short), share[~short], width=0.92, color=GOOD)
        axes.bar(np.flatnonzero(short), share[short], width=0.92, color=BAD, hatch="////")
        axes.axvline(len(edges) - 1.5, color=INK, linewidth=0.9)
        axes.grid(axis="x", visible=False)
        ticks = [index for index in range(len(labels)) if abs(index - len(edges) + 1) % 3 == 0]
        axes.set_xticks(ticks, [labels[index] for index in ticks])
        text = f"{share[short].sum():.0f} % too short"
        axes.annotate(text, (0.03, 0.95), xycoords="axes fraction", fontsize=8, va="top")
    figure.supxlabel("bound minus true length, tokens (classes double in width)", fontsize=10)
    figure.supylabel("documents, %", fontsize=10)
    return figure


def confusion(names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """Power-of-two buckets of the bound against those of the length; columns add up to 100 %."""
    from matplotlib.patches import Rectangle

    known = documents[documents["censored"] == 0]
    size = int(bucket(known["canvas"].max())) + 1
    figure, grid = panels(names, width=2.9, height=2.7)
    for axes, name in zip(grid, names, strict=True):
        own = known[known["run"] == name]
        counts = np.zeros((size, size))
        np.add.at(counts, (bucket(own["bound"]), bucket(own["length"])), 1)
        share = counts / np.maximum(counts.sum(axis=0), 1)
        for row, column in zip(*np.nonzero(counts), strict=True):
            value = share[row, column]
            colour, hatch = (GOOD, None) if row >= column else (BAD, "////")
            cell = Rectangle(
                (column - 0.5, row - 0.5),
                1,
                1,
                facecolor=colour,
                hatch=hatch,
                alpha=0.1 + 0.5 * value,
                linewidth=0,
            )
            axes.add_patch(cell)
            if value >= 0.045:
                axes.annotate(
                    f"{100 * value:.0f}", (column, row), fontsize=7, ha="center", va="center"
                )
        corners = np.arange(size + 1) - 0.5  # the diagonal's cells, as stairs below and above them
        axes.step(corners, corners, where="post", color=INK, linewidth=0.9)
        axes.step(corners, corners, where="pre", color=INK, linewidth=0.9)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(-0.5, size - 0.5))
        axes.grid(visible=False)
        ticks = range(0, size, 2)
        axes.set_xticks(ticks, [f"{2**tick}" for tick in ticks])
        axes.set_yticks(ticks, [f"{2**tick}" for tick in ticks])
    figure.supxlabel("true length, up to this many tokens", fontsize=10)
    figure.supylabel("predicted bound, up to", fontsize=10)
    return figure


def eos_prompts(names: Sequence[str], documents: pd.DataFrame) -> Figure:
    """The probability of the end at each position, for prompts with short and with long answers."""
    with_curves = documents[documents["eos_probability"].notna() & (documents["censored"] == 0)]
    by_length = with_curves.drop_duplicates("document").sort_values(["length", "document"])
    places = np.linspace(0.1, 0.98, PROMPTS) * (len(by_length) - 1)
    chosen = by_length.iloc[sorted({round(place) for place in places})]
    titles = [_shortened(str(prompt)) for prompt in chosen["prompt"]]
    figure, grid = panels(titles, across=2, width=3.6, height=1.9)
    for axes, document, length in zip(grid, chosen["document"], chosen["length"], strict=True):
        axes.axvline(length, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
        axes.annotate(
            "true end",
            (length, 0.5),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=8,
            va="center",
        )
        for index, name in enumerate(names):
            own = with_curves[(with_curves["run"] == name) & (with_curves["document"] == document)]
            for curve in own["eos_probability"]:
                axes.plot(
                    np.arange(len(curve)), curve, label=name, **{**line(index), "linewidth": 1.2}
                )
        axes.set_ylim(-0.02, 1.05)
    for axes in grid[-2:]:
        axes.set_xlabel("canvas position, tokens")
    figure.supylabel("probability of the end", fontsize=10)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, handlelength=3.2)
    return figure


def _shortened(prompt: str) -> str:
    words = " ".join(prompt.split())
    return words if len(words) <= 44 else words[:43] + "…"
