"""The report of a set of finished runs: tables, pictures and one self-contained page."""
