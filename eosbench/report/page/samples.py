"""The documents of the page's sample browser.

Texts are there once per document; per unmasked fraction there are the revealed positions and each
run's bound.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from eosbench.report.figures.style import COLOURS

if TYPE_CHECKING:
    import pandas as pd

BUDGET = 600_000  # bytes of JSON: the whole page of a hundred runs stays under three million
SEPARATORS = (",", ":")  # of that JSON
CLIP = 1500  # characters of a prompt or an answer


def sample_data(documents: pd.DataFrame, names: Sequence[str], reserved: int = 0) -> dict[str, Any]:
    """As many documents as the budget holds, families in turn.

    Args:
        documents: as `Evidence.documents`; those without a bound are left out.
        names: the runs; bounds stand in this order, null where a run has none.
        reserved: bytes of the budget that are spent on another part of the page.
    """
    bounds = documents[documents["benchmark"].notna()].sort_values("fraction", kind="stable")
    places = bounds.groupby(["benchmark", "document"], sort=False).indices
    shown, spent = [], reserved
    for benchmark, document in _spread(bounds):
        sample = _sample(bounds.iloc[places[benchmark, document]], names)
        spent += len(json.dumps(sample, separators=SEPARATORS))
        if spent > BUDGET:
            break
        shown.append(sample)
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(names))]
    return {"runs": list(names), "colours": colours, "documents": shown, "total": len(places)}


def _sample(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """One document, from its rows of all runs and fractions."""
    first = rows.iloc[0]
    views: dict[float, dict[str, Any]] = {}
    for fraction, revealed, run, bound in zip(
        rows["fraction"], rows["revealed"], rows["run"], rows["bound"], strict=True
    ):
        blank: list[int | None] = [None] * len(names)
        empty = {"fraction": float(fraction), "revealed": list(revealed), "bounds": blank}
        view = views.setdefault(float(fraction), empty)
        view["bounds"][names.index(run)] = int(bound)
    return {
        "benchmark": first["benchmark"],
        "document": first["document"],
        "family": first["family"] or "",
        "prompt": _clip(first["prompt"]),
        "answer": _clip(first["answer"]),
        "length": int(first["length"]),
        "canvas": int(first["canvas"]),
        "views": list(views.values()),
    }


def _spread(bounds: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Benchmarks and documents, one of each benchmark and family in turn.

    Families with long answers come first.
    """
    queues: dict[tuple[str, str], list[tuple[str, str]]] = {}
    first = bounds.drop_duplicates(["benchmark", "document"])
    typical = first.groupby("family", dropna=False)["length"].median()
    for benchmark, family, document in zip(
        first["benchmark"], first["family"], first["document"], strict=True
    ):
        key = (benchmark, family if isinstance(family, str) else "")
        queues.setdefault(key, []).append((benchmark, document))
    ranked = sorted(queues, key=lambda key: -typical.get(key[1] or None, 0.0))
    for turn in zip_longest(*(queues[key] for key in ranked)):
        yield from (pair for pair in turn if pair is not None)


def _clip(text: str) -> str:
    return text if len(text) <= CLIP else text[:CLIP] + " …"
