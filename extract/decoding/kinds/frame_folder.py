"""Folders of numbered pictures, such as `frame_0000000001.jpg`."""

import os
from collections.abc import Sequence

from ta3n.common.errors import ClipError
from ta3n.datasets.reading.frame_files import frames_among
from ta3n.extract.decoding.kinds.frame_series import FrameSeriesReader, StoredFrame
from ta3n.extract.decoding.kinds.registry import KINDS, Kind


class FrameFolderReader(FrameSeriesReader):
    """One folder of frames."""

    def find_frames(self) -> Sequence[StoredFrame]:
        """See `FrameSeriesReader`."""
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries]
        found = frames_among(names, self.reading.frames)
        if not found:
            wanted = self.reading.frames or "pictures of one name and a number"
            raise ClipError(f"is a folder without frames: none of {len(names)} is {wanted}")
        return [StoredFrame(frame.number, frame.name, self.path / frame.name) for frame in found]


KINDS.register(
    Kind(name="frame folder", reads=lambda path: path.is_dir(), reader=FrameFolderReader, rank=0)
)
