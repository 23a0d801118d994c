"""Timings of stage one against its raw limits."""
