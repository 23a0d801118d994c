"""Trained runs put to use: evaluated on other features, or on new clips."""
