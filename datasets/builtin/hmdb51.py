"""HMDB51: 6,766 clips of 51 classes, mostly from films (Kuehne et al., 2011).

A split file is of one class: flag 1 is training (70 clips), 2 is testing (30), 0 is unused.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ta3n.datasets.reading.base import OfficialDataset, group_in
from ta3n.datasets.reading.folders import SUFFIX_PATTERN, entry_names
from ta3n.datasets.reading.split_files import SplitFile

_LIST_NAME = re.compile(r"(?P<folder>.+)_test_split(?P<split>[1-3])\.txt")
# Names may hold nearly everything but a blank.
_LIST_LINE = re.compile(rf"(?P<stem>\S+){SUFFIX_PATTERN}\s+(?P<flag>[012])")
# The film or web video that a clip was cut from, with its class, before what is seen of the body,
# camera motion, number of people, viewpoint, quality, clip number.
_SOURCE_VIDEO = re.compile(
    r"\A(.+?)_(?:h|u|f|l)_(?:nm|cm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+$", re.DOTALL
)


def _split_files(folder: Path) -> Iterator[SplitFile]:
    for match in map(_LIST_NAME.fullmatch, sorted(entry_names(folder))):
        if match:
            yield SplitFile(folder / match.string, match["split"], folder=match["folder"])


HMDB51 = OfficialDataset(
    name="hmdb51",
    short_name="hmdb",
    layout="<class>/<clip>.avi",
    source_hint="hmdb51_org.rar (one archive a class inside) from the Serre Lab's HMDB page",
    splits_layout="<class>_test_split<N>.txt",
    splits_hint="test_train_splits.rar from the Serre Lab's HMDB page",
    clip_folders=("hmdb51_org", "videos"),
    split_folders=("testTrainMulti_7030_splits", "test_train_splits"),
    split_file_name=_LIST_NAME,
    find_split_files=_split_files,
    split_line=_LIST_LINE,
    split_line_form="'<clip>.avi <flag>' with a flag of 0, 1 or 2",
    group_from_name=partial(group_in, _SOURCE_VIDEO),
)
