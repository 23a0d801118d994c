"""The report's tables and its summary."""
