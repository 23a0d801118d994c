"""What runs in the worker process: it decodes, holds the device and writes shards."""
