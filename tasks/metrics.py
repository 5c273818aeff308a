"""The metrics of bounds in lm-eval's registry, for the tasks of others.

An lm-eval that discovers plug-ins finds them through its entry-point group `lm_eval.metrics`
(pyproject.toml), so that a task may name them:

    metric_list:
      - metric: eos_bound_coverage

The prefix keeps them apart from what `metric: accuracy` and `metric: exact` mean elsewhere. The
prediction that they judge is a length record, the answer to an EOS upper-bound request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lm_eval.api.metrics  # noqa: F401  # registers `mean`
from lm_eval.api.registry import register_metric

from eosbench.metrics import Term, document_values
from eosbench.records import LengthRecord

BoundMetric = Callable[[Sequence[object], Sequence[str]], Term]


def _registered(name: str, *, higher_is_better: bool) -> BoundMetric:
    """The metric of one document under lm-eval's calling convention; its aggregate is a mean."""

    def metric(references: Sequence[object], predictions: Sequence[str]) -> Term:
        return dict(document_values(LengthRecord.from_json(predictions[0])).items())[name]

    metric.__name__ = metric.__qualname__ = f"eos_bound_{name}"
    register = register_metric(
        metric=metric.__name__,
        higher_is_better=higher_is_better,
        output_type="generate_until",
        aggregation="mean",
    )
    registered: BoundMetric = register(metric)
    return registered


eos_bound_coverage = _registered("coverage", higher_is_better=True)
eos_bound_overshoot = _registered("overshoot", higher_is_better=False)
eos_bound_shortfall = _registered("shortfall", higher_is_better=False)
eos_bound_saved = _registered("saved", higher_is_better=True)
eos_bound_rmse = _registered("rmse", higher_is_better=False)
eos_bound_exact = _registered("exact", higher_is_better=True)
eos_bound_bucket_accuracy = _registered("bucket_accuracy", higher_is_better=True)
eos_bound_accuracy = _registered("accuracy", higher_is_better=True)
eos_bound_eos_top1 = _registered("eos_top1", higher_is_better=True)
eos_bound_eos_prob = _registered("eos_prob", higher_is_better=True)
eos_bound_eos_mrr = _registered("eos_mrr", higher_is_better=True)
eos_bound_eos_false = _registered("eos_false", higher_is_better=False)
eos_bound_compute_ratio = _registered("compute_ratio", higher_is_better=False)
eos_bound_censored = _registered("censored", higher_is_better=False)
