"""Does training the model beat a head on a frozen one?

The best head on the base stands against `smartcrop`, which reads a trained model without any head,
on every recipe.

Which head is best was decided before the documents of the test were looked at: it is the one whose
bounds overshoot least on the calibration documents, each half calibrated by the other. Both sides
stand at equal coverage (equal_coverage.py) on the same documents. The overshoot of a recipe is the
mean over its seeds, and the resamples draw documents: the interval and p say what other documents
would have given, and `deviation` what other seeds would.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ablation_results import BASE, METHODS, Model
from benchmarks.ablation_tables import write_csv
from benchmarks.equal_coverage import draws, overshoot_at
from eosbench.metrics import Floats, holm, percentiles

ZERO_SHOT = "smartcrop"
HEADS = tuple(method for method in METHODS if method != ZERO_SHOT)


def best_head(heads: Path) -> str:
    """The head of least overshoot on its calibration documents, nothing unmasked.

    Args:
        heads: the folder of the predictors of one model.
    """
    scores = {}
    for head in HEADS:
        config = json.loads((heads / head / "config.json").read_text("utf-8"))
        scores[head] = config["fit"]["scores"]["0"]["overshoot"]
    return min(scores, key=lambda head: scores[head])


def head_or_training(models: Sequence[Model], head: str) -> pd.DataFrame:
    """A row a recipe: smartcrop on it less the head on the base, in tokens of overshoot.

    Args:
        models: the finished ones; nothing is compared unless the base and a recipe are among them.
        head: of the base.

    Returns:
        recipe, seeds, head, the overshoot and coverage of both, their difference (negative:
        training beats the head), the ends of its interval at 95 %, p, p after Holm over the
        recipes, and the deviation of smartcrop's overshoot over seeds.
    """
    of_base = [model for model in models if model.recipe == BASE]
    trained: dict[str, list[Model]] = {}
    for model in models:
        if model.recipe != BASE:
            trained.setdefault(model.recipe, []).append(model)
    if not of_base or not trained:
        return pd.DataFrame()
    documents = _documents(models)
    counts_RN = draws(len(documents))
    head_R, head_coverage = _over_seeds(of_base, head, documents, counts_RN)[:2]
    rows = []
    for recipe, seeds in trained.items():
        own_R, coverage, deviation = _over_seeds(seeds, ZERO_SHOT, documents, counts_RN)
        row = {"recipe": recipe, "seeds": len(seeds), "head": head}
        row |= {"head_overshoot": head_R[0], "smartcrop_overshoot": own_R[0]}
        row |= {"head_coverage": head_coverage, "smartcrop_coverage": coverage}
        rows.append(row | _compared(own_R - head_R) | {"deviation": deviation})
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"]))
    return table


def write_comparison(models: Sequence[Model], heads: Path, output: Path) -> None:
    """Writes head_or_training.csv and .md, or leaves none where nothing can be compared.

    Args:
        models: the finished ones.
        heads: the folder of the predictors of the base.
        output: the folder of the tables.
    """
    based = any(model.recipe == BASE for model in models)
    table = head_or_training(models, best_head(heads)) if based else pd.DataFrame()
    write_csv(table, output / "head_or_training.csv")
    text = output / "head_or_training.md"
    if table.empty:
        text.unlink(missing_ok=True)
    else:
        text.write_text(as_markdown(table), encoding="utf-8")


def _documents(models: Sequence[Model]) -> list[str]:
    """The documents that every model has answered, in one order."""
    answered = [set(model.predictions["document"]) for model in models]
    return sorted(set.intersection(*answered))


def _over_seeds(
    seeds: Sequence[Model], method: str, documents: list[str], counts_RN: Floats
) -> tuple[Floats, float, float]:
    """Overshoot under every resample [1 + R], mean over seeds; coverage; deviation over seeds."""
    overshoots, coverages = [], []
    for model in seeds:
        own = model.predictions[model.predictions["method"] == method]
        own = own.drop_duplicates("document").set_index("document").loc[documents]
        overshoot_R, coverage_R = overshoot_at(
            own["prediction"].to_numpy(float),
            own["length"].to_numpy(float),
            counts_RN,
            canvas=int(own["canvas"].iloc[0]),
        )
        overshoots.append(overshoot_R)
        coverages.append(coverage_R[0])
    overshoot_SR = np.array(overshoots)
    deviation = float(overshoot_SR[:, 0].std(ddof=1)) if len(seeds) > 1 else np.nan
    return overshoot_SR.mean(axis=0), float(np.mean(coverages)), deviation


def _compared(difference_R: Floats) -> dict[str, float]:
    """A difference, its percentile interval, and a normal p-value on its resampled deviation."""
    from scipy.stats import norm

    difference, resampled_R = difference_R[0], difference_R[1:]
    low, high = percentiles(resampled_R[:, None])
    spread = resampled_R.std()
    p = 2 * norm.sf(abs(difference) / spread) if spread > 0 else float(difference == 0)
    return {"difference": difference, "low": low[0], "high": high[0], "p": p}


def as_markdown(table: pd.DataFrame) -> str:
    """The table for people; a recipe with one seed has no deviation.

    Args:
        table: of `head_or_training`, with at least one row.
    """
    head = table["head"].iloc[0]
    heading = f"{head} on {BASE}"
    lines = [f"| recipe | seeds | {heading} | {ZERO_SHOT} on it | difference | p (Holm) |"]
    lines.append("| --- |" + " ---: |" * 5)
    for row in table.to_dict("records"):
        spread = "" if np.isnan(row["deviation"]) else f" ± {row['deviation']:.1f}"
        interval = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
        p = f"{row['p_holm']:.3f}" if row["p_holm"] >= 0.001 else "< 0.001"
        cells = [row["recipe"], str(row["seeds"]), f"{row['head_overshoot']:.1f}"]
        cells += [f"{row['smartcrop_overshoot']:.1f}{spread}", interval, p]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
