"""Split conformal calibration: what fitted predictors say of documents that no fit has seen, as
scores per unmasked fraction.

The scores are valid because the calibration documents took no part in any choice: not in
training, not in early stopping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eosbench.backbone import Backbone
from eosbench.bounds import Calibration, Coverage, Promise, Scale, calibration_scores, to_bound
from eosbench.fitting.data import Example
from eosbench.fitting.features import batches, every_fraction, needs_of
from eosbench.fitting.workers import ALONE, Workers
from eosbench.metrics import coverage, overshoot, rmse, saved, shortfall
from eosbench.predictors import FittedPredictor
from eosbench.records import LengthPrediction

Lengths = dict[float, NDArray[np.float64]]
GROUPS = 4


def predicted_lengths(
    backbone: Backbone,
    predictors: Mapping[str, FittedPredictor],
    examples: Sequence[Example],
    fractions: Sequence[float],
    *,
    canvas: int,
    batch_size: int = 16,
    label: str = "calibration",
    workers: Workers = ALONE,
) -> dict[str, Lengths]:
    """Name -> unmasked fraction -> [N] uncalibrated predictions, in the documents' order, from one
    pass over the backbone.
    """
    samples = every_fraction(examples, fractions)
    own = {name: np.full(len(samples), np.nan) for name in predictors}
    needs = needs_of(predictors.values())
    found = batches(
        backbone,
        samples,
        canvas=canvas,
        needs=needs,
        batch_size=batch_size,
        label=label,
        workers=workers,
    )
    for indices, batch in found:
        for name, fitted in predictors.items():
            own[name][indices] = [prediction.length for prediction in fitted.predict(batch)]
    everyones = workers.everyones(own)
    merged = {name: np.array([part[name] for part in everyones]) for name in predictors}
    # Each row is one's.
    lengths = {
        name: np.where(np.isnan(parts), 0.0, parts).sum(axis=0) for name, parts in merged.items()
    }
    return {
        name: dict(zip(fractions, length_N.reshape(len(fractions), len(examples)), strict=True))
        for name, length_N in lengths.items()
    }


def calibrate(
    predicted: Lengths,
    examples: Sequence[Example],
    scale: Scale = "log",
    train: Sequence[Example] = (),
) -> Calibration:
    """The calibration that these predictions ask for.

    Args: predicted: unmasked fraction -> [N]. examples: the N calibration documents. scale: of the
        scores. train: documents whose prompts and answers set the edges of the groups, so that the
        calibration documents do not.

    Raises:
        CalibrationError: no documents' predictions at all.
    """
    length_N = np.array([example.length for example in examples], dtype=np.float64)
    return Calibration(
        {
            u: calibration_scores(prediction_N, length_N, scale)
            for u, prediction_N in predicted.items()
        },
        scale,
        length_N=length_N,
        prompt_length_N=np.array(
            [len(example.prompt_ids) for example in examples], dtype=np.float64
        ),
        edges={
            "prompt": _edges([len(example.prompt_ids) for example in train]),
            "prediction": _edges([example.length for example in train]),
        },
    )


def scores_of(
    predicted: Lengths,
    examples: Sequence[Example],
    *,
    canvas: int,
    alpha: float = 0.05,
    scale: Scale = "log",
) -> dict[str, dict[str, float]]:
    """Fraction -> what a predictor is worth on calibration documents: `rmse` of the prediction
    itself, and of the bound (not rounded to powers of two) coverage, overshoot, shortfall and
    saved, calibrated on one half of the documents and measured on the other, both ways. The
    halves are drawn, since families take turns. These four are left out where half of the
    documents are
    too few for alpha."""
    length_N = np.array([example.length for example in examples])
    half_N = np.random.default_rng(0).permutation(len(examples)) < len(examples) // 2
    enough = len(examples) // 2 >= Coverage(alpha).fewest(canvas)
    found = {}
    for fraction, prediction_N in predicted.items():
        bound_N = np.full(len(examples), np.nan)
        for these_N in (half_N, ~half_N) if enough else ():
            half = Calibration(
                {fraction: calibration_scores(prediction_N[these_N], length_N[these_N], scale)},
                scale,
            )
            bound_N[~these_N] = [
                to_bound(
                    LengthPrediction(length),
                    canvas=canvas,
                    fraction=fraction,
                    calibration=half,
                    promise=Promise(Coverage(alpha)),
                    rounding="none",
                ).bound
                for length in prediction_N[~these_N]
            ]
        found[f"{fraction:g}"] = {"rmse": rmse(prediction_N, length_N)} | (
            {
                "coverage": coverage(bound_N, length_N),
                "overshoot": overshoot(bound_N, length_N),
                "shortfall": shortfall(bound_N, length_N),
                "saved": saved(bound_N, np.full(len(examples), canvas)),
            }
            if enough
            else {}
        )
    return found


def _edges(values: Sequence[float]) -> list[float]:
    """Inner edges of GROUPS groups of equal size among these values; fewer where values repeat."""
    if not values:
        return []
    return sorted(
        {float(edge) for edge in np.quantile(values, np.linspace(0, 1, GROUPS + 1)[1:-1])}
    )
