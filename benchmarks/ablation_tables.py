"""The tables of `python -m benchmarks.ablation`: every model, every recipe, and paired tests.

`recipes.csv` has a row a model, `recipes.md` a line a recipe, and `differences.csv` a row for each
recipe and measure: by how much it differs from the recipe that LLaDA was fine-tuned by, on the same
documents. The documents are what was sampled, so the seeds of a recipe are averaged document by
document before the paired bootstrap, and Holm's correction runs over the recipes of a measure.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from eosbench.metrics import holm, paired
from eosbench.results import read_results

METHODS = ("smartcrop", "classification", "concat_regression", "average_regression")
CANVASES = (64, 128, 256, 512)
KNOWN = ("eos_top1", "eos_prob", "eos_mrr", "eos_false")
AT_95 = ("overshoot", "compute_ratio", "coverage")
REFERENCE = "eoseos"  # of the paired tests: LLaDA's fine-tuning


def documents_of(recipe: str, seed: int, found: Path) -> pd.DataFrame:
    """The measures of one model, document by document: recipe, seed, document, measure, value.

    Args:
        recipe: of the model.
        seed: of its training.
        found: the folder of its results.
    """
    bounds = read_results(found / "bounds")
    bounds["short"] = bounds["task"].str.removeprefix("eos_upper_bound_")
    parts = []
    for metric in KNOWN:
        own = bounds[bounds["method"] == "logit"]
        parts.append(_values(own, metric, metric + "." + own["short"]))
    for metric in AT_95:
        parts.append(
            _values(bounds, metric, f"{metric}." + bounds["method"] + "." + bounds["short"])
        )
    for canvas in CANVASES:
        if not (found / f"canvas-{canvas}").is_dir():  # of the base, which answers nothing
            continue
        answers = read_results(found / f"canvas-{canvas}")
        said, right = answers["output"].str.len(), answers["answer"].str.len()
        answers["relative_length"] = said / right
        for metric in ("exact_match", "relative_length"):
            names = pd.Series(f"{metric}.{canvas}", index=answers.index)
            parts.append(_values(answers, metric, names))
    return pd.concat(parts).assign(recipe=recipe, seed=seed)


def _values(frame: pd.DataFrame, metric: str, names: pd.Series) -> pd.DataFrame:
    values = frame[metric].astype(float)
    return pd.DataFrame({"document": frame["document"], "measure": names, "value": values})


def row_of(recipe: str, seed: int, trained: Path, found: Path) -> dict[str, object]:
    """One line of recipes.csv: a model that went through all stages.

    Args:
        recipe: of the model.
        seed: of its training.
        trained: the folder of the model.
        found: the folder of its results.
    """
    record = json.loads((trained / "training.json").read_text("utf-8"))
    row: dict[str, object] = {"recipe": recipe, "seed": seed, "steps": record["steps"]}
    row |= {"seconds": record["seconds"], "text_loss": record["metrics"]["eval_loss"]}
    documents = documents_of(recipe, seed, found)
    return row | dict(documents.groupby("measure", sort=False)["value"].mean())


def summary(rows: pd.DataFrame) -> str:
    """The main columns as Markdown: a line a recipe, mean over seeds, deviation where it is."""
    shown = {f"{metric}.u00": metric for metric in KNOWN}
    shown |= {"eos_false.prefix_u50": "eos_false, half shown", "text_loss": "text loss"}
    for method in ("logit", *METHODS):
        shown[f"overshoot.{method}.u00"] = f"{method}: overshoot"
    for canvas in CANVASES:
        shown |= {f"exact_match.{canvas}": f"exact at {canvas}"}
        shown |= {f"relative_length.{canvas}": f"length at {canvas}"}
    shown["seconds"] = "seconds"
    lines = [f"| recipe | seeds | {' | '.join(shown.values())} |"]
    lines.append("| --- | ---: |" + " ---: |" * len(shown))
    for recipe, own in rows.groupby("recipe", sort=False):
        cells = [_cell(own[column]) if column in own else "" for column in shown]
        lines.append(f"| {recipe} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: pd.Series) -> str:
    """Mean of a column, and its deviation over seeds.

    >>> _cell(pd.Series([1.0, 3.0])), _cell(pd.Series([2.0]))
    ('2.000 ± 1.414', '2.000')
    """
    if values.isna().all():
        return "–"
    spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{spread}"


def differences(documents: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Every recipe less the reference, by measure: difference, interval at 95 %, p after Holm.

    Args:
        documents: rows of `documents_of`, of all models.
        reference: a recipe; nothing is compared where it is not among them, or alone.
    """
    if not {reference} < set(documents["recipe"]):
        return pd.DataFrame()
    joined = documents.groupby(["measure", "document", "recipe"], sort=False)["value"].mean()
    rows = []
    for measure, values in joined.groupby(level="measure", sort=False):
        by_recipe = values.droplevel("measure").unstack("recipe")
        others = by_recipe.drop(columns=reference)
        same = pd.concat([by_recipe[reference]] * others.shape[1], axis=1)
        difference, low, high, p = paired(others.to_numpy(), same.to_numpy())
        table = {"measure": measure, "recipe": others.columns, "less": reference}
        table |= {"difference": difference, "low": low, "high": high, "p_holm": holm(p)}
        rows.append(pd.DataFrame(table))
    return pd.concat(rows, ignore_index=True)


def write_tables(rows: pd.DataFrame, documents: pd.DataFrame, output: Path) -> None:
    """Writes the three tables into a folder.

    Args:
        rows: of `row_of`, a model a row.
        documents: of `documents_of`, of the same models.
        output: the folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows.to_csv(output / "recipes.csv", index=False, float_format="%.5g")
    (output / "recipes.md").write_text(summary(rows), encoding="utf-8")
    compared = differences(documents)
    compared.to_csv(output / "differences.csv", index=False, float_format="%.4g")
