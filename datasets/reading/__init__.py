"""How a dataset's folder and its splits are read."""
