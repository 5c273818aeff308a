"""The report's page: one HTML file that loads nothing, runs one script of its own, and treats every text it shows as hostile.

Jinja escapes all text, samples travel as JSON inside a data block and reach the page through textContent, and the page's content
security policy allows the one script and the one style sheet by their hashes, images as data URIs, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eosbench.report.columns import Column
from eosbench.report.exports import Tables
from eosbench.report.figures import Drawing, themed_svg
from eosbench.report.style import COLOURS
from eosbench.report.tables import Row, interval, text
from eosbench.results import Run, Score, Skipped

if TYPE_CHECKING:
    import pandas as pd

SAMPLES = 48  # documents in the browser, spread over families
CLIP = 1500  # characters of a prompt or an answer
SKIPPED_SHOWN = 100


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
    style, script = ((templates / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    environment = Environment(
        loader=PackageLoader("eosbench.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(cell=text, sort_key=_sort_key, tip=_tip)
    names = list(dict.fromkeys(row.run.name for row in tables.comparison.rows))
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
        pictures=[(drawing, _data_uri(svg)) for drawing, svg in pictures],
        skipped=skipped[:SKIPPED_SHOWN],
        unlisted=max(0, len(skipped) - SKIPPED_SHOWN),
        settings=[(run, _settings(run)) for run in runs],
        samples=_samples(documents, names),
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(themed_svg(svg).encode()).decode()


def _sort_key(row: Row, column: Column) -> str:
    """What the script sorts by: empty where nothing is defined, which always goes last."""
    value = row.cells.get(column.key, Score(math.nan)).value
    return "" if math.isnan(value) else repr(value)


def _tip(row: Row, column: Column) -> str:
    """The interval and the count behind a cell."""
    score = row.cells.get(column.key)
    if score is None or math.isnan(score.value):
        return "not defined for any document" if score is not None else "not measured"
    low, high = interval(score, column)
    scale = 100 if column.percent else 1
    known = "" if math.isnan(low) else f"95% interval {low * scale:.{column.digits}f} to {high * scale:.{column.digits}f}, "
    return f"{known}n = {score.count}" if score.count else known.removesuffix(", ")


def _settings(run: Run) -> list[tuple[str, str]]:
    """A run's settings as flat pairs of dotted name and text, the costs left to their own table."""
    pairs = [("model", run.model), ("results", ", ".join(sorted({task.path.name for task in run.tasks.values()})))]
    for name, value in (run.settings or {}).items():
        if isinstance(value, dict) and name != "costs":
            pairs += [(f"{name}.{inner}", str(what)) for inner, what in value.items()]
        elif name != "costs":
            pairs.append((name, "none" if value is None else str(value)))
    return pairs


def _samples(documents: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """What the sample browser shows: texts once a document, and per fraction the revealed positions and each run's bound."""
    bounds = documents[documents["benchmark"].notna()]
    shown = []
    for benchmark, document in _spread(bounds):
        rows = bounds[(bounds["benchmark"] == benchmark) & (bounds["document"] == document)]
        views: dict[float, dict[str, Any]] = {}
        for row in rows.sort_values("fraction", kind="stable").to_dict("records"):
            revealed = [int(position) for position in row["revealed"]]
            view = views.setdefault(
                float(row["fraction"]), {"fraction": float(row["fraction"]), "revealed": revealed, "bounds": []}
            )
            view["bounds"].append({"run": names.index(row["run"]), "bound": int(row["bound"])})
            view["bounds"].sort(key=lambda shown: shown["run"])
        first = rows.iloc[0]
        about = {"family": first["family"] or "", "prompt": _clip(first["prompt"]), "answer": _clip(first["answer"])}
        sizes = {"length": int(first["length"]), "canvas": int(first["canvas"])}
        shown.append({"benchmark": benchmark, **about, **sizes, "views": list(views.values())})
    return {"runs": list(names), "colours": [COLOURS[index % len(COLOURS)] for index in range(len(names))], "documents": shown}


def _spread(bounds: pd.DataFrame) -> list[tuple[str, str]]:
    """Up to SAMPLES (benchmark, document) pairs, one of each benchmark and family in turn, long-winded families first."""
    queues: dict[tuple[str, str], list[tuple[str, str]]] = {}
    first = bounds.drop_duplicates(["benchmark", "document"])
    typical = first.groupby("family", dropna=False)["length"].median()
    for benchmark, family, document in zip(first["benchmark"], first["family"], first["document"], strict=True):
        queues.setdefault((benchmark, family or ""), []).append((benchmark, document))
    ranked = sorted(queues, key=lambda key: -typical.get(key[1] or None, 0.0))
    turns = zip_longest(*(queues[key] for key in ranked))
    return [pair for turn in turns for pair in turn if pair is not None][:SAMPLES]


def _clip(text: str) -> str:
    return text if len(text) <= CLIP else text[:CLIP] + " …"
