"""Numbered pictures that are a video: which names are its frames, and in which order."""

import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ta3n.common.errors import shorten

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
"""What pictures are called that may be frames, in lower case."""

# So many digits count all frames there are; a date and time has more.
_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]{1,12})(?P<suffix>\.[^.]+)", re.DOTALL)
_PLACE = re.compile(r"%(?:0?(?P<width>[0-9]{1,2}))?d")
# What systems leave behind.
_NEVER_FRAMES = ("thumbs.db", "desktop.ini")
# Names that are looked at to tell what a folder is; sizes, to tell how much is in it.
_SIZES_TAKEN = 64


class FrameFile(NamedTuple):
    """A picture that is a frame, by the number in its name."""

    number: int
    name: str


def expression_of(pattern: str) -> re.Pattern[str]:
    """Return a pattern such as `frame_%010d.jpg` as a regular expression with one group.

    Raises:
        ValueError: If it does not hold one place for a number, or names a folder.
    """
    places = list(_PLACE.finditer(pattern.replace("%%", "\0\0")))
    if len(places) != 1 or "/" in pattern:
        raise ValueError(
            f"{pattern!r} is no pattern of file names with one place for a number, such as "
            "frame_%010d.jpg"
        )
    (place,) = places
    width = int(place["width"] or 1)
    before, after = (
        re.escape(part.replace("%%", "%"))
        for part in (pattern[: place.start()], pattern[place.end() :])
    )
    return re.compile(f"{before}([0-9]{{{width},}}){after}")


def frames_among(names: Iterable[str], pattern: str = "") -> list[FrameFile]:
    """Return the frames among the names of one folder by their numbers; none if it holds no video.

    Args:
        pattern: Of the frames' names; others are left alone. Without one all names must be of
            pictures with one stem and a number, two at least, but for hidden ones.
    """
    if pattern:
        expression = expression_of(pattern)
        matches = ((expression.fullmatch(name), name) for name in names)
        return sorted(FrameFile(int(match[1]), name) for match, name in matches if match)
    found = []
    kinds = set()
    for name in names:
        if name.startswith(".") or name.lower() in _NEVER_FRAMES:
            continue
        match = _NUMBERED.fullmatch(name)
        if match is None or match["suffix"].lower() not in IMAGE_SUFFIXES:
            return []
        kinds.add((match["stem"], match["suffix"].lower()))
        if len(kinds) > 1:
            return []
        found.append(FrameFile(int(match["number"]), name))
    return sorted(found) if len(found) > 1 else []


def missing_numbers(numbers: Sequence[int]) -> str:
    """Return in words which numbers between the first and the last are left out; rising numbers."""
    gaps = [(a + 1, b - 1) for a, b in pairwise(numbers) if b - a > 1]
    if not gaps:
        return ""
    count = sum(last - first + 1 for first, last in gaps)
    named = (f"{a}" if a == b else f"{a} to {b}" for a, b in gaps)
    return f"{count} numbers are missing: {shorten(named)}"


def size_of_frames(folder: Path, frames: Sequence[FrameFile]) -> int:
    """Return the bytes of a folder's frames, of many as an estimate from some of them.

    Each job asks for it, and a recording has a hundred thousand.

    Raises:
        OSError: If one cannot be looked at.
    """
    taken = frames[:: -(-len(frames) // _SIZES_TAKEN)] if frames else ()
    sizes = [os.stat(folder / frame.name).st_size for frame in taken]  # noqa: PTH116  many calls
    return sum(sizes) * len(frames) // max(len(sizes), 1)
