"""The published datasets: their folder layouts and their official splits."""
