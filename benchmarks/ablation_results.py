"""The finished models of an ablation, read from its folder: a row, documents and predictions each.

A model is finished when it is trained and its bounds are asked for; the canvases that it has
answered on count one by one. So the tables of an ablation that still runs, or that was stopped,
hold whatever there is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eosbench.results import read_results

BASE = "text"
METHODS = ("smartcrop", "classification", "concat_regression", "average_regression")
CANVASES = (64, 128, 256, 512)
KNOWN = ("eos_top1", "eos_prob", "eos_mrr", "eos_false")
AT_95 = ("overshoot", "compute_ratio", "coverage")
EMPTY = "u00"  # the task whose canvas shows nothing of the answer
PREDICTED = ("document", "method", "prediction", "length", "canvas")


@dataclass(frozen=True)
class Model:
    """A finished model.

    Attributes:
        recipe: of the model.
        seed: of its training.
        row: its line of recipes.csv.
        documents: its measures: document, measure, value, recipe, seed.
        predictions: lengths before calibration, of every method, on the canvas that shows nothing:
            the columns of PREDICTED.
    """

    recipe: str
    seed: int
    row: dict[str, object]
    documents: pd.DataFrame
    predictions: pd.DataFrame


def finished(folder: Path, recipes: Sequence[str]) -> list[tuple[str, int]]:
    """Recipe and seed of every finished model, in the order of the recipes, others behind them.

    Args:
        folder: of the ablation.
        recipes: in the order of the tables; the base comes first.
    """
    order = {recipe: place for place, recipe in enumerate((BASE, *recipes))}
    found = []
    for done in folder.glob("results/*/bounds.done"):
        recipe, _, seed = done.parent.name.rpartition("-")
        if seed.isdecimal() and (folder / "models" / done.parent.name / "training.json").is_file():
            found.append((recipe, int(seed)))
    return sorted(found, key=lambda one: (order.get(one[0], len(order)), *one))


def read_model(folder: Path, recipe: str, seed: int) -> Model:
    """All that the tables need of one model of an ablation.

    Args:
        folder: of the ablation.
        recipe, seed: of the model, which is finished.
    """
    name = f"{recipe}-{seed}"
    record = json.loads((folder / "models" / name / "training.json").read_text("utf-8"))
    bounds = read_results(folder / "results" / name / "bounds")
    bounds["short"] = bounds["task"].str.removeprefix("eos_upper_bound_")
    parts = _of_bounds(bounds) + _of_answers(folder / "results" / name)
    documents = pd.concat(parts, ignore_index=True).assign(recipe=recipe, seed=seed)
    row: dict[str, object] = {"recipe": recipe, "seed": seed, "steps": record["steps"]}
    row |= {"seconds": record["seconds"], "text_loss": record["metrics"]["eval_loss"]}
    row |= dict(documents.groupby("measure", sort=False)["value"].mean())
    predictions = bounds.loc[bounds["short"] == EMPTY, list(PREDICTED)]
    return Model(recipe, seed, row, documents, predictions.reset_index(drop=True))


def _of_bounds(bounds: pd.DataFrame) -> list[pd.DataFrame]:
    """Measures of the model's ends and of its methods' bounds, document by document."""
    own, parts = bounds[bounds["method"] == "logit"], []
    for metric in KNOWN:
        parts.append(_values(own, metric, f"{metric}." + own["short"]))
    for metric in AT_95:
        names = f"{metric}." + bounds["method"] + "." + bounds["short"]
        parts.append(_values(bounds, metric, names))
    return parts


def _of_answers(found: Path) -> list[pd.DataFrame]:
    """Measures of the model's answers on every canvas that is done; the base answers nothing."""
    parts = []
    for canvas in CANVASES:
        if not (found / f"canvas-{canvas}.done").is_file():
            continue
        answers = read_results(found / f"canvas-{canvas}")
        answers["relative_length"] = answers["output"].str.len() / answers["answer"].str.len()
        for metric in ("exact_match", "relative_length"):
            names = pd.Series(f"{metric}.{canvas}", index=answers.index)
            parts.append(_values(answers, metric, names))
    return parts


def _values(frame: pd.DataFrame, metric: str, names: pd.Series) -> pd.DataFrame:
    values = frame[metric].astype(float)
    return pd.DataFrame({"document": frame["document"], "measure": names, "value": values})
