"""The report's figures, and how to read each of them.

A drawing knows its caption and its words for those who do not see it, and is drawn when asked to. plots.py holds the pens; which
figures the results allow is decided here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from eosbench.report import plots
from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.tables import Row, Table, text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = {column.key: column for column in BOUND_COLUMNS}
READINGS = {
    "coverage": "The share of documents whose bound covers the whole reference answer. Calibration aims at the dashed line.",
    "overshoot": "Tokens of the window beyond the end of the reference answer, where it is covered. Lower is cheaper.",
    "accuracy": "The share of masked canvas positions that the bound puts on the right side of the answer's end.",
}
ACROSS = "To the right, more of the answer is already unmasked when the bound is predicted. Bars are 95% intervals."
TRADEOFF = (
    "What safety costs: coverage against the compute that the predicted windows take, relative to the full canvas. The upper "
    "left corner is the goal. Bars are 95% intervals."
)
SCATTER = (
    f"One point a document (at most {plots.POINTS} a panel). On the diagonal the bound is the length itself; circles above it "
    "are covered, crosses below it would be cut off. Horizontal bands come from rounding up."
)


@dataclass(frozen=True)
class Drawing:
    """One figure: a file name without its ending, a title, how to read it, what it shows in words, and how it is drawn."""

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure]

    def render(self, form: str) -> bytes:
        """The figure as "svg" or "png": the same bytes for the same numbers."""
        import matplotlib

        settings: Any = plots.SETTINGS
        options: dict[str, Any] = {"facecolor": "white", "dpi": 160} if form == "png" else {"metadata": {"Date": None}}
        buffer = io.BytesIO()
        with matplotlib.rc_context(settings):
            self.draw().savefig(buffer, format=form, bbox_inches="tight", **options)
        return buffer.getvalue()


def drawings(table: Table, documents: pd.DataFrame) -> list[Drawing]:
    """Every figure that the results allow, benchmark by benchmark; a further benchmark's names end in its own."""
    made = []
    for benchmark in table.benchmarks:
        rows = [row for row in table.rows if row.benchmark == benchmark]
        names = list(dict.fromkeys(row.run.name for row in rows))
        lowest = table.fractions(benchmark)[0]
        first = [row for row in rows if row.fraction == lowest]
        end = "" if benchmark == table.benchmarks[0] else "_" + benchmark.removeprefix("eos_upper_bound_")
        where = "" if len(table.benchmarks) == 1 else f" ({benchmark})"
        for key, reading in READINGS.items():
            title = f"{key.capitalize()} against the unmasked fraction{where}"
            alt = f"{title}: " + "; ".join(_in_words(row, COLUMNS[key]) for row in rows)
            made.append(Drawing(key + end, title, f"{reading} {ACROSS}", alt, partial(plots.lines, rows, names, COLUMNS[key])))
        title = f"Coverage against compute, {lowest:.0%} unmasked{where}"
        x, y = COLUMNS["compute_ratio"], COLUMNS["coverage"]
        alt = f"{title}: " + "; ".join(f"{_in_words(row, y)}, {x.title} {text(row, x)}" for row in first)
        made.append(Drawing("tradeoff" + end, title, TRADEOFF, alt, partial(plots.tradeoff, first, names, x, y)))
        shown = documents[(documents["benchmark"] == benchmark) & (documents["fraction"] == lowest)]
        if len(shown):
            title = f"Predicted bound against true length, {lowest:.0%} unmasked{where}"
            panels = [row.run.name for row in first]
            alt = f"{title}: one panel for each of {', '.join(panels)}"
            made.append(Drawing("bounds" + end, title, SCATTER, alt, partial(plots.scatter, panels, shown)))
    return made


def themed_svg(svg: bytes) -> str:
    """The figure with its ink handed over to the reader's light or dark scheme."""
    theme = f"<style>:root{{--ink:{plots.INK}}}@media(prefers-color-scheme:dark){{:root{{--ink:#dfe2e7}}}}</style>"
    head, tag, rest = svg.decode().partition("<defs>")
    return head.replace(plots.INK, "var(--ink)") + theme + tag + rest.replace(plots.INK, "var(--ink)")


def _in_words(row: Row, column: Column) -> str:
    return f"{row.run.name} at {(row.fraction or 0) * 100:.0f}%: {column.title} {text(row, column)}"
