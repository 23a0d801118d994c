"""Olympic Sports: 783 clips of 16 classes from the web (Niebles et al., 2010)."""

import re
from collections.abc import Iterator
from pathlib import Path

from ta3n.common.errors import DataConflictError, DataMissingError, did_you_mean
from ta3n.datasets.reading.base import OfficialDataset
from ta3n.datasets.reading.folders import SUFFIX_PATTERN, entry_names, quoted
from ta3n.datasets.reading.split_files import ROLES, SplitFile

FOLDER_OF_LIST = {
    "basketball layup.txt": "basketball_layup",
    "bowling.txt": "bowling",
    "clean and jerk.txt": "clean_and_jerk",
    "discus throw.txt": "discus_throw",
    "hammer throw.txt": "hammer_throw",
    "high jump.txt": "high_jump",
    "javelin throw.txt": "javelin_throw",
    "long jump.txt": "long_jump",
    "platform 10m.txt": "diving_platfrom_10m",  # spelt so in the official download
    "pole vault.txt": "pole_vault",
    "shot put.txt": "shot_put",
    "snatch.txt": "snatch",
    "springboard 3m.txt": "diving_springboard_3m",
    "tennis serve.txt": "tennis_serve",
    "triple jump.txt": "triple_jump",
    "vault.txt": "vault",
}
"""Split file -> class folder."""

# <web video>_<first frame>_<last frame>; the first part may begin with "-" and hold "_".
_LIST_LINE = re.compile(rf"(?P<stem>[^\s/]+_\d+_\d+){SUFFIX_PATTERN}?")


def _split_files(folder: Path) -> Iterator[SplitFile]:
    files = {role: _list_names(folder / role) for role in ROLES}
    for role in ROLES:
        if missing := sorted(set().union(*files.values()) - files[role]):
            raise DataMissingError(
                f"{quoted(folder / role / missing[0])} is missing beside its counterpart; "
                f"it is one of {OLYMPIC.splits_hint}"
            )
    for role, names in files.items():
        for name in sorted(names):
            yield SplitFile(folder / role / name, "1", role, FOLDER_OF_LIST[name])


def _list_names(folder: Path) -> set[str]:
    names = {n for n in entry_names(folder) if n.endswith(".txt") and not n.startswith(".")}
    for name in sorted(names - FOLDER_OF_LIST.keys()):
        nearest = did_you_mean(name, FOLDER_OF_LIST)
        raise DataConflictError(
            f"{quoted(folder / name)} is the split file of no Olympic Sports class{nearest}"
        )
    return names


OLYMPIC = OfficialDataset(
    name="olympic",
    short_name="olympic",
    layout="<class>/<video>_<first>_<last>.seq (or converted, .avi or .mp4)",
    source_hint="the video sequences from the Stanford Vision Lab's Olympic Sports Dataset page",
    splits_layout="train/<class>.txt and test/<class>.txt",
    splits_hint="the split lists from the Stanford Vision Lab's Olympic Sports Dataset page",
    clip_folders=("videos",),
    split_folders=("train_test_split", "test_train_splits"),
    split_file_name=re.compile("|".join(map(re.escape, FOLDER_OF_LIST))),
    split_subfolders=ROLES,
    find_split_files=_split_files,
    split_line=_LIST_LINE,
    split_line_form="'<video>_<first frame>_<last frame>'",
    folder_aliases={"diving_platform_10m": "diving_platfrom_10m"},
)
