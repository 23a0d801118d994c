"""Encoders: from the frames of a video to its feature. One file each; `registry` finds them."""
