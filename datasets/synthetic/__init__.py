"""The embedded benchmark of three domains, rendered from a seed."""
