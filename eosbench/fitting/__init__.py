"""Fitting: features, training, calibration of length predictors (fit.py), and the recipe of the embedded model."""
