"""From settings to runs: jobs, their execution, grids."""
