"""Uncompressed tar archives of numbered pictures, read in place."""

from collections import defaultdict
from collections.abc import Sequence

from ta3n.common.errors import ClipError, printable, shorten
from ta3n.datasets.reading.frame_files import frames_among
from ta3n.datasets.reading.tar import TAR_SUFFIX, TarMember, tar_members
from ta3n.extract.decoding.kinds.frame_series import FrameSeriesReader, StoredFrame
from ta3n.extract.decoding.kinds.registry import KINDS, Kind


class FrameTarReader(FrameSeriesReader):
    """One archive with the frames of one video, in whatever folder of it."""

    def find_frames(self) -> Sequence[StoredFrame]:
        """See `FrameSeriesReader`; of a damaged archive those before the damage."""
        folders: dict[str, dict[str, TarMember]] = defaultdict(dict)
        try:
            for member in tar_members(self.path, self.on_packet):
                folder, _, name = member.name.rpartition("/")
                # Of members of one name the last is what unpacking leaves.
                folders[folder][name] = member
        except ClipError as error:
            if not folders:
                raise
            self.fault = str(error)
        found = {name: frames_among(of, self.reading.frames) for name, of in folders.items()}
        filled = [folder for folder, frames in found.items() if frames]
        if len(filled) != 1:
            raise self._not_one(filled)
        members, frames = folders[filled[0]], found[filled[0]]
        if link := next((name for _, name in frames if not members[name].has_data), None):
            raise ClipError(f"holds {printable(link)!r} as a link; pack files (tar -h)")
        return [
            StoredFrame(number, name, self.path, members[name].offset, members[name].size)
            for number, name in frames
        ]

    def _not_one(self, folders: Sequence[str]) -> ClipError:
        wanted = self.reading.frames or "pictures of one name and a number"
        if not folders:
            found = f": it {self.fault}" if self.fault else ""
            return ClipError(f"is an archive without a folder of frames ({wanted}){found}")
        names = shorten((repr(printable(folder)) for folder in folders), 3)
        return ClipError(
            f"holds frames of {len(folders)} videos, in {names}: pack each into its own archive"
        )


KINDS.register(
    Kind(
        name="frame archive",
        reads=lambda path: path.name.lower().endswith(TAR_SUFFIX),
        reader=FrameTarReader,
        rank=20,
    )
)
