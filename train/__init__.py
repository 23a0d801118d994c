"""Stage two: train and evaluate TA3N and its baselines on cached features."""
