"""What both stages share: errors, settings, the feature store and its manifest."""
