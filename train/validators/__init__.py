"""Rules that choose an epoch without a target label."""
