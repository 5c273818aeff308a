"""The report's figures, and how to read each of them.

A drawing knows its caption and its words for those who do not see it, and is drawn when asked to.
plots.py and small_multiples.py hold the pens; which figures the results allow is decided here.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.comparison import reference_run
from eosbench.report.figures import plots, small_multiples, style
from eosbench.report.tables import Row, Table, in_order, text
from eosbench.results import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = {column.key: column for column in BOUND_COLUMNS}
RUNS_SHOWN = 9  # more lines than this cannot be told apart; the tables have them all
LIMITS = ("fixed", "oracle")  # what no prediction falls below and none gets beyond
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
SAFETY = (
    "All of a method's predictions are scaled by one factor, small to large: what coverage would cost in wasted tokens, whatever "
    "the calibration. The marker is where the run itself stands; the higher and further left a line, the better the method "
    "tells short answers from long ones."
)
SCATTER = (
    f"One point a document (at most {small_multiples.POINTS} a panel). On the diagonal the bound is the length itself; circles "
    "above it are covered, crosses below it would be cut off. Horizontal bands come from rounding up."
)
DISTRIBUTION = (
    "How far bounds are off. Blue: the window is longer than the answer, and compute is wasted; hatched: it is too short, and "
    "the answer is cut off. Everything at 0 would be perfect."
)
CONFUSION = (
    "Each column holds the answers of one power-of-two length; its numbers say, in per cent, which bucket their bounds fall "
    "into. On the diagonal the bucket is right, above it compute is wasted, below it (hatched) answers are cut off."
)
EOS_AVERAGE = (
    "What a method believes about each canvas position: the probability that the answer has ended there, averaged over documents "
    "laid over each other at their true end (dashed). Ideal is a step from 0 to 1 at that line."
)
EOS_PROMPTS = (
    "The probability that the answer has ended at each canvas position, for single prompts with short and long answers. A clean "
    "step at the true end makes a tight bound; a slow rise, or a plateau below 1, makes one that calibration has to stretch."
)
CALIBRATION = (
    "Where a method says that the answer has ended with some probability: how often it has. On the diagonal probabilities mean "
    "what they say; above it the method is too timid, below it too sure. Points are tenths with at least 20 positions."
)
QUALITY = (
    "What the predicted windows do to the answers: the task's score against the token-positions processed, relative to the run "
    "with the full canvas. The upper left corner is the goal; dotted levels are other models. Bars are 95% intervals."
)


@dataclass(frozen=True)
class Drawing:
    """One figure: a file name without its ending, a title, how to read it, what it shows in words,
    and how it is drawn.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[], Figure]
    wide: bool = False

    def render(self) -> tuple[bytes, bytes]:
        """The figure, drawn once, as SVG and as PNG: the same bytes for the same numbers."""
        import matplotlib

        settings: Any = style.SETTINGS
        svg, png = io.BytesIO(), io.BytesIO()
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            # A prompt may hold any script.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure = self.draw()
            figure.savefig(svg, format="svg", bbox_inches="tight", metadata={"Date": None})
            figure.savefig(png, format="png", bbox_inches="tight", facecolor="white", dpi=160)
        return _NOT_XML.sub("?", svg.getvalue().decode()).encode(), png.getvalue()


# Matplotlib writes what a prompt holds.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def drawings(comparison: Table, generation: Table, documents: pd.DataFrame) -> list[Drawing]:
    """Every figure that the results allow, benchmark by benchmark; a further benchmark's names end
    in its own.
    """
    made: list[Drawing] = []
    for benchmark in comparison.benchmarks:
        end = (
            ""
            if benchmark == comparison.benchmarks[0]
            else "_" + benchmark.removeprefix("eos_upper_bound_")
        )
        where = "" if len(comparison.benchmarks) == 1 else f" ({benchmark})"
        made += _of_benchmark(comparison, benchmark, documents, end, where)
    tasks = sorted({row.task for row in generation.rows if row.task})
    for task in tasks:
        made += _of_generation(generation, task, "" if task == tasks[0] else f"_{task}")
    return made


