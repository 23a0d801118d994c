"""The embedded two-domain benchmark, rendered from a seed."""
