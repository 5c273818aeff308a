"""Fitting of length predictors: documents, features, training, calibration."""

from __future__ import annotations

from eosbench.fitting.data import apart, load_examples, split_calibration
from eosbench.fitting.fit import FitJob, FitReport, fit_all

__all__ = ["FitJob", "FitReport", "apart", "fit_all", "load_examples", "split_calibration"]
