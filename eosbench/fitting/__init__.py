"""Fitting of length predictors: documents, features, training, calibration."""

from __future__ import annotations

from eosbench.fitting.calibrate import predicted_lengths
from eosbench.fitting.data import bound_task, load_examples, read_pairs
from eosbench.fitting.examples import Example, FitData, apart, split_calibration
from eosbench.fitting.fit import fit_all
from eosbench.fitting.jobs import (
    FitJob,
    FitReport,
    check_jobs,
    check_model,
    check_places,
    possible_jobs,
)
from eosbench.fitting.passes import Passes
from eosbench.fitting.train import TrainingSettings

__all__ = [
    "Example",
    "FitData",
    "FitJob",
    "FitReport",
    "Passes",
    "TrainingSettings",
    "apart",
    "bound_task",
    "check_jobs",
    "check_model",
    "check_places",
    "fit_all",
    "load_examples",
    "possible_jobs",
    "predicted_lengths",
    "read_pairs",
    "split_calibration",
]
