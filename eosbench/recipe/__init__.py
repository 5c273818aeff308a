"""The making of the embedded model: its data, its training, and the fitting of its predictors."""
