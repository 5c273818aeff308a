"""Split conformal calibration of fitted predictors: scores per unmasked fraction.

They are taken on documents that no fit has seen. They are valid because these documents took no
part in any choice: not in training, not in early stopping.

Legend: N calibration documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eosbench.bounds import (
    USUAL_ALPHA,
    Calibration,
    Coverage,
    Promise,
    Scale,
    calibration_scores,
    to_bound,
)
from eosbench.fitting.examples import Example
from eosbench.fitting.passes import Passes, batches, by_view, every_fraction, needs_of
from eosbench.metrics import coverage, overshoot, rmse, saved, shortfall
from eosbench.predictors import FittedPredictor
from eosbench.records import LengthPrediction

# Unmasked fraction -> [N] predicted lengths in tokens.
Lengths = dict[float, NDArray[np.float64]]
GROUPS = 4

__all__ = ["Lengths", "calibrate", "predicted_lengths", "scores_of"]


def predicted_lengths(
    predictors: Mapping[str, FittedPredictor],
    examples: Sequence[Example],
    fractions: Sequence[float],
    *,
    passes: Passes,
    label: str = "calibration",
    reveal: str = "random",
) -> dict[str, Lengths]:
    """Uncalibrated predictions of several predictors, from shared passes over the backbone.

    Args:
        predictors: name -> predictor.
        examples: the N documents.
        fractions: unmasked fractions u.
        passes: how the documents go through the backbone.
        label: what the progress bar says.
        reveal: "random" or "prefix".

    Returns:
        Name -> fraction -> [N] predictions in tokens, in the order of the documents; on every
        process those of all.
    """
    samples = every_fraction(examples, fractions, reveal)
    own = {name: np.full(len(samples), np.nan) for name in predictors}
    for view_passes, readers in by_view(predictors, passes):
        needs = needs_of(readers.values())
        for indices, batch in batches(view_passes, samples, needs=needs, label=label):
            for name, fitted in readers.items():
                own[name][indices] = [prediction.length for prediction in fitted.predict(batch)]
    everyones = passes.workers.everyones(own)
    lengths = {}
    for name in predictors:
        parts = np.array([part[name] for part in everyones])
        merged = np.where(np.isnan(parts), 0.0, parts).sum(axis=0)  # each sample was predicted once
        by_fraction = merged.reshape(len(fractions), len(examples))
        lengths[name] = dict(zip(fractions, by_fraction, strict=True))
    return lengths


def calibrate(
    predicted: Lengths,
    examples: Sequence[Example],
    scale: Scale = "log",
    train: Sequence[Example] = (),
) -> Calibration:
    """The calibration of a predictor.

    Args:
        predicted: unmasked fraction -> [N] predictions.
        examples: the N calibration documents.
        scale: of the scores.
        train: documents whose prompts and answers set the edges of the groups, so that the
            calibration documents do not.

    Raises:
        CalibrationError: predictions at no fraction at all.
    """
    length_N = np.array([example.length for example in examples], dtype=np.float64)
    prompt_length_N = np.array([len(example.prompt_ids) for example in examples], dtype=np.float64)
    scores = {
        fraction: calibration_scores(prediction_N, length_N, scale)
        for fraction, prediction_N in predicted.items()
    }
    edges = {
        "prompt": _edges([len(example.prompt_ids) for example in train]),
        "prediction": _edges([example.length for example in train]),
    }
    return Calibration(
        scores, scale, length_N=length_N, prompt_length_N=prompt_length_N, edges=edges
    )


def scores_of(
    predicted: Lengths,
    examples: Sequence[Example],
    *,
    canvas: int,
    alpha: float = USUAL_ALPHA,
    scale: Scale = "log",
) -> dict[str, dict[str, float]]:
    """Metrics of a predictor on its calibration documents, by unmasked fraction.

    `rmse` is that of the prediction itself. Coverage, overshoot, shortfall and saved are those of
    the bound (not rounded to powers of two), calibrated on one half of the documents and measured
    on the other, both ways; they are left out where half of the documents are too few for alpha.
    The halves are drawn, since families of documents take turns.

    Args:
        predicted: unmasked fraction -> [N] predictions.
        examples: the N calibration documents.
        canvas: C, in tokens.
        alpha: of the coverage that the bounds promise.
        scale: of the scores.

    Returns:
        The fraction as text ("0.25") -> name of the metric -> its value.
    """
    length_N = np.array([example.length for example in examples])
    promise = Promise(Coverage(alpha))
    enough = len(examples) // 2 >= promise.kind.fewest(canvas)
    found = {}
    for fraction, prediction_N in predicted.items():
        scores = {"rmse": rmse(prediction_N, length_N)}
        if enough:
            bound_N = _bounds_by_halves(
                prediction_N, length_N, canvas=canvas, promise=promise, scale=scale
            )
            scores |= {
                "coverage": coverage(bound_N, length_N),
                "overshoot": overshoot(bound_N, length_N),
                "shortfall": shortfall(bound_N, length_N),
                "saved": saved(bound_N, np.full(len(examples), canvas)),
            }
        found[f"{fraction:g}"] = scores
    return found


def _bounds_by_halves(
    prediction_N: NDArray[np.float64],
    length_N: NDArray[np.int64],
    *,
    canvas: int,
    promise: Promise,
    scale: Scale,
) -> NDArray[np.float64]:
    """[N] bounds of documents, each half from the calibration of the other."""
    N = len(length_N)
    half_N = np.random.default_rng(0).permutation(N) < N // 2
    bound_N = np.full(N, np.nan)
    for these_N in (half_N, ~half_N):
        scores_N = calibration_scores(prediction_N[these_N], length_N[these_N], scale)
        half = Calibration({0.0: scores_N}, scale)
        bound_N[~these_N] = [
            to_bound(
                LengthPrediction(length),
                canvas=canvas,
                calibration=half,
                promise=promise,
                rounding="none",
            ).bound
            for length in prediction_N[~these_N]
        ]
    return bound_N


def _edges(values: Sequence[float]) -> list[float]:
    """Inner edges of GROUPS groups of equal size among these values; fewer where values repeat."""
    if not values:
        return []
    quantiles = np.quantile(values, np.linspace(0, 1, GROUPS + 1)[1:-1])
    return sorted({float(edge) for edge in quantiles})
