"""The report's tables and its verdict."""
