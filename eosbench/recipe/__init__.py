"""The making of the embedded model: its start, its training, and the fitting of its predictors."""
