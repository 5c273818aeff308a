"""`python -m benchmarks.text_tables`: what the predictions of text_study.py are worth.

Everything is made of results/text/*.csv.xz, a row a document, without running a model.

    methods.csv    every method: coverage, overshoot, window and cost, by level, rounding and scale
    tests.csv      every method less the length of the prompt alone, paired
    fractions.csv  tokens revealed at random and as a prefix (GSM8K)
    transfer.csv   calibrated on one data set, asked on another, with groups and without
    resplits.csv   mean coverage over random cuts of the real rows, beside what theory promises
    tables.md      the main columns of the first two, at 95 % and not rounded

Overshoot is over covered documents. The tests compare windows, the bounds of all documents, so that
no document is left out on either side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks.text_bounds import Asked, Floats, measures, read
from eosbench.bounds import Calibration, Coverage, Promise, calibration_scores, to_bound
from eosbench.errors import CalibrationError
from eosbench.metrics import holm, paired
from eosbench.records import LengthPrediction

DATA = ("gsm8k", "math", "mbpp", "dolly")
FRACTIONS = (0.0, 0.25, 0.5, 0.75)
ALPHAS = (0.05, 0.1, 0.2)
CURVE = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
ROUNDINGS = ("none", "block", "pow2")
LINE = "prompt_length"  # the method that the others are tested against
CUTS = 200

Row = dict[str, Any]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def bounds_of(asked: Asked, columns: list[str], **how: Any) -> Floats:
    """[N, S] bounds of the seeds of a variant; `how` as for `Asked.bounds`."""
    return np.stack([asked.bounds(column, **how) for column in columns], axis=1)


def methods(asked: Asked) -> Iterator[Row]:
    """A row for each variant, level, rounding and scale of the scores."""
    settings = [(alpha, rounding, "log") for alpha, rounding in product(ALPHAS, ROUNDINGS)]
    settings += [(alpha, "none", "log") for alpha in CURVE if alpha not in ALPHAS]
    settings += [(0.05, "none", "linear")]
    for alpha, rounding, scale in settings:
        if len(asked.calibration) < Coverage(alpha).fewest(asked.canvas):
            continue
        shown = {"data": asked.data, "alpha": alpha, "rounding": rounding, "scale": scale}
        for variant, columns in asked.variants().items():
            found = bounds_of(asked, columns, alpha=alpha, rounding=rounding, scale=scale)
            yield {**shown, "method": variant, **measures(found, asked)}
    for rounding in ROUNDINGS:
        whole = {"oracle": asked.lengths, "fixed": np.full(len(asked.lengths), asked.canvas)}
        for name, length_N in whole.items():
            rounded = [
                to_bound(LengthPrediction(length), canvas=asked.canvas, rounding=rounding).bound
                for length in length_N
            ]
            found = np.array(rounded, dtype=float)[:, None]
            yield {
                "data": asked.data,
                "rounding": rounding,
                "method": name,
                **measures(found, asked),
            }


def tests(asked: Asked, alpha: float = 0.05) -> pd.DataFrame:
    """Every variant's window less that of LINE, on the same documents, seeds averaged.

    Holm's correction runs over the variants of a data set.
    """
    variants = asked.variants()
    windows = {
        name: bounds_of(asked, columns, alpha=alpha).mean(axis=1)
        for name, columns in variants.items()
    }
    names = [name for name in variants if name != LINE]
    own = np.stack([windows[name] for name in names], axis=1)
    line = np.repeat(windows[LINE][:, None], len(names), axis=1)
    difference, low, high, p = paired(own, line)
    table = {"data": asked.data, "method": names, "less": LINE, "window": difference}
    return pd.DataFrame({**table, "low": low, "high": high, "p_holm": holm(p)})


def fractions(folder: Path, data: str = "gsm8k-fractions") -> Iterator[Row]:
    """A row for each variant and fraction, with tokens revealed at random and as a prefix."""
    for reveal, fraction in product(("random", "prefix"), FRACTIONS):
        if reveal == "prefix" and fraction == 0.0:
            continue
        asked = read(folder, data, fraction, reveal)
        for variant, columns in asked.variants().items():
            found = measures(bounds_of(asked, columns), asked)
            yield {"reveal": reveal, "fraction": fraction, "method": variant, **found}


def transfer(folder: Path, data: list[str]) -> Iterator[Row]:
    """Predictors of one data set on the test rows of another.

    They are calibrated on the rows of the data set that they were fitted on (`fitted`), on those
    that they are asked on (`asked`), or on both; `groups` keeps the promise within groups of
    prompts or of predictions, whose edges are those of the training rows.
    """
    studies = {name: read(folder, name) for name in data}
    for source, target in product(data, data):
        if source == target:
            continue
        own, there = studies[source], studies[target]
        for variant, (column, *_) in own.variants().items():
            moved = f"{column}@{source}"
            if moved not in there.test:
                continue
            theirs = there.calibration.rename(columns={column: "", moved: column})
            rows = {"fitted": own.calibration, "asked": theirs}
            rows["both"] = pd.concat([own.calibration, theirs])
            for (on, calibration), groups in product(rows.items(), (None, "prompt", "prediction")):
                test = there.test.rename(columns={column: "", moved: column})
                asked = Asked(target, calibration, test, own.edges, there.canvas)
                shown = {"fitted": source, "asked": target, "method": variant}
                shown |= {"calibrated_on": on, "groups": groups or "none"}
                try:
                    found = asked.bounds(column, groups=groups)
                except CalibrationError:  # too few documents in a group
                    continue
                yield {**shown, **measures(found[:, None], asked)}


def resplits(asked: Asked, alpha: float = 0.05) -> Iterator[Row]:
    """Mean coverage of each variant over random cuts of its calibration and test rows.

    Cut at random, both parts are exchangeable whatever the rows are. The mean coverage is then
    ceil((n + 1)(1 - alpha)) / (n + 1) in expectation, if no two scores are equal.
    """
    n = len(asked.calibration)
    expected = math.ceil((n + 1) * (1 - alpha) - 1e-9) / (n + 1)
    lengths = np.concatenate([asked.calibration["length"], asked.test["length"]])
    promise = Promise(Coverage(alpha))
    for column in asked.columns:
        predicted = np.concatenate([asked.calibration[column], asked.test[column]])
        scores, rng = calibration_scores(predicted, lengths), np.random.default_rng(0)
        shares = []
        for _ in range(CUTS):
            order = rng.permutation(len(scores))
            table = Calibration({0.0: scores[order[:n]]})
            margin = table.margin(promise, canvas=asked.canvas)
            shares.append(np.mean(scores[order[n:]] <= margin + 1e-9))
        error = float(np.std(shares, ddof=1) / math.sqrt(CUTS))
        yield {
            "data": asked.data,
            "method": column,
            "cuts": CUTS,
            "coverage": float(np.mean(shares)),
            "standard_error": error,
            "expected": expected,
            "promised": 1 - alpha,
        }


def summary(found: pd.DataFrame, tested: pd.DataFrame) -> str:
    """A Markdown table a data set: alpha 0.05, not rounded, with the tests beside it."""
    parts = []
    plain = found[(found["rounding"] == "none") & (found["scale"] != "linear")]
    plain = plain[plain["alpha"].isin([0.05]) | plain["alpha"].isna()]
    for data, own in plain.groupby("data", sort=False):
        heads = ["method", "coverage %", "overshoot", "window", "rmse", "compute ratio"]
        heads += [f"window less that of `{LINE}`", "p"]
        lines = [f"| {' | '.join(heads)} |"]
        lines.append("| --- |" + " ---: |" * 7)
        named = tested[tested["data"] == data].set_index("method")
        for row in own.sort_values("overshoot").itertuples():
            spread = "" if math.isnan(row.overshoot_sd) else f" ± {row.overshoot_sd:.1f}"
            cells = [f"{100 * row.coverage:.1f} ({100 * row.coverage_low:.1f} to "]
            cells[0] += f"{100 * row.coverage_high:.1f})"
            cells += [f"{row.overshoot:.1f}{spread}", f"{row.window:.1f}", f"{row.rmse:.1f}"]
            cells += [f"{row.compute_ratio:.3f}"]
            if row.method in named.index:
                test = named.loc[row.method]
                cells += [f"{test['window']:.1f} ({test['low']:.1f} to {test['high']:.1f})"]
                cells += [f"{test['p_holm']:.3f}"]
            else:
                cells += ["", ""]
            lines.append(f"| `{row.method}` | {' | '.join(cells)} |")
        parts.append(f"## {data}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


@app.command()
def main(
    folder: Annotated[Path, typer.Option(help="of the predictions")] = Path("results/text"),
    data: Annotated[str, typer.Option(help="with commas")] = ",".join(DATA),
) -> None:
    """Writes the tables beside the predictions."""
    names = data.split(",")
    studies = [read(folder, name) for name in names]
    tables = {
        "methods": pd.DataFrame(row for asked in studies for row in methods(asked)),
        "tests": pd.concat([tests(asked) for asked in studies]),
        "transfer": pd.DataFrame(transfer(folder, names)),
        "resplits": pd.DataFrame(row for asked in studies for row in resplits(asked)),
    }
    if (folder / "gsm8k-fractions.csv.xz").is_file():
        tables["fractions"] = pd.DataFrame(fractions(folder))
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.5g")
    text = summary(tables["methods"], tables["tests"])
    (folder / "tables.md").write_text(text, encoding="utf-8")
    print(f"{', '.join(f'{name} {len(table)}' for name, table in tables.items())}: {folder}")


if __name__ == "__main__":
    app()
