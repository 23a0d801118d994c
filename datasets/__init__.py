"""Which clips exist, their class and official splits; benchmarks that pair two datasets."""
