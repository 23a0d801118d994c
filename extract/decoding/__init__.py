"""From a video file to frames, in time order, each counted."""
