"""Stage one: decode videos, run a backbone, write per-frame features."""
