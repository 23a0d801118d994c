"""Datasets by name, and the benchmarks made of them."""
