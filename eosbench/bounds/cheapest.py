"""The margin that costs least: no promise of a coverage, but the cheapest way to whole answers.

With `overflow=retry` a window that is too short loses no answer: it is doubled, and every pass is
charged. The margin is then free, and is taken from the calibration documents: of all margins the
one whose bounds, rounded and clamped, cost the fewest token-positions there, retries included
(window_costs.py has the cost of one document). Of margins that cost the same it is the largest.

The cost as a function of the margin, its minimum, and an estimate of what a new answer costs are in
cost_curve.py.

Legend: N calibration documents, K bounds that rounding can give, U distinct lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from eosbench.bounds.cost_curve import CostCurve
from eosbench.bounds.rounding import TOLERANCE, check_rounding, rounded_lengths
from eosbench.bounds.scores import Scored, predicted, stored
from eosbench.bounds.window_costs import Windows, window_costs

PURPOSE = "promise=cheapest"

__all__ = ["Cheapest"]


@dataclass(frozen=True)
class Cheapest:
    """The margin of the least expected cost, which promises no coverage.

    Args:
        windows: how a window is decoded, e.g. `eosbench.decoding.WindowBlocks(settings)`.
        rounding: what calibrated bounds are rounded up to: "pow2", "block" or "none".
        block_length: in tokens, for rounding="block".

    Raises:
        ConfigurationError: an unknown rounding, or a block length below 1.
    """

    name: ClassVar[str] = "expected_cost"
    remedy: ClassVar[str] = "leave out promise=cheapest"

    windows: Windows
    rounding: str = "pow2"
    block_length: int = 32

    def __post_init__(self) -> None:
        check_rounding(self.rounding, self.block_length)

    def fewest(self, canvas: int) -> int:
        """Two: one document chooses the margin at which the other is charged."""
        return 2

    def margin(self, scored: Scored, canvas: int) -> float:
        """The margin at which the documents cost the fewest token-positions in all.

        Raises:
            CalibrationError: the predictor folder has no lengths of answers or of prompts.
        """
        return self.curve(scored, canvas).best

    def curve(self, scored: Scored, canvas: int) -> CostCurve:
        """The cost of the documents for every margin.

        Args:
            scored: the calibration documents.
            canvas: C, in tokens.

        Raises:
            CalibrationError: the predictor folder has no lengths of answers or of prompts.
        """
        length_N = np.minimum(np.round(scored.lengths(PURPOSE)), canvas).astype(np.int64)
        prompt_N = np.round(stored(scored.prompt_length_N, PURPOSE)).astype(np.int64)
        first_K = rounded_lengths(canvas, self.rounding, self.block_length)
        length_U, place_N = np.unique(length_N, return_inverse=True)
        a_KU, b_KU = window_costs(self.windows, first_K, length_U, canvas)
        cost_NK = a_KU.T[place_N] * prompt_N[:, None] + b_KU.T[place_N]
        # A bound is the next larger one as soon as the raised prediction passes its edge. What
        # raises a prediction of 0 beyond the canvas gives every answer the whole canvas.
        edge_K = np.array(first_K[:-1], dtype=np.float64) + TOLERANCE
        top, prediction_N = canvas + 1.0, predicted(scored, PURPOSE)
        if scored.scale == "log":
            edge_K, prediction_N = np.log1p(edge_K), np.log1p(prediction_N)
            top = math.log1p(top)
        return CostCurve(edge_K[None, :] - prediction_N[:, None], cost_NK, top)

    def settings(self) -> dict[str, Any]:
        """The model arguments that ask for this promise."""
        return {"promise": "cheapest"}

    def in_words(self, canvas: int) -> str:
        """The promise as a message names it."""
        return "promise=cheapest"
