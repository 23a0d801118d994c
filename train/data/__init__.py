"""Which videos a run uses, and their features as tensors."""
