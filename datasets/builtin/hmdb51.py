"""HMDB51: 6,766 clips of 51 classes, mostly from films (Kuehne et al., 2011)."""

import re
from pathlib import Path

from ta3n.datasets.reading.base import OfficialDataset
from ta3n.datasets.reading.folders import SUFFIX_PATTERN, entry_names
from ta3n.datasets.reading.split_files import RoleTable, SplitFile, read_split_files

_LIST_NAME = re.compile(r"(?P<folder>.+)_test_split(?P<split>[1-3])\.txt")
# Names may hold nearly everything but a blank.
_LIST_LINE = re.compile(rf"(?P<stem>\S+){SUFFIX_PATTERN}\s+(?P<flag>[012])")
# What is seen of the body, camera motion, number of people, viewpoint, quality, clip number; the
# video and the class stand before.
_TAGS = re.compile(r"_(?:h|u|f|l)_(?:nm|cm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+$")


def source_video(stem: str) -> str | None:
    """Return the name of the film or web video that a clip was cut from, with its class.

    Args:
        stem: File name without suffix, `<video>_<class>_<five tags>_<number>`.

    Returns:
        `<video>_<class>`; None for a name without the tags.
    """
    match = _TAGS.search(stem)
    return stem[: match.start()] or None if match else None


def holds_splits(folder: Path) -> bool:
    """Tell whether a folder has a file `<class>_test_split<N>.txt`."""
    return any(_LIST_NAME.fullmatch(name) for name in entry_names(folder))


def read_splits(folder: Path) -> RoleTable:
    """Read the files `<class>_test_split<N>.txt`, whose lines are `<clip>.avi <flag>`.

    Flag 1 is training (70 clips a class), 2 is testing (30 clips), 0 is unused in this split.

    Raises:
        DataMissingError: A file cannot be read.
        DataConflictError: A line is malformed, or lists a clip twice with different flags.
    """
    files = (
        SplitFile(folder / match.string, match["split"], folder=match["folder"])
        for match in map(_LIST_NAME.fullmatch, sorted(entry_names(folder)))
        if match
    )
    return read_split_files(files, _LIST_LINE, "'<clip>.avi <flag>' with a flag of 0, 1 or 2")


HMDB51 = OfficialDataset(
    name="hmdb51",
    short_name="hmdb",
    layout="<class>/<clip>.avi",
    source_hint="hmdb51_org.rar (one archive a class inside) from the Serre Lab's HMDB page",
    splits_layout="<class>_test_split<N>.txt",
    splits_hint="test_train_splits.rar from the Serre Lab's HMDB page",
    clip_folders=("hmdb51_org", "videos"),
    split_folders=("testTrainMulti_7030_splits", "test_train_splits"),
    holds_splits=holds_splits,
    read_splits=read_splits,
    group_from_name=source_video,
)
