"""The paper's tables, with our figures beside the printed ones."""
