"""Mean overshoots of one method over training seed, fit seed, calibration set and tested set.

The documents that calibrated the predictors are a pool. Sets that calibrate and sets that are
tested are drawn from it with replacement, as new documents would be from where it came from, and
every set that calibrates meets every set that is tested. Nothing but the stored scores is read.

Legend: S training seeds, F fit seeds, K sets that calibrate, D sets that are tested, M documents of
the pool, n of a set that calibrates.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from eosbench.bounds import USUAL_ALPHA
from eosbench.errors import PredictorError
from eosbench.metrics import ROUNDING_TOLERANCE, Floats


@dataclass(frozen=True)
class Draws:
    """Sets of documents, drawn with replacement from a pool of M.

    Attributes:
        calibrating_Kn: indices of the documents of each set that calibrates.
        tested_DM: how often each set that is tested holds each document.
    """

    calibrating_Kn: np.ndarray
    tested_DM: Floats

    @classmethod
    def of(cls, pool: int, *, calibrating: int, tested: int, sets: int, seed: int = 0) -> Draws:
        """As many sets of both kinds.

        Args:
            pool: M.
            calibrating, tested: documents of a set.
            sets: K and D.
            seed: of the draws.
        """
        rng = np.random.default_rng(seed)
        drawn_Kn = rng.integers(pool, size=(sets, calibrating))
        return cls(drawn_Kn, rng.multinomial(tested, np.full(pool, 1 / pool), size=sets) * 1.0)


def overshoots(
    prediction_M: Floats,
    length_M: Floats,
    draws: Draws,
    *,
    canvas: int,
    alpha: float = USUAL_ALPHA,
) -> Floats:
    """Mean overshoot [K, D] over the covered documents of a set, calibrated by another.

    Args:
        prediction_M: predicted lengths before calibration, in tokens.
        length_M: true lengths.
        draws: the sets.
        canvas: C, in tokens.
        alpha: of the coverage that calibration promises; bounds are in whole tokens.
    """
    log_M = np.log1p(prediction_M)
    score_Kn = (np.log1p(length_M) - log_M)[draws.calibrating_Kn]
    order = math.ceil((score_Kn.shape[1] + 1) * (1 - alpha) - 1e-9)
    margin_K1 = np.sort(score_Kn, axis=1)[:, order - 1 : order]
    bound_KM = np.ceil(np.expm1(log_M + margin_K1) - ROUNDING_TOLERANCE)
    bound_KM = np.clip(bound_KM, 1, canvas)
    covered_KM = bound_KM >= length_M
    over_KM = np.where(covered_KM, bound_KM - length_M, 0.0)
    return np.asarray(over_KM @ draws.tested_DM.T / (covered_KM @ draws.tested_DM.T))


@dataclass(frozen=True)
class Pool:
    """Lengths that one predictor says of the pool's documents, on the canvas that shows nothing.

    Attributes:
        prediction_M: before calibration, in tokens.
        length_M: true ones.
        canvas: C.
    """

    prediction_M: Floats
    length_M: Floats
    canvas: int

    @classmethod
    def read(cls, folder: Path) -> Pool:
        """From the calibration scores in a predictor's folder."""
        config = json.loads((folder / "config.json").read_text("utf-8"))
        tensors = load_file(folder / "model.safetensors")
        length_M = tensors["calibration_documents.length"].astype(np.float64)
        score_M = tensors["calibration.0"].astype(np.float64)
        if config["calibration"]["scale"] != "log":
            raise PredictorError(f"{folder} is calibrated on another scale than the logarithm")
        return cls(np.expm1(np.log1p(length_M) - score_M), length_M, config["canvas"])


def table_of(
    pools: Sequence[Sequence[Pool]], *, calibrating: int, tested: int, sets: int
) -> Floats:
    """Mean overshoots [S, F, K, D] of one method.

    Args:
        pools: the predictions of each fit seed of each training seed, of the same documents.
        calibrating, tested, sets: as `Draws.of` takes them.
    """
    first = pools[0][0]
    draws = Draws.of(len(first.length_M), calibrating=calibrating, tested=tested, sets=sets)
    table = []
    for seeds in pools:
        if any(not np.array_equal(pool.length_M, first.length_M) for pool in seeds):
            raise PredictorError("the models count the tokens of the pool's answers otherwise")
        table.append(
            [
                overshoots(pool.prediction_M, pool.length_M, draws, canvas=pool.canvas)
                for pool in seeds
            ]
        )
    return np.array(table)
