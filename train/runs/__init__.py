"""One run from start to finish, and the folder that keeps it."""
