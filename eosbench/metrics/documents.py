"""All metrics of a document, from its record. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eosbench.metrics.bound import (
    accuracy,
    bucket_accuracy,
    compute_ratio,
    coverage,
    exact,
    overshoot,
    saved,
    shortfall,
    squared_error,
)
from eosbench.metrics.eos import eos_false, eos_mrr, eos_prob, eos_top1
from eosbench.metrics.metric import Floats
from eosbench.metrics.terms import DocumentValues, Term
from eosbench.records import LengthRecord

__all__ = ["document_values", "each_document", "per_document"]


def per_document(record: LengthRecord) -> dict[str, float]:
    """Every metric of one document; NaN where the document is not in that metric's denominator.

    The mean over documents that ignores NaN is the metric, with two exceptions: the root of the
    mean of `squared_error` is the rmse, and the sum of `censored` is the count.
    """
    return {name: float(values[0]) for name, values in each_document([record]).items()}


def document_values(record: LengthRecord) -> DocumentValues:
    """Every metric of one document as lm-eval takes it, rmse in place of `squared_error`."""
    values = per_document(record)
    error = values.pop("squared_error") ** 0.5
    terms = {name: Term(value) for name, value in values.items()}
    return DocumentValues(terms | {"rmse": Term(error, root=True)})


def floats_of(records: Sequence[LengthRecord], name: str) -> Floats:
    """One field of all records [N]; None becomes NaN."""
    return np.array([getattr(record, name) for record in records], dtype=np.float64)


def each_document(records: Sequence[LengthRecord]) -> dict[str, Floats]:
    """`per_document` of many records at once: metric -> one number per document [N]."""
    names = ("bound", "length", "canvas", "prompt_length", "eos_rank", "eos_prob", "eos_false")
    bound_N, length_N, canvas_N, prompt_N, rank_N, prob_N, false_N = (
        floats_of(records, name) for name in names
    )
    revealed = [record.revealed for record in records]
    return {
        "coverage": coverage.each(bound_N, length_N, canvas_N),
        "overshoot": overshoot.each(bound_N, length_N, canvas_N),
        "shortfall": shortfall.each(bound_N, length_N, canvas_N),
        "saved": saved.each(bound_N, canvas_N, length_N),
        "squared_error": squared_error.each(bound_N, length_N, canvas_N),
        "exact": exact.each(bound_N, length_N, canvas_N),
        "bucket_accuracy": bucket_accuracy.each(bound_N, length_N, canvas_N),
        "accuracy": accuracy.each(bound_N, length_N, canvas_N, revealed),
        "eos_top1": eos_top1.each(rank_N),
        "eos_prob": eos_prob.each(prob_N),
        "eos_mrr": eos_mrr.each(rank_N),
        "eos_false": eos_false.each(false_N),
        "compute_ratio": compute_ratio.each(bound_N, prompt_N, canvas_N, length_N),
        "censored": (length_N > canvas_N).astype(np.float64),
    }
