"""`python -m benchmarks.variance`: where the variance of a mean overshoot comes from.

Every trained model gets its predictors several times, with other fit seeds on the same passes, and
variance_draws.py draws sets that calibrate and sets that are tested from the calibration documents.
The table of mean overshoots over training seed, fit seed, calibration set and tested set is
balanced, and variance_components.py takes it apart; the model is not run for any of its cells.

    python -m benchmarks.variance build/ablation/models/eoseos-? build/ablation/models/hazard-?
    python -m benchmarks.variance out/a out/b --fit-seeds 0,1,2,3 --output results/variance

Models whose training.json names one recipe are its training seeds. With one seed of a kind there
is no component of it, and the others are those under this one.

Legend: S training seeds, F fit seeds, K sets that calibrate, D sets that are tested.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.ablation import Stage
from benchmarks.ablation_results import METHODS
from benchmarks.ablation_tables import write_csv
from benchmarks.variance_components import Component, variance_components
from benchmarks.variance_draws import Pool, table_of
from eosbench.metrics import Floats

FACTORS = ("training", "fit", "calibration", "documents")
SOURCES = (*FACTORS, "interactions")
EVERY = "all"  # the mean over recipes

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def by_source(table_SFKD: Floats) -> dict[str, float]:
    """The variance that each source adds to one mean overshoot; interactions are one source."""
    found = variance_components(table_SFKD, FACTORS, {"fit": "training"})
    single = {name: found.pop(_own(name, found), Component(math.nan, 0)) for name in FACTORS}
    variances = {name: one.variance for name, one in single.items()}
    return variances | {"interactions": sum(one.variance for one in found.values())}


def _own(name: str, found: dict[frozenset[str], Component]) -> frozenset[str]:
    """The set that stands for a factor alone: that of fit seeds holds the training seed too."""
    nested = frozenset({"training", "fit"})
    return nested if name == "fit" and nested in found else frozenset({name})


def rows_of(recipe: str, method: str, variances: dict[str, float]) -> pd.DataFrame:
    """A row for each source: variance, deviation, and share of what is above 0.

    Args:
        recipe, method: whose overshoot it is.
        variances: of `by_source`.
    """
    variance = pd.Series(variances)
    above = variance.clip(lower=0.0)
    table = {"recipe": recipe, "method": method, "source": variance.index}
    table |= {"variance": variance.to_numpy(), "deviation": np.sqrt(above).to_numpy()}
    return pd.DataFrame(table | {"share": (above / above.sum()).to_numpy()})


def as_markdown(table: pd.DataFrame) -> str:
    """Shares in percent: a line for each method and recipe. A negative variance is told.

    Args:
        table: rows of `rows_of`.
    """
    lines = [f"| method | recipe | deviation | {' | '.join(SOURCES)} |"]
    lines.append("| --- | --- |" + " ---: |" * (1 + len(SOURCES)))
    for (method, recipe), own in table.groupby(["method", "recipe"], sort=False):
        total = np.sqrt(own["variance"].clip(lower=0.0).sum())
        by_name = own.set_index("source").loc[list(SOURCES)]
        shares = [_share(*pair) for pair in zip(by_name["share"], by_name["variance"], strict=True)]
        lines.append(f"| {method} | {recipe} | {total:.2f} | {' | '.join(shares)} |")
    return "\n".join(lines) + "\n"


def _share(share: float, variance: float) -> str:
    """A share as text.

    >>> _share(0.25, 1.0), _share(0.0, -0.125), _share(math.nan, math.nan)
    ('25 %', '0 % (-0.12)', '–')
    """
    if math.isnan(variance):
        return "–"
    below = round(variance, 2) < 0
    return f"{100 * share:.0f} %" + (f" ({variance:.2f})" if below else "")


def training_seeds(models: Sequence[Path]) -> dict[str, list[Path]]:
    """Recipe -> its models by training seed, as their training.json says."""
    found: dict[str, dict[int, Path]] = {}
    for model in models:
        if not (model / "training.json").is_file():
            raise typer.BadParameter(f"{model} holds no training.json: expected a trained model")
        record = json.loads((model / "training.json").read_text("utf-8"))
        seeds = found.setdefault(record["recipe"], {})
        if record["seed"] in seeds:
            raise typer.BadParameter(
                f"{model} and {seeds[record['seed']]} are both {record['recipe']} with seed "
                f"{record['seed']}: expected one of them"
            )
        seeds[record["seed"]] = model
    in_order = {recipe: sorted(seeds.items()) for recipe, seeds in found.items()}
    return {recipe: list(dict(seeds).values()) for recipe, seeds in in_order.items()}


@app.command()
def main(
    models: Annotated[list[Path], typer.Argument(help="folders of eosbench train")],
    methods: Annotated[str, typer.Option(help="with commas")] = ",".join(METHODS),
    fit_seeds: Annotated[str, typer.Option(help="with commas")] = "0,1,2",
    data: Annotated[str, typer.Option(help="to fit on")] = "instruct:train",
    documents: Annotated[int, typer.Option(help="of them")] = 1_000,
    calibration: Annotated[str, typer.Option(help="the pool")] = "instruct:calibration",
    pool: Annotated[int, typer.Option(help="documents of it")] = 1_000,
    canvas: Annotated[int, typer.Option()] = 256,
    calibrating: Annotated[int, typer.Option(help="documents that calibrate")] = 400,
    tested: Annotated[int, typer.Option(help="documents that are tested")] = 200,
    sets: Annotated[int, typer.Option(help="that are drawn of both")] = 200,
    folder: Annotated[Path, typer.Option(help="of the predictors")] = Path("build/variance"),
    output: Annotated[Path, typer.Option(help="of the tables")] = Path("results/recipes"),
) -> None:
    """Fits what is not fitted yet, then writes variance.csv and variance.md."""
    plan = ["--method", methods, "--seed", fit_seeds, "--canvas", str(canvas)]
    plan += ["--data", data, "--limit", str(documents)]
    plan += ["--calibration", calibration, "--calibration_limit", str(pool)]
    tables: list[pd.DataFrame] = []
    names = methods.split(",")
    for recipe, trained in training_seeds(models).items():
        places: list[list[Path]] = []  # training seed, fit seed
        for model in trained:
            heads = folder / model.name
            fit = ["fit", "--pretrained", str(model), *plan, "--output", str(heads)]
            Stage(fit, heads / f"{methods}-{fit_seeds}.done").run()
            places.append(_places(heads, fit_seeds.split(",")))
        for method in names:
            below = method if len(names) > 1 else ""
            pools = []
            for of_seed in places:
                pools.append([Pool.read(place / below) for place in of_seed])
            table_SFKD = table_of(pools, calibrating=calibrating, tested=tested, sets=sets)
            tables.append(rows_of(recipe, method, by_source(table_SFKD)))
    table = pd.concat([*over_recipes(tables), *tables], ignore_index=True)
    output.mkdir(parents=True, exist_ok=True)
    write_csv(table, output / "variance.csv")
    (output / "variance.md").write_text(as_markdown(table), encoding="utf-8")
    print(f"{len(models)} models: {output / 'variance.md'}")


def _places(heads: Path, seeds: Sequence[str]) -> list[Path]:
    """The folders into which `eosbench fit` puts the predictors of each seed."""
    return [heads / f"seed-{seed}" for seed in seeds] if len(seeds) > 1 else [heads]


def over_recipes(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The means of the components over recipes, for each method; none of a single recipe.

    A mean of unbiased estimates is unbiased, and of three training seeds a recipe there are more
    together.

    Args:
        tables: of `rows_of`.
    """
    every = pd.concat(tables)
    if every["recipe"].nunique() == 1:
        return []
    means = []
    for method, own in every.groupby("method", sort=False):
        by_name = own.groupby("source", sort=False)["variance"].mean()
        means.append(rows_of(EVERY, str(method), dict(by_name)))
    return means


if __name__ == "__main__":
    app()
