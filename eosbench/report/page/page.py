"""The report's page: one HTML file that loads nothing, runs one script of its own, and treats every
text it shows as hostile.

Jinja escapes all text, samples travel as JSON inside a data block and reach the page through
textContent, and the page's content security policy allows the one script and the one style sheet by
their hashes, images as data URIs, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from eosbench.metrics import RESAMPLES
from eosbench.report.columns import Column
from eosbench.report.exports import Tables
from eosbench.report.figures.drawings import Drawing, themed_svg
from eosbench.report.page.samples import SEPARATORS, sample_data
from eosbench.report.seeds import seed_groups
from eosbench.report.tables import BELOW, Row, Table, places, text
from eosbench.results import Run, Score, Skipped

if TYPE_CHECKING:
    import pandas as pd

SKIPPED_SHOWN = 100
PAIRS_SHOWN = 300
FAMILY_ROWS_SHOWN = 300  # a benchmark
SEED_ROWS_SHOWN, SEED_ROW_BYTES = 300, 1000  # taken from the sample browser's budget


def render_page(
    runs: Sequence[Run],
    tables: Tables,
    documents: pd.DataFrame,
    pictures: Sequence[tuple[Drawing, bytes]],
    skipped: Sequence[Skipped],
    results: Path,
) -> str:
    """The whole page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from eosbench import __version__

    templates = files("eosbench.report") / "templates"
    style, script = (
        (templates / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
    )
    environment = Environment(
        loader=PackageLoader("eosbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": SEPARATORS}
    environment.globals.update(cell=text, sort_key=_sort_key, tip=_tip, places=places)
    names = list(dict.fromkeys(row.run.name for row in tables.comparison.rows))
    tasks = [
        *tables.comparison.benchmarks,
        *sorted({row.task for row in tables.generation.rows if row.task}),
    ]
    pairs = sorted(tables.pairs, key=lambda pair: (not pair.significant, pair.task, pair.metric))
    seeds = Table(tables.seeds.columns, tables.seeds.rows[:SEED_ROWS_SHOWN]).headline()
    return environment.get_template(
        "page.html.jinja"
    ).render(
        version=__version__,
        folder=results.name,
        style=Markup(style),  # our own files, not input
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'",
        comparison=tables.comparison.used(),
        generation=tables.generation,
        families={
            name: (Table(table.columns, table.rows[:FAMILY_ROWS_SHOWN]), len(table.rows))
            for name, table in tables.families.items()
        },
        seeds=seeds,
        seeds_unlisted=len(tables.seeds.rows) - len(seeds.rows),
        resamples=RESAMPLES,
        first_seeds={group.run.name: group.members[0].name for group in seed_groups(runs)}
        if tables.seeds.rows
        else {},
        ranks=tables.ranks,
        pairs=pairs[:PAIRS_SHOWN],
        pairs_unlisted=max(0, len(pairs) - PAIRS_SHOWN),
        names=names,
        tasks=tasks,
        below=BELOW,
        pictures=[(drawing, _data_uri(svg)) for drawing, svg in pictures],
        skipped=skipped[:SKIPPED_SHOWN],
        unlisted=max(0, len(skipped) - SKIPPED_SHOWN),
        settings=[(run, _settings(run)) for run in runs],
        samples=sample_data(documents, names, reserved=SEED_ROW_BYTES * len(seeds.rows)),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(themed_svg(svg).encode()).decode()


def _sort_key(row: Row, column: Column) -> str:
    """What the script sorts by: empty where nothing is defined, which always goes last."""
    value = row.cells.get(column.key, Score(math.nan)).value
    return "" if math.isnan(value) else f"{value:.6g}"


def _tip(row: Row, column: Column) -> str:
    """How many documents stand behind a cell, or why it is a dash."""
    score = row.cells.get(column.key)
    if score is None or math.isnan(score.value):
        return "not defined for any document" if score is not None else "not measured"
    return f"n = {score.count}" if score.count else ""


def _settings(run: Run) -> list[tuple[str, str]]:
    """A run's settings as flat pairs of dotted name and text, the costs left to their own table."""
    pairs = [
        ("model", run.model),
        ("results", ", ".join(sorted({task.path.name for task in run.tasks.values()}))),
    ]
    for name, value in ((run.settings or {}) | run.asked).items():
        if isinstance(value, dict) and name != "costs":
            pairs += [(f"{name}.{inner}", str(what)) for inner, what in value.items()]
        elif name != "costs":
            pairs.append((name, "none" if value is None else str(value)))
    return pairs
