"""How the embedded model is made: its training data, its training, and the fitting of its
predictors.
"""
