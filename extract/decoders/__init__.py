"""Decoding side by side: processes or threads that hand frames over in shared memory."""
