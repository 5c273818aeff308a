"""The price of a run's bounds: against the oracle's, and for rounding.

Legend: N documents, R resamples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from eosbench.metrics import bootstrap, compute_ratio, percentiles
from eosbench.report.answers.sentence import Sentence, known, measured, plain_number
from eosbench.report.columns import BOUND_COLUMNS
from eosbench.report.tables import Row

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {column.key: column for column in BOUND_COLUMNS}
ROUNDED_UP = {"pow2": "up to powers of two", "block": "up to whole blocks"}


def cost_sentences(row: Row, frame: pd.DataFrame | None) -> list[Sentence]:
    """A sentence on the oracle and one on rounding, each where its numbers are known.

    Args:
        row: of one run, at one benchmark and fraction.
        frame: its documents there; None where they were not logged.
    """
    found = [_against_the_oracle(row, frame), _of_rounding(row)]
    return [Sentence(text) for text in found if text]


def _against_the_oracle(row: Row, frame: pd.DataFrame | None) -> str:
    """The cost of the windows; if logged, beside that of windows as long as the answers."""
    compute = row.cells.get("compute_ratio")
    if compute is None or not known(compute):
        return ""
    cost = (
        f"The windows of {row.run.name} take {_percent(compute.value)} of the full canvas's "
        "token-positions"
    )
    low, high = compute.low, compute.high
    if math.isfinite(low) and math.isfinite(high) and compute.count > 1:
        cost += f" ({_percent(low)} to {_percent(high)})"
    ratio = None if frame is None else _times_the_oracle(frame)
    if ratio is None:
        return f"{cost}, at one token per step."
    value, low, high = ratio
    ends = f" ({plain_number(low)} to {plain_number(high)})" if math.isfinite(low + high) else ""
    return (
        f"{cost}, which is {plain_number(value)} times{ends} what the oracle, which knows every "
        "length, would take."
    )


def _times_the_oracle(frame: pd.DataFrame) -> tuple[float, float, float] | None:
    """The mean compute ratio over the oracle's on the same documents, and its interval.

    None where no document has both.
    """
    length_N, prompt_N, canvas_N = (
        frame[name].to_numpy(dtype=np.float64) for name in ("length", "prompt_length", "canvas")
    )
    oracle_N = compute_ratio.each(np.maximum(length_N, 1), prompt_N, canvas_N, length_N)
    own_N = frame["compute_ratio"].to_numpy(dtype=np.float64)
    both_N2 = np.stack([own_N, oracle_N], axis=1)
    both_N2 = both_N2[np.isfinite(both_N2).all(axis=1)]
    if not len(both_N2) or both_N2[:, 1].sum() <= 0:
        return None
    value = float(both_N2[:, 0].mean() / both_N2[:, 1].mean())
    if len(both_N2) < 2:
        return value, math.nan, math.nan
    means_R2 = bootstrap(both_N2)
    (low,), (high,) = percentiles(means_R2[:, :1] / means_R2[:, 1:])
    return value, float(low), float(high)


def _of_rounding(row: Row) -> str:
    """The tokens that rounding adds to a bound, and the share of answers it alone covers."""
    rounding = (row.run.settings or {}).get("rounding")
    if rounding == "none":
        return "These bounds are not rounded, so that rounding costs nothing."
    tokens, covered = row.cells.get("rounding_overshoot"), row.cells.get("rounding_coverage")
    if tokens is None or covered is None or not (known(tokens) and known(covered)):
        return ""
    how = ROUNDED_UP.get(str(rounding), "them")
    added = measured(tokens, COLUMNS["rounding_overshoot"], "tokens")
    alone = COLUMNS["rounding_coverage"]
    return (
        f"Rounding {how} adds {added} to a bound on average; by it alone "
        f"{alone.printed(covered.value)} % of the answers are covered."
    )


def _percent(value: float) -> str:
    return f"{plain_number(100 * value)} %"
