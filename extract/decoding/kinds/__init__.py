"""What a clip may be stored as: each kind, and what reads it, in a file of its own."""
