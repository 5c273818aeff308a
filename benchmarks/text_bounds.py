"""Bounds of the text study: predictions, calibrated, rounded and clamped by eosbench.bounds.

Nothing here runs a model. text_tables.py makes the tables of it.

Legend: N test documents; S seeds of a predictor.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eosbench.bounds import Calibration, Coverage, Promise, Scale, calibration_scores, to_bound
from eosbench.metrics import bootstrap, compute_ratio, percentiles, rmse, wilson
from eosbench.records import LengthPrediction

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """The predictions for one data set, at one unmasked fraction.

    Attributes:
        data: its name.
        calibration, test: a row a document, a column a predictor (`<variant>/<seed>`).
        edges: between groups of prompts and of predictions.
        canvas: C, in tokens.
    """

    data: str
    calibration: pd.DataFrame
    test: pd.DataFrame
    edges: dict[str, list[float]]
    canvas: int

    @property
    def columns(self) -> list[str]:
        """The predictors that were fitted on this data set."""
        return [name for name in map(str, self.test) if "/" in name and "@" not in name]

    @property
    def lengths(self) -> Floats:
        """[N] tokens of the reference answers."""
        return self.test["length"].to_numpy(float)

    def variants(self) -> dict[str, list[str]]:
        """Variant -> its columns, a seed each."""
        found: dict[str, list[str]] = {}
        for column in self.columns:
            found.setdefault(column.rpartition("/")[0], []).append(column)
        return found

    def bounds(
        self,
        column: str,
        *,
        alpha: float = 0.05,
        rounding: str = "none",
        scale: Scale = "log",
        groups: str | None = None,
    ) -> Floats:
        """[N] bounds of the test documents, in tokens.

        Args:
            column: of a predictor.
            alpha: share of answers that may be missed.
            rounding, scale, groups: as everywhere.

        Raises:
            CalibrationError: a group with too few calibration documents.
        """
        lengths = self.calibration["length"].to_numpy(float)
        table = Calibration(
            {0.0: calibration_scores(self.calibration[column], lengths, scale)},
            scale,
            length_N=lengths,
            prompt_length_N=self.calibration["prompt_length"].to_numpy(float),
            edges=self.edges,
        )
        promise = Promise(Coverage(alpha), groups)
        rows = self.test[[column, "prompt_length", "at_least"]].itertuples(index=False)
        found = [
            to_bound(
                LengthPrediction(predicted, at_least=at_least),
                canvas=self.canvas,
                calibration=table,
                promise=promise,
                prompt_length=prompt_length,
                rounding=rounding,
            ).bound
            for predicted, prompt_length, at_least in rows
        ]
        return np.array(found, dtype=float)


def read(folder: Path, data: str, fraction: float = 0.0, reveal: str = "random") -> Asked:
    """The predictions that text_study.py wrote for a data set (`gsm8k-fractions`: at all u).

    A prefix is calibrated as its fraction is at random positions: no other table exists.
    """
    facts = json.loads((folder / f"{data.removesuffix('-fractions')}.json").read_text("utf-8"))
    frame = pd.read_csv(folder / f"{data}.csv.xz")
    others = folder / f"{data}-others.csv.xz"
    if others.is_file():
        frame = pd.concat([frame, pd.read_csv(others)], axis=1)
    frame = frame[frame["fraction"] == fraction]
    calibration = _part(frame, "calibration", "random")
    test = _part(frame, "test", reveal)
    return Asked(data, calibration, test, facts["edges"], facts["canvas"])


def _part(frame: pd.DataFrame, split: str, reveal: str) -> pd.DataFrame:
    """The rows of a split, without the predictors that were not asked there."""
    rows = frame[(frame["split"] == split) & (frame["reveal"] == reveal)]
    return rows.dropna(axis=1, how="all").reset_index(drop=True)


def measures(bound_NS: Floats, asked: Asked) -> dict[str, float]:
    """Coverage, overshoot, rmse, window and compute ratio of S seeds, with intervals.

    Args:
        bound_NS: a column a seed; the seeds of a document are averaged before documents are
            resampled.
        asked: its test documents.
    """
    length_N1 = asked.lengths[:, None]
    covered_NS = bound_NS >= length_N1
    over_NS = pd.DataFrame(bound_NS - length_N1).where(covered_NS)  # its means leave NaN out
    by_seed = over_NS.mean(axis=0).to_numpy()
    share = float(covered_NS.mean())
    low, high = wilson(share, len(bound_NS))
    over_N = over_NS.mean(axis=1).to_numpy()
    ends = percentiles(bootstrap(over_N[:, None]))
    prompts = asked.test["prompt_length"].to_numpy(float)
    seeds = range(bound_NS.shape[1])
    cost = [
        compute_ratio(bound_NS[:, seed], prompts, np.full(len(prompts), float(asked.canvas)))
        for seed in seeds
    ]
    return {
        "seeds": len(seeds),
        "coverage": share,
        "coverage_low": low,
        "coverage_high": high,
        "overshoot": float(by_seed.mean()),
        "overshoot_sd": float(by_seed.std(ddof=1)) if len(seeds) > 1 else math.nan,
        "overshoot_low": float(ends[0][0]),
        "overshoot_high": float(ends[1][0]),
        "rmse": float(np.mean([rmse(bound_NS[:, s], length_N1[:, 0]) for s in seeds])),
        "window": float(bound_NS.mean()),
        "compute_ratio": float(np.mean(cost)),
    }