def _of_benchmark(
    table: Table, benchmark: str, documents: pd.DataFrame, end: str, where: str
) -> Iterator[Drawing]:
    rows = [row for row in table.rows if row.benchmark == benchmark]
    # The limits are straight lines and set the scale.
    methods = [row for row in rows if row.run.method not in LIMITS] or rows
    names = list(dict.fromkeys(row.run.name for row in methods))[:RUNS_SHOWN]
    lowest = table.fractions(benchmark)[0]
    limits = [
        row
        for row in rows
        if row.run.name not in names and row.run.method in LIMITS and row.fraction == lowest
    ]
    rows = [row for row in rows if row.run.name in names]
    first = [row for row in rows if row.fraction == lowest]
    at = f", {lowest:.0%} unmasked{where}"
    for key, reading in READINGS.items():
        title = f"{key.capitalize()} against the unmasked fraction{where}"
        alt = f"{title}: " + "; ".join(_in_words(row, COLUMNS[key]) for row in rows)
        yield Drawing(
            key + end,
            title,
            f"{reading} {ACROSS}",
            alt,
            partial(plots.lines, rows, names, COLUMNS[key]),
        )
    x, y = COLUMNS["compute_ratio"], COLUMNS["coverage"]
    title = f"Coverage against compute{at}"
    placed = [*first, *limits]
    alt = f"{title}: " + "; ".join(
        f"{_in_words(row, y)}, {x.title} {text(row, x)}" for row in placed
    )
    all_names = [row.run.name for row in placed]
    yield Drawing(
        "tradeoff" + end, title, TRADEOFF, alt, partial(plots.tradeoff, placed, all_names, x, y)
    )

    shown = documents[
        (documents["benchmark"] == benchmark)
        & (documents["fraction"] == lowest)
        & documents["run"].isin(names)
    ]
    panels = [row.run.name for row in first if row.run.name in set(shown["run"])]
    if not panels:
        return
    listed = f"for each of {', '.join(panels)}"
    title = f"What coverage would cost{at}"
    alt = f"{title}: coverage against mean overshoot as predictions are scaled, one line {listed}"
    yield Drawing("safety" + end, title, SAFETY, alt, partial(plots.safety, first, names, shown))
    for name, heading, caption, draw in (
        ("bounds", "Predicted bound against true length", SCATTER, small_multiples.scatter),
        ("errors", "Bound minus true length", DISTRIBUTION, small_multiples.distribution),
        (
            "buckets",
            "Power-of-two buckets of bound and length",
            CONFUSION,
            small_multiples.confusion,
        ),
    ):
        alt = f"{heading}{at}: one panel {listed}"
        yield Drawing(
            name + end, f"{heading}{at}", caption, alt, partial(draw, panels, shown), wide=True
        )

    curved = shown[shown["eos_probability"].notna() & (shown["censored"] == 0)]
    curves = [name for name in panels if name in set(curved["run"])]
    if curves:
        listed = f"for each of {', '.join(curves)}"
        for name, heading, caption, pen in (
            (
                "eos_average",
                "Probability of the end, around the true end",
                EOS_AVERAGE,
                plots.eos_average,
            ),
            (
                "eos_calibration",
                "Do probabilities of the end mean what they say?",
                CALIBRATION,
                plots.calibration,
            ),
        ):
            yield Drawing(
                name + end,
                f"{heading}{at}",
                caption,
                f"{heading}{at}: one line {listed}",
                partial(pen, names, curved),
            )
        heading = f"Probability of the end, single prompts{at}"
        draw_prompts = partial(small_multiples.eos_prompts, names, curved)
        yield Drawing(
            "eos_prompts" + end,
            heading,
            EOS_PROMPTS,
            f"{heading}: one line {listed}",
            draw_prompts,
            wide=True,
        )


def _of_generation(generation: Table, task: str, end: str) -> Iterator[Drawing]:
    """Quality against compute, for the runs that have a run with the full canvas to be measured by."""
    rows = [row for row in generation.rows if row.task == task and "quality" in row.cells]
    runs: Sequence[Run] = in_order(row.run for row in rows)
    relative = {
        row.run.name: 1 / row.cells["speedup"].value for row in rows if "speedup" in row.cells
    }
    relative |= {
        run.name: 1.0
        for run in runs
        if run.method == "fixed" and reference_run(run, task, runs, "fixed")
    }
    placed = [row for row in rows if row.run.name in relative][:RUNS_SHOWN]
    if len(placed) < 2:
        return
    names = [row.run.name for row in placed]
    others = [row for row in rows if row.run.settings is None]
    column = next(column for column in generation.columns if column.key == "quality")
    title = f"Quality against compute, {task}"
    alt = f"{title}: " + "; ".join(
        f"{row.run.name}: {text(row, column)} at {relative[row.run.name]:.2f} of the full canvas"
        for row in placed
    )
    yield Drawing(
        "quality" + end,
        title,
        QUALITY,
        alt,
        partial(plots.quality, placed, names, relative, others, column),
    )


def themed_svg(svg: bytes) -> str:
    """The figure with its ink handed over to the reader's light or dark scheme."""
    theme = f"<style>:root{{--ink:{style.INK}}}@media(prefers-color-scheme:dark){{:root{{--ink:#dfe2e7}}}}</style>"
    head, tag, rest = svg.decode().partition("<defs>")
    return (
        head.replace(style.INK, "var(--ink)") + theme + tag + rest.replace(style.INK, "var(--ink)")
    )


def _in_words(row: Row, column: Column) -> str:
    return f"{row.run.name} at {(row.fraction or 0) * 100:.0f}%: {column.title} {text(row, column)}"
