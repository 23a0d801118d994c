"""The split by ratio: each group is placed by its own name, so that no clip moves another.

A group is what clips were cut from (`Dataset.recording_of`); it is never on both sides.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ta3n.common.errors import printable, shorten
from ta3n.datasets.reading.split_files import Role

Recording: TypeAlias = tuple[str, str]
"""What clips were cut from, see `Dataset.recording_of`."""

OWN_SPLIT = "1"
"""The name given to the one split of an own dataset."""

_NOTHING: Mapping[Recording, Role] = MappingProxyType({})
_SIDES: tuple[tuple[Role, str], ...] = (("train", "train"), ("test", "validate"))


@dataclass(frozen=True, kw_only=True)
class RatioSplit:
    """The clips of a dataset, of all classes, and the rule that parts them.

    Attributes:
        clips: Class and recording of each clip by path.
        origin: The rule in words.
        former_origin: The words for the rule that went by rank: features that were made with it
            keep their split.
    """

    clips: Mapping[str, tuple[str, Recording]]
    ratio: float
    seed: int
    origin: str
    former_origin: str

    def splits(
        self, there: Mapping[str, Mapping[str, Role]] = MappingProxyType({})
    ) -> dict[str, Mapping[str, Role]]:
        """Return the splits of each clip by path.

        Args:
            there: Splits of clips that were placed before: they stay, and new clips of their
                groups join them.
        """
        kept = {path: of for path, of in there.items() if path in self.clips and of}
        recorded = {self.clips[path][1]: role for path, of in kept.items() for role in of.values()}
        roles = split_by_ratio(list(self.clips.values()), self.ratio, self.seed, recorded)
        return {
            path: kept.get(path) or {OWN_SPLIT: role}
            for path, role in zip(self.clips, roles, strict=True)
        }

    def lines(self) -> Iterator[str]:
        """Yield in words which classes the ratio alone leaves without clips on one side."""
        clips = list(self.clips.values())
        every = {name for name, _ in clips}
        alone = [_by_name(recording, self.ratio, self.seed) for _, recording in clips]
        placed = split_by_ratio(clips, self.ratio, self.seed)
        sides = {(name, role) for (name, _), role in zip(clips, placed, strict=True)}
        parted = {name for name in every if {(name, role) for role, _ in _SIDES} <= sides}
        for role, verb in _SIDES:
            by_name = {clip[0] for clip, found in zip(clips, alone, strict=True) if found == role}
            on_side = {name for name, found in sides if found == role}
            if lacking := sorted(every - on_side):
                yield (
                    f"no clips to {verb} on of {_named(lacking)}: too few groups; add clips of "
                    "other recordings, or give lists or val_pattern"
                )
            if borrowed := sorted((on_side - by_name) & parted):
                yield (
                    f"of {_named(borrowed)} no group's name falls to those to {verb} on by "
                    f"val_ratio {self.ratio:g}; the one nearest to it is taken, until others "
                    "come that do. Another seed may do without"
                )


def split_by_ratio(
    clips: Sequence[tuple[str, Recording]],
    ratio: float,
    seed: int,
    recorded: Mapping[Recording, Role] = _NOTHING,
) -> list[Role]:
    """Part recordings by a hash of their names, so that about `ratio` of them are validated on.

    Each is placed by itself: the ratio holds on average, and others that come or go change
    nothing. But a class whose recordings all fall on one side lends the other the one that is
    nearest to it, if it has two; training comes first.

    Args:
        clips: Class and recording of each.
        recorded: Recordings that were placed before, and stay.
    """
    classes: dict[Recording, set[str]] = {}
    for class_name, recording in clips:
        classes.setdefault(recording, set()).add(class_name)
    ordered = sorted(classes, key=lambda r: _fraction(r, seed))
    placed = {r: recorded.get(r) or _by_name(r, ratio, seed) for r in ordered}
    free = [r for r in ordered if r not in recorded]
    counts: dict[Role, Counter[str]] = {"train": Counter(), "test": Counter()}
    for recording, role in placed.items():
        counts[role].update(classes[recording])

    def lend(class_name: str, role: Role, nearest: Sequence[Recording]) -> None:
        """Move the nearest recording to a side on which its class has none."""
        other: Role = "test" if role == "train" else "train"
        for recording in nearest:
            of = classes[recording]
            if class_name in of and (role == "train" or all(counts[other][c] > 1 for c in of)):
                placed[recording] = role
                counts[other].subtract(of)
                counts[role].update(of)
                return

    for role, nearest in (("train", free[::-1]), ("test", free)):
        for class_name in sorted({name for names in classes.values() for name in names}):
            if not counts[role][class_name]:
                lend(class_name, role, nearest)
    return [placed[recording] for _, recording in clips]


def _fraction(recording: Recording, seed: int) -> float:
    """Return where a name falls, evenly spread over 0 to 1."""
    # Accents are a character or two by the system that the files come from; the name is the same.
    text = unicodedata.normalize("NFC", "\0".join((str(seed), *recording)))
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def _by_name(recording: Recording, ratio: float, seed: int) -> Role:
    return "test" if _fraction(recording, seed) < ratio else "train"


def _named(classes: Sequence[str]) -> str:
    return printable(shorten(classes))
