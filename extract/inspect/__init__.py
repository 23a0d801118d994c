"""Looking at a feature folder: what it holds, whether it is sound."""
