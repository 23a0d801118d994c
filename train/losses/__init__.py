"""The losses that several methods share, written for tensors of logits."""
