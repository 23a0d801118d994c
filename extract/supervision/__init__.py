"""What watches the worker process, and goes on when a clip kills or hangs it."""
