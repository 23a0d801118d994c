"""A user's own data: datasets and benchmarks that the settings file describes."""
