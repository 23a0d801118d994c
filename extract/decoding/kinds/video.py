"""Video files: all that FFmpeg reads, and whatever no other kind is meant by."""

from ta3n.common.video import VideoReader
from ta3n.extract.decoding.kinds.registry import KINDS, Kind

KINDS.register(Kind(name="video", reads=lambda _: True, reader=VideoReader, rank=100))
