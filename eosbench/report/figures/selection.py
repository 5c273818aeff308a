"""The figures that a report has: which of them the results allow, and what each one shows.

plots.py and small_multiples.py hold the pens, captions.py says how to read what they draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from eosbench.report.columns import BOUND_COLUMNS, Column
from eosbench.report.contents import Tables
from eosbench.report.evidence import LIMITS, Evidence
from eosbench.report.figures import captions, plots, small_multiples
from eosbench.report.figures.drawing import Drawing
from eosbench.report.tables import Row, Table, text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    Pen = Callable[[Sequence[str], pd.DataFrame], Figure]

COLUMNS = {column.key: column for column in BOUND_COLUMNS}
RUNS_SHOWN = 9  # more lines than this cannot be told apart; the tables have them all

# Of single documents: file name, heading, caption and pen, with a panel per run ...
PANELS: tuple[tuple[str, str, str, Pen], ...] = (
    (
        "bounds",
        "Predicted bound against true length",
        captions.SCATTER,
        small_multiples.scatter,
    ),
    (
        "errors",
        "Bound minus true length",
        captions.DISTRIBUTION,
        small_multiples.distribution,
    ),
    (
        "buckets",
        "Power-of-two buckets of bound and length",
        captions.CONFUSION,
        small_multiples.confusion,
    ),
)
# ... and with a line per run that gives a probability of the end at each position.
CURVES: tuple[tuple[str, str, str, Pen], ...] = (
    (
        "eos_average",
        "Probability of the end, around the true end",
        captions.EOS_AVERAGE,
        plots.eos_average,
    ),
    (
        "eos_calibration",
        "Do probabilities of the end mean what they say?",
        captions.CALIBRATION,
        plots.calibration,
    ),
    (
        "eos_prompts",
        "Probability of the end, single prompts",
        captions.EOS_PROMPTS,
        small_multiples.eos_prompts,
    ),
)


def drawings(evidence: Evidence, tables: Tables) -> list[Drawing]:
    """Every figure that the results allow, benchmark by benchmark and task by task.

    The names of a further benchmark's figures end in its own.
    """
    made: list[Drawing] = []
    benchmarks = tables.comparison.benchmarks
    for benchmark in benchmarks:
        further = benchmark != benchmarks[0]
        end = f"_{benchmark.removeprefix('eos_upper_bound_')}" if further else ""
        where = f" ({benchmark})" if len(benchmarks) > 1 else ""
        chosen = _choose(tables.comparison, benchmark)
        made += _of_comparison(chosen, end, where)
        made += _of_documents(chosen, evidence.documents, end, where)
    tasks = sorted({row.task for row in tables.generation.rows if row.task})
    for task in tasks:
        made += _of_generation(tables.generation, task, "" if task == tasks[0] else f"_{task}")
    return made


@dataclass(frozen=True)
class _Chosen:
    """The rows of one benchmark that its figures show.

    Attributes:
        lowest: the least unmasked fraction.
        names: the runs, in the order of their colours.
        rows: theirs, at every fraction.
        first: theirs, at the least fraction.
        limits: those of the limits that are not among them, at the least fraction.
    """

    benchmark: str
    lowest: float
    names: list[str]
    rows: list[Row]
    first: list[Row]
    limits: list[Row]


def _choose(table: Table, benchmark: str) -> _Chosen:
    """The first runs of a benchmark; the limits are among them only where there is nothing else.

    The limits are straight lines that would set the scale.
    """
    rows = [row for row in table.rows if row.benchmark == benchmark]
    methods = [row for row in rows if row.run.method not in LIMITS] or rows
    names = list(dict.fromkeys(row.run.name for row in methods))[:RUNS_SHOWN]
    lowest = table.fractions(benchmark)[0]
    first, limits = [], []
    for row in rows:
        if row.fraction == lowest and row.run.name in names:
            first.append(row)
        elif row.fraction == lowest and row.run.method in LIMITS:
            limits.append(row)
    shown = [row for row in rows if row.run.name in names]
    return _Chosen(benchmark, lowest, names, shown, first, limits)


def _of_comparison(chosen: _Chosen, end: str, where: str) -> Iterator[Drawing]:
    """The figures of a benchmark that need no documents, as far as a run has something to show.

    Of answers that are all longer than the canvas no metric is defined.
    """
    for key, reading in captions.READINGS.items():
        column = COLUMNS[key]
        if not _any_defined(chosen.rows, column):
            continue
        title = f"{key.capitalize()} against the unmasked fraction{where}"
        alt = f"{title}: " + "; ".join(_in_words(row, column) for row in chosen.rows)
        draw = partial(plots.lines, chosen.rows, chosen.names, column)
        yield Drawing(key + end, title, f"{reading} {captions.ACROSS}", alt, draw)
    x, y = COLUMNS["compute_ratio"], COLUMNS["coverage"]
    title = f"Coverage against compute, {chosen.lowest:.0%} unmasked{where}"
    placed = [*chosen.first, *chosen.limits]
    if not (_any_defined(placed, x) and _any_defined(placed, y)):
        return
    words = [f"{_in_words(row, y)}, {x.title} {text(row, x)}" for row in placed]
    draw = partial(plots.tradeoff, placed, [row.run.name for row in placed], x, y)
    yield Drawing("tradeoff" + end, title, captions.TRADEOFF, f"{title}: {'; '.join(words)}", draw)


def _of_documents(
    chosen: _Chosen, documents: pd.DataFrame, end: str, where: str
) -> Iterator[Drawing]:
    """The figures of a benchmark that show single documents, at the least unmasked fraction.

    A run has a panel where it logged a document whose answer fits the canvas.
    """
    shown = documents[
        (documents["benchmark"] == chosen.benchmark)
        & (documents["fraction"] == chosen.lowest)
        & documents["run"].isin(chosen.names)
    ]
    if shown.empty:
        return
    fitting = set(shown.loc[shown["censored"] == 0, "run"])
    panels = [row.run.name for row in chosen.first if row.run.name in fitting]
    if not panels:
        return
    at = f", {chosen.lowest:.0%} unmasked{where}"
    listed = f"for each of {', '.join(panels)}"
    title = f"What coverage would cost{at}"
    alt = f"{title}: coverage against mean overshoot as predictions are scaled, one line {listed}"
    draw = partial(plots.safety, chosen.first, chosen.names, shown)
    yield Drawing("safety" + end, title, captions.SAFETY, alt, draw)

    for name, heading, caption, pen in PANELS:
        title = heading + at
        alt = f"{title}: one panel {listed}"
        yield Drawing(name + end, title, caption, alt, partial(pen, panels, shown), wide=True)

    curved = shown[shown["eos_probability"].notna() & (shown["censored"] == 0)]
    with_curves = set(curved["run"])
    curves = [name for name in panels if name in with_curves]
    if not curves:
        return
    for name, heading, caption, pen in CURVES:
        title = heading + at
        alt = f"{title}: one line for each of {', '.join(curves)}"
        draw = partial(pen, chosen.names, curved)
        yield Drawing(name + end, title, caption, alt, draw, wide=name == "eos_prompts")


def _of_generation(generation: Table, task: str, end: str) -> Iterator[Drawing]:
    """Quality against compute, for runs that have one with the full canvas to be measured by."""
    rows = [row for row in generation.rows if row.task == task and "quality" in row.cells]
    compute: dict[str, float] = {}
    for row in rows:
        if row.run.method == "fixed":
            compute[row.run.name] = 1.0
        elif "speedup" in row.cells:
            compute[row.run.name] = 1 / row.cells["speedup"].value
    placed = [row for row in rows if row.run.name in compute][:RUNS_SHOWN]
    if len(placed) < 2:
        return
    names = [row.run.name for row in placed]
    others = [row for row in rows if row.run.settings is None]
    column = next(column for column in generation.columns if column.key == "quality")
    title = f"Quality against compute, {task}"
    words = [
        f"{row.run.name}: {text(row, column)} at {compute[row.run.name]:.2f} of the full canvas"
        for row in placed
    ]
    draw = partial(plots.quality, placed, names, compute, others, column)
    yield Drawing("quality" + end, title, captions.QUALITY, f"{title}: {'; '.join(words)}", draw)


def _any_defined(rows: Sequence[Row], column: Column) -> bool:
    """Whether some row has a value in the column."""
    scores = (row.cells.get(column.key) for row in rows)
    return any(score is not None and not math.isnan(score.value) for score in scores)


def _in_words(row: Row, column: Column) -> str:
    return f"{row.run.name} at {(row.fraction or 0) * 100:.0f}%: {column.title} {text(row, column)}"
