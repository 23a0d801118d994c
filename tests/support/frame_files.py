"""Folders and archives of frames that the tests make themselves."""

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from ta3n.common.video import RgbImage


def picture(pixels: RgbImage, kind: str = "PNG") -> bytes:
    """Return pixels [H, W, 3] as the bytes of a picture."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_frames(
    folder: Path, frames: Iterable[RgbImage], name: str = "frame_%010d.png", first: int = 1
) -> Path:
    """Write frames as numbered pictures of a folder, which is returned."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(frames, first):
        (folder / (name % number)).write_bytes(picture(pixels))
    return folder


def write_tar(
    path: Path, files: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT, mode: str = "w"
) -> Path:
    """Pack files by name and content; form and mode are those of `tarfile`."""
    with tarfile.open(path, mode, format=form) as archive:  # type: ignore[call-overload]
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            # Not a whole number: with pax it needs a header of its own.
            member.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(member, io.BytesIO(content))
    return path


def tar_of(folder: Path, path: Path, inside: str = "./") -> Path:
    """Pack a folder's frames, in an order that is not theirs."""
    files = [(f"{inside}{file.name}", file.read_bytes()) for file in sorted(folder.iterdir())]
    return write_tar(path, files[1::2] + files[::2])
