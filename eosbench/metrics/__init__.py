"""Metrics of bounds as pure functions, and the statistics of their uncertainty.

Arrays go in, a float comes out:

    >>> coverage([8, 16], [5, 20])
    0.5
"""

from __future__ import annotations

from eosbench.metrics.bound import (
    accuracy,
    bucket,
    bucket_accuracy,
    censored,
    compute_ratio,
    coverage,
    exact,
    overshoot,
    rmse,
    saved,
    shortfall,
    squared_error,
)
from eosbench.metrics.documents import document_values, each_document, per_document
from eosbench.metrics.eos import eos_false, eos_mrr, eos_prob, eos_top1, false_ends
from eosbench.metrics.metric import Floats, Metric
from eosbench.metrics.paper_table import paper_columns
from eosbench.metrics.position import average_precision, calibration_curve, pinball_loss
from eosbench.metrics.rounding import (
    ROUNDING_TOLERANCE,
    of_rounding,
    rounding_coverage,
    rounding_overshoot,
)
from eosbench.metrics.statistics import (
    RESAMPLES,
    SIGNIFICANT,
    bootstrap,
    holm,
    mcnemar,
    over_seeds,
    paired,
    percentiles,
    ranks,
    wilson,
)
from eosbench.metrics.terms import DocumentValues, Term

__all__ = [
    "RESAMPLES",
    "ROUNDING_TOLERANCE",
    "SIGNIFICANT",
    "DocumentValues",
    "Floats",
    "Metric",
    "Term",
    "accuracy",
    "average_precision",
    "bootstrap",
    "bucket",
    "bucket_accuracy",
    "calibration_curve",
    "censored",
    "compute_ratio",
    "coverage",
    "document_values",
    "each_document",
    "eos_false",
    "eos_mrr",
    "eos_prob",
    "eos_top1",
    "exact",
    "false_ends",
    "holm",
    "mcnemar",
    "of_rounding",
    "over_seeds",
    "overshoot",
    "paired",
    "paper_columns",
    "per_document",
    "percentiles",
    "pinball_loss",
    "ranks",
    "rmse",
    "rounding_coverage",
    "rounding_overshoot",
    "saved",
    "shortfall",
    "squared_error",
    "wilson",
]
