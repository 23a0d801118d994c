"""What the paper prints: rows of its tables, and figures that it cites."""
