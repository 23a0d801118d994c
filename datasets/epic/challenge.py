"""What is published about the EPIC-KITCHENS-100 challenge: splits, files, counts, classes.

Damen et al., "Rescaling Egocentric Vision" (2022), and the files of the annotation repository
(epic-kitchens/epic-kitchens-100-annotations). Rows of the features are those that the challenge's
baseline reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ta3n.datasets.builtin.epic100 import EPIC100_SOURCE, EPIC100_TARGET
from ta3n.datasets.reading.split_files import Role

EpicSplit: TypeAlias = Literal[
    "source_train", "source_val", "source_test", "target_train", "target_val", "target_test"
]
"""A part of the challenge: a table of annotations, and a file of features."""

EPIC_SPLITS: tuple[EpicSplit, ...] = get_args(EpicSplit)

NUM_VERBS, NUM_NOUNS = 97, 300
"""Classes of the two heads, numbered from 0."""

Modality: TypeAlias = Literal["RGB", "Flow", "Audio"]

MODALITIES: tuple[Modality, ...] = get_args(Modality)
"""Streams of the published features, in the order in which they become columns."""

ROWS_PER_SEGMENT = 25
"""Rows that the published features have of each segment, whatever its length."""

VERB_CLASSES, NOUN_CLASSES = "EPIC_100_verb_classes", "EPIC_100_noun_classes"
TAIL_VERBS, TAIL_NOUNS = "EPIC_100_tail_verbs", "EPIC_100_tail_nouns"
"""Names of the lists, without suffix."""

UDA_FOLDER = "UDA_annotations"
"""Folder of the tables in the annotation repository, whose lists of classes lie beside it."""

ANNOTATIONS_HINT = "the repository epic-kitchens/epic-kitchens-100-annotations"


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a table holds; classes are those that occur in it, none where it has no labels."""

    rows: int
    participants: int
    videos: int
    verbs: int = 0
    nouns: int = 0
    pairs: int = 0

    def differences(self, published: "Counts") -> list[str]:
        """Return what differs, in words."""
        names = self.__dataclass_fields__
        pairs = ((name, getattr(self, name), getattr(published, name)) for name in names)
        return [f"{mine} {name} for {theirs}" for name, mine, theirs in pairs if mine != theirs]


@dataclass(frozen=True, slots=True)
class PublishedSplit:
    """A part of the challenge as it was published.

    Attributes:
        table: Name of its annotation file, without suffix.
        dataset: The dataset that it belongs to.
        roles: Its part in each split of that dataset: `tune` chooses settings on the four
            validation kitchens, `final` trains on the twelve others and predicts `target_test`.
        num_digits: Digits of a video's number: two in the source, three in the target.
    """

    table: str
    dataset: str
    roles: Mapping[str, Role]
    num_digits: int
    counts: Counts


SOURCE, TARGET = EPIC100_SOURCE.name, EPIC100_TARGET.name
"""Names of the two datasets."""


def _part(name: str, roles: Mapping[str, Role], counts: Counts) -> PublishedSplit:
    dataset, num_digits = (SOURCE, 2) if name.startswith("source") else (TARGET, 3)
    return PublishedSplit(f"EPIC_100_uda_{name}", dataset, roles, num_digits, counts)


PUBLISHED: Mapping[EpicSplit, PublishedSplit] = {
    "source_train": _part(
        "source_train", {"final": "train"}, Counts(16115, 12, 148, 86, 219, 1663)
    ),
    "source_val": _part(
        "source_val", {"tune": "train", "final": "test"}, Counts(5002, 4, 50, 69, 147, 821)
    ),
    "source_test": _part("source_test_timestamps", {"source_test": "test"}, Counts(4298, 12, 59)),
    "target_train": _part("target_train_timestamps", {"final": "train"}, Counts(26115, 12, 136)),
    "target_val": _part("target_val", {"tune": "train"}, Counts(7906, 4, 55, 77, 170, 1089)),
    "target_test": _part("target_test_timestamps", {"final": "test"}, Counts(5909, 12, 26)),
}
