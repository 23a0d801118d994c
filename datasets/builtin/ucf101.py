"""UCF101: 13,320 clips of 101 classes from the web, in 25 groups a class (Soomro et al., 2012)."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ta3n.common.errors import DataMissingError
from ta3n.datasets.reading.base import OfficialDataset, group_in
from ta3n.datasets.reading.folders import SUFFIX_PATTERN, entry_names, quoted
from ta3n.datasets.reading.split_files import ROLES, Role, SplitFile

_SPLITS = (1, 2, 3)
_NUM_GROUPS = 25
_TEST_GROUPS_PER_SPLIT = 7

LIST_NAME = re.compile(r"(?:train|test)list0[1-3]\.txt")
# A class folder, a file name and, in the training lists, the label counted from 1 (not used here:
# the folder says the same).
LIST_LINE = re.compile(rf"(?P<folder>[^/]+)/(?P<stem>[^/]+?){SUFFIX_PATTERN}(?:\s+\d+)?")
LIST_LINE_FORM = "'<class folder>/<clip>.avi', with or without a label"
# The group number, two digits: clips of a class with the same one are one recording.
_group = partial(group_in, re.compile(r"_g(\d\d)_c\d\d$"))


def roles_from_group(stem: str) -> dict[str, Role]:
    """Derive the roles of a clip in the three official splits from its group number.

    Split s tests on groups 7(s-1)+1 to 7s and trains on the others. This equals the official lists
    for all 13,320 clips and all three splits. A name without a group from 1 to 25 is in none.
    """
    group = int(_group(stem) or 0)
    if not 1 <= group <= _NUM_GROUPS:
        return {}
    tested_in = (group - 1) // _TEST_GROUPS_PER_SPLIT + 1
    return {str(split): "test" if split == tested_in else "train" for split in _SPLITS}


def find_split_files(folder: Path) -> Iterator[SplitFile]:
    """Yield trainlist0N.txt and testlist0N.txt for every split N that the folder has.

    Raises:
        DataMissingError: One of a split's two lists is missing.
    """
    names = set(entry_names(folder))
    for split in map(str, _SPLITS):
        lists: dict[Role, str] = {role: f"{role}list0{split}.txt" for role in ROLES}
        missing = set(lists.values()) - names
        if len(missing) == 1:
            raise DataMissingError(
                f"{quoted(folder)} has only one of the two lists of a split: {missing.pop()} is "
                f"missing; it comes in {UCF101.splits_hint}"
            )
        if not missing:
            yield from (SplitFile(folder / name, split, role) for role, name in lists.items())


UCF101 = OfficialDataset(
    name="ucf101",
    short_name="ucf",
    layout="<class>/v_<class>_gGG_cCC.avi",
    source_hint="UCF101.rar from the UCF Center for Research in Computer Vision",
    splits_layout="trainlist0N.txt and testlist0N.txt",
    splits_hint=(
        "UCF101TrainTestSplits-RecognitionTask.zip from the UCF Center for Research in "
        "Computer Vision"
    ),
    clip_folders=("UCF-101", "videos"),
    split_folders=("ucfTrainTestlist",),
    split_file_name=LIST_NAME,
    find_split_files=find_split_files,
    split_line=LIST_LINE,
    split_line_form=LIST_LINE_FORM,
    roles_from_name=roles_from_group,
    names_origin="group numbers in the names",
    group_from_name=_group,
)
