"""Split conformal calibration: what fitted predictors say of documents that no fit has seen, as scores per unmasked fraction.

The scores are valid because the calibration documents took no part in any choice: not in training, not in early stopping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eosbench.backbone import Backbone
from eosbench.bounds import Calibration, Scale, calibration_scores
from eosbench.fitting.data import Example
from eosbench.fitting.features import batches, every_fraction, needs_of
from eosbench.predictors.protocol import FittedPredictor

Lengths = dict[float, NDArray[np.float64]]


def predicted_lengths(
    backbone: Backbone,
    predictors: Mapping[str, FittedPredictor],
    examples: Sequence[Example],
    fractions: Sequence[float],
    *,
    canvas: int,
    batch_size: int = 16,
    label: str = "calibration",
) -> dict[str, Lengths]:
    """Name -> unmasked fraction -> [N] uncalibrated predictions, in the documents' order, from one pass over the backbone."""
    samples = every_fraction(examples, fractions)
    found = {name: np.full(len(samples), np.nan) for name in predictors}
    needs = needs_of([fitted.predictor for fitted in predictors.values()])
    for indices, batch in batches(backbone, samples, canvas=canvas, needs=needs, batch_size=batch_size, label=label):
        for name, fitted in predictors.items():
            found[name][indices] = [prediction.length for prediction in fitted.predict(batch)]
    return {
        name: dict(zip(fractions, lengths.reshape(len(fractions), len(examples)), strict=True)) for name, lengths in found.items()
    }


def calibrate(predicted: Lengths, examples: Sequence[Example], scale: Scale = "log") -> Calibration:
    """The calibration that these predictions ask for.

    Raises:
        CalibrationError: no documents' predictions at all.
    """
    length_N = np.array([example.length for example in examples])
    return Calibration({u: calibration_scores(prediction_N, length_N, scale) for u, prediction_N in predicted.items()}, scale)
