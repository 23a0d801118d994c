"""The losses, one file each, written for tensors of logits."""
