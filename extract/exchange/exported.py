"""What exported features are: a record beside them, so that importing them forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ta3n.common.errors import ClipError, DataMissingError
from ta3n.common.files import replace_file
from ta3n.common.records import FeatureConfig, Record, dump_record, read_record
from ta3n.common.sampling import FrameSelection

RECORD_NAME = "ta3n-features.json"


class ExportedVideo(Record):
    """A video's frames, of which not all need have features.

    Attributes:
        num_frames: Of its clip.
        frame_rate: Frames per second, or None.
    """

    num_frames: int
    frame_rate: float | None = None


class ExportRecord(Record):
    """What the exported features were made with.

    Attributes:
        config: Of the feature folder.
        videos: By the name that they were exported under.
    """

    config: FeatureConfig
    videos: dict[str, ExportedVideo]

    def frame_numbers(self, name: str, num_rows: int) -> tuple[ExportedVideo, Sequence[int]]:
        """Return a video and the frame of each of its rows.

        Raises:
            ClipError: If it is not known, or has other rows than its frames give.
        """
        video = self.videos.get(name)
        if video is None:
            raise ClipError(f"is not in {RECORD_NAME}, which says what was exported")
        selection = FrameSelection.parse(self.config.frames)
        numbers = selection.indices(video.num_frames, video.frame_rate)
        if len(numbers) != num_rows:
            raise ClipError(
                f"has {num_rows} frames with features; frames {selection} of "
                f"{video.num_frames} are {len(numbers)}"
            )
        return video, numbers


def write_export_record(folder: Path, record: ExportRecord) -> None:
    """Write the record beside exported features.

    Raises:
        OSError: If the folder cannot be written.
    """
    replace_file(folder / RECORD_NAME, dump_record(record))


def read_export_record(folder: Path) -> ExportRecord | None:
    """Return the record of features that were exported here, or None if they are from elsewhere.

    Raises:
        FeatureStoreError: If it is damaged.
    """
    try:
        return read_record(ExportRecord, folder / RECORD_NAME)
    except DataMissingError:
        return None
