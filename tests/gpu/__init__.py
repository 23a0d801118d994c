"""What only a GPU can show; `make gpu-check` runs it with the bench."""
