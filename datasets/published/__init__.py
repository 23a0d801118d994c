"""The benchmarks of others that are known by lists: classes, counts and sources, a file each."""
