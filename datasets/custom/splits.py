"""Rules that part the clips of one's own dataset into training and validation.

Each is a function of names alone, so that every job on a cluster comes to the same split.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from ta3n.common.errors import DataConflictError
from ta3n.datasets.reading.folders import quoted
from ta3n.datasets.reading.split_files import Role

Recording: TypeAlias = tuple[str, str]
"""What clips were cut from, see `Dataset.recording_of`."""


def group_in(pattern: re.Pattern[str], stem: str) -> str | None:
    """Return what a pattern finds in a name: its captured parts, or all of it without any."""
    match = pattern.search(stem)
    if match is None:
        return None
    return "/".join(part or "" for part in match.groups()) if match.groups() else match.group()


def split_by_pattern(
    stems: Sequence[str], train: re.Pattern[str] | None, val: re.Pattern[str]
) -> list[Role | None]:
    """Return what each name says: its role, or None where neither pattern is found in it.

    Args:
        stems: File names without suffix.
        train: Found in those to train on; None takes all that are not validated on.
        val: Found in those to validate on.

    Raises:
        DataConflictError: Both are found in one name.
    """
    roles: list[Role | None] = []
    for stem in stems:
        is_val = val.search(stem) is not None
        if train is None:
            roles.append("test" if is_val else "train")
            continue
        is_train = train.search(stem) is not None
        if is_val and is_train:
            raise DataConflictError(
                f"train_pattern and val_pattern are both found in {quoted(stem)}; make them "
                "exclude each other"
            )
        roles.append("test" if is_val else "train" if is_train else None)
    return roles


def split_by_ratio(
    clips: Sequence[tuple[str, Recording]], ratio: float, seed: int
) -> list[Role | None]:
    """Part recordings so that of every class about `ratio` of the clips are validated on.

    Recordings are taken in an order that only their names and the seed decide, each as a whole. A
    class with two recordings or more keeps at least one on either side. `clips` are the class and
    recording of each.
    """
    classes: dict[Recording, Counter[str]] = {}
    for class_name, recording in clips:
        classes.setdefault(recording, Counter())[class_name] += 1
    ordered = {r: classes[r] for r in sorted(classes, key=lambda r: _key(seed, r))}
    sizes = Counter(class_name for class_name, _ in clips)
    chosen = set(_choose(ordered, sizes, ratio))
    chosen |= set(_one_for_each(ordered, sizes, chosen))
    return ["test" if recording in chosen else "train" for _, recording in clips]


def _key(seed: int, recording: Recording) -> bytes:
    text = "\0".join((str(seed), *recording))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _choose(
    recordings: Mapping[Recording, Counter[str]], sizes: Counter[str], ratio: float
) -> Iterator[Recording]:
    """Yield the recordings that bring the classes nearer to their share, one after the other."""
    lacking = {class_name: ratio * size for class_name, size in sizes.items()}
    left = Counter(sizes)
    for recording, counts in recordings.items():
        gain = sum(abs(lacking[c]) - abs(lacking[c] - n) for c, n in counts.items())
        if gain > 0 and _leaves_some(left, counts):
            left -= counts
            for class_name, count in counts.items():
                lacking[class_name] -= count
            yield recording


def _one_for_each(
    recordings: Mapping[Recording, Counter[str]], sizes: Counter[str], chosen: set[Recording]
) -> Iterator[Recording]:
    """Yield the smallest recording of each class that has none to be validated on yet."""
    taken = sum((recordings[r] for r in chosen), Counter[str]())
    for class_name in sorted(sizes):
        candidates = [r for r, counts in recordings.items() if counts[class_name]]
        for recording in sorted(candidates, key=lambda r: recordings[r].total()):
            if taken[class_name]:
                break
            if _leaves_some(sizes - taken, recordings[recording]):
                taken += recordings[recording]
                yield recording


def _leaves_some(left: Counter[str], counts: Counter[str]) -> bool:
    return all(left[class_name] > count for class_name, count in counts.items())
