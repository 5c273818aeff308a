"""The tables of `python -m benchmarks.ablation`: every model, every recipe, and paired tests.

`recipes.csv` has a row a model, and `recipes.md` tables with a line a recipe. `differences.csv` has
a row for each recipe and measure: by how much it differs from the recipe that LLaDA was fine-tuned
by, on the same documents. The documents are what was sampled, so the seeds of a recipe are averaged
document by document before the paired bootstrap, and Holm's correction runs over the recipes of a
measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.ablation_results import CANVASES, KNOWN, METHODS, Model
from eosbench.metrics import holm, paired

REFERENCE = "eoseos"  # of the paired tests: LLaDA's fine-tuning
BOUNDS = ("logit", *METHODS)


@dataclass(frozen=True)
class Section:
    """One table of recipes.md.

    Attributes:
        title: its heading.
        columns: a column of recipes.csv -> its heading.
        digits: behind the point.
    """

    title: str
    columns: Mapping[str, str]
    digits: int = 3


def _of_methods(metric: str, task: str) -> dict[str, str]:
    return {f"{metric}.{method}.{task}": method for method in BOUNDS}


def _of_canvases(metric: str) -> dict[str, str]:
    return {f"{metric}.{canvas}": str(canvas) for canvas in CANVASES}


BEHIND_PREFIXES = {
    f"eos_false.prefix_u{percent}": f"eos_false, {percent} % shown" for percent in (25, 50, 75)
}
SECTIONS = (
    Section(
        "Ends at step zero", {f"{metric}.u00": metric for metric in KNOWN} | BEHIND_PREFIXES, 2
    ),
    Section("Bounds at 95 %: overshoot in tokens", _of_methods("overshoot", "u00"), 1),
    Section("Bounds at 95 %: compute ratio", _of_methods("compute_ratio", "u00")),
    Section("Bounds at 95 %: coverage", _of_methods("coverage", "u00")),
    Section(
        "Bounds at 95 %: coverage of longer answers", _of_methods("coverage", "length_ood_u00")
    ),
    Section(
        "Bounds at 95 %: coverage of other families", _of_methods("coverage", "domain_ood_u00")
    ),
    Section("Answers by canvas: exact match", _of_canvases("exact_match")),
    Section(
        "Answers by canvas: characters over those of the reference",
        _of_canvases("relative_length"),
        2,
    ),
    Section("Loss: nats per masked token of held-out answers", {"text_loss": "text loss"}),
    Section("Time", {"steps": "steps", "seconds": "seconds"}, 0),
)


def summary(rows: pd.DataFrame, sections: Sequence[Section] = SECTIONS) -> str:
    """The rows as Markdown: in every section a line a recipe, mean ± deviation over seeds.

    A recipe with one seed has no deviation. Sections and lines of which nothing is known yet are
    left out.

    Args:
        rows: of recipes.csv, a model a row.
        sections: the tables.
    """
    return "\n".join(text for section in sections if (text := _section(rows, section)))


def _section(rows: pd.DataFrame, section: Section) -> str:
    own = rows.reindex(columns=["recipe", *section.columns])
    own = own[own[list(section.columns)].notna().any(axis=1)]
    if own.empty:
        return ""
    lines = [f"## {section.title}", ""]
    lines.append(f"| recipe | seeds | {' | '.join(section.columns.values())} |")
    lines.append("| --- | ---: |" + " ---: |" * len(section.columns))
    for recipe, seeds in own.groupby("recipe", sort=False):
        cells = [_cell(seeds[column], section.digits) for column in section.columns]
        lines.append(f"| {recipe} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: pd.Series, digits: int = 3) -> str:
    """Mean of a column, and its deviation over seeds.

    >>> _cell(pd.Series([1.0, 3.0])), _cell(pd.Series([2.0]), 1), _cell(pd.Series([float("nan")]))
    ('2.000 ± 1.414', '2.0', '–')
    """
    known = values.dropna()
    if known.empty:
        return "–"
    spread = f" ± {known.std():.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{spread}"


def differences(documents: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Every recipe less the reference, by measure: difference, interval at 95 %, p after Holm.

    Args:
        documents: those of all models.
        reference: a recipe; nothing is compared where it is not among them, or alone.
    """
    if not {reference} < set(documents["recipe"]):
        return pd.DataFrame()
    joined = documents.groupby(["measure", "document", "recipe"], sort=False)["value"].mean()
    rows = []
    for measure, values in joined.groupby(level="measure", sort=False):
        by_recipe = values.droplevel("measure").unstack("recipe")
        if not {reference} < set(by_recipe):  # one of the two is asked later
            continue
        others = by_recipe.drop(columns=reference)
        same = pd.concat([by_recipe[reference]] * others.shape[1], axis=1)
        difference, low, high, p = paired(others.to_numpy(), same.to_numpy())
        table = {"measure": measure, "recipe": others.columns, "less": reference}
        table |= {"difference": difference, "low": low, "high": high, "p_holm": holm(p)}
        rows.append(pd.DataFrame(table))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def write_tables(models: Sequence[Model], output: Path) -> None:
    """Writes recipes.csv, recipes.md and, where there is something to compare, differences.csv.

    Args:
        models: the finished ones, at least one.
        output: the folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows = pd.DataFrame([model.row for model in models])
    rows.to_csv(output / "recipes.csv", index=False, float_format="%.5g")
    (output / "recipes.md").write_text(summary(rows), encoding="utf-8")
    compared = differences(pd.concat([model.documents for model in models]))
    write_csv(compared, output / "differences.csv")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a table, or leaves no file of an earlier one where it is empty.

    Args:
        table: its rows.
        path: of the file.
    """
    if table.empty:
        path.unlink(missing_ok=True)
    else:
        table.to_csv(path, index=False, float_format="%.4g")
