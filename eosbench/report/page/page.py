"""The report's page: one HTML file that loads nothing and treats every text as hostile.

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
from typing import TYPE_CHECKING

from eosbench.metrics import RESAMPLES
from eosbench.report.answers import Answers
from eosbench.report.columns import Column
from eosbench.report.contents import Tables
from eosbench.report.evidence import Evidence
from eosbench.report.figures import Drawing, themed_svg
from eosbench.report.page.samples import SEPARATORS, sample_data
from eosbench.report.tables import BELOW, Row, Table, places, text
from eosbench.results import Run, Score, Skipped

if TYPE_CHECKING:
    from jinja2 import Template

SKIPPED_SHOWN = 100
PAIRS_SHOWN = 300
FAMILY_ROWS_SHOWN = 300  # of a benchmark
SEED_ROWS_SHOWN, SEED_ROW_BYTES = 300, 1000  # taken from the sample browser's budget


def render_page(
    evidence: Evidence,
    tables: Tables,
    answers: Sequence[Answers],
    pictures: Sequence[tuple[Drawing, bytes]],
    skipped: Sequence[Skipped],
    folder: str,
) -> str:
    """The whole page as text.

    Args:
        evidence: the runs, whose settings are shown, and the documents of the sample browser.
        tables: made from them.
        answers: the sentences above them, of every benchmark.
        pictures: every figure with its SVG.
        skipped: what was found and not used.
        folder: the name of the folder with the results.
    """
    from markupsafe import Markup

    from eosbench import __version__

    style, script = _asset("style.css"), _asset("script.js")
    names = list(dict.fromkeys(row.run.name for row in tables.comparison.rows))
    generated = {row.task for row in tables.generation.rows if row.task}
    pairs = sorted(tables.pairs, key=lambda pair: (not pair.significant, pair.task, pair.metric))
    seeds = Table(tables.seeds.columns, tables.seeds.rows[:SEED_ROWS_SHOWN]).headline()
    first_seeds = {}
    if tables.seeds.rows:
        first_seeds = {group.run.name: group.members[0].name for group in tables.seed_groups}
    return _template().render(
        version=__version__,
        folder=folder,
        style=Markup(style),  # our own files, not input
        script=Markup(script),
        policy=_policy(style, script),
        answers=answers,
        comparison=tables.comparison.used(),
        generation=tables.generation,
        families={name: _shortened(table) for name, table in tables.families.items()},
        seeds=seeds,
        seeds_unlisted=len(tables.seeds.rows) - len(seeds.rows),
        resamples=RESAMPLES,
        first_seeds=first_seeds,
        ranks=tables.ranks,
        pairs=pairs[:PAIRS_SHOWN],
        pairs_unlisted=max(0, len(pairs) - PAIRS_SHOWN),
        names=names,
        tasks=[*tables.comparison.benchmarks, *sorted(generated)],
        below=BELOW,
        pictures=[(drawing, _data_uri(svg)) for drawing, svg in pictures],
        skipped=skipped[:SKIPPED_SHOWN],
        unlisted=max(0, len(skipped) - SKIPPED_SHOWN),
        settings=[(run, _settings(run)) for run in sorted(evidence.runs, key=_name)],
        samples=sample_data(evidence.documents, names, reserved=SEED_ROW_BYTES * len(seeds.rows)),
    )


def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("eosbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": SEPARATORS}
    environment.globals.update(cell=text, sort_key=_sort_key, tip=_tip, places=places)
    return environment.get_template("page.html.jinja")


def _asset(name: str) -> str:
    return (files("eosbench.report") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """The content security policy of a page with this style sheet and this script."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(themed_svg(svg).encode()).decode()


def _shortened(table: Table) -> tuple[Table, int]:
    """The first rows of a table, and how many it has."""
    return Table(table.columns, table.rows[:FAMILY_ROWS_SHOWN]), len(table.rows)


def _sort_key(row: Row, column: Column) -> str:
    """The value that the script sorts by; empty where nothing is defined, which goes last."""
    value = row.cells.get(column.key, Score(math.nan)).value
    return "" if math.isnan(value) else f"{value:.6g}"


def _tip(row: Row, column: Column) -> str:
    """The number of documents behind a cell, or why it is a dash."""
    score = row.cells.get(column.key)
    if score is None:
        return "not measured"
    if math.isnan(score.value):
        return "not defined for any document"
    return f"n = {score.count}" if score.count else ""


def _name(run: Run) -> str:
    return run.name


def _settings(run: Run) -> list[tuple[str, str]]:
    """A run's settings as flat pairs of dotted name and text, the costs left to their own table."""
    pairs = [
        ("model", run.model),
        ("results", ", ".join(sorted({task.path.name for task in run.tasks.values()}))),
    ]
    for name, value in ((run.settings or {}) | run.asked).items():
        if name == "costs":
            continue
        if isinstance(value, dict):
            pairs += [(f"{name}.{inner}", str(what)) for inner, what in value.items()]
        else:
            pairs.append((name, "none" if value is None else str(value)))
    return pairs
