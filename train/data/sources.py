"""What to beware of where several datasets are the source together. No torch here."""

from collections.abc import Sequence
from itertools import combinations

from ta3n.common.errors import shorten
from ta3n.common.log import LOGGER
from ta3n.train.data.videos import DomainVideos

UNEVEN = 4
"""So many times as many videos as another source are worth a word."""

_NAMED = 3


def report_sources(sources: Sequence[DomainVideos], classes: Sequence[str]) -> None:
    """Log what sources have twice, what one of them lacks, and how far their sizes are apart.

    Args:
        sources: Two or more.
        classes: Names of the classes of one head; labels of several are not looked at.
    """
    for one, other in combinations(sources, 2):
        _report_duplicates(one, other)
    _report_lacking(sources, classes)
    smallest, *_, largest = sorted(sources, key=lambda side: len(side.train))
    if smallest.train and len(largest.train) >= UNEVEN * len(smallest.train):
        LOGGER.warning(
            "%s has %d training videos, %s %d: both have equal parts of every batch, so that one "
            "of the smaller is seen %.1f times as often as one of the larger",
            largest.dataset,
            len(largest.train),
            smallest.dataset,
            len(smallest.train),
            len(largest.train) / len(smallest.train),
        )


def _report_duplicates(one: DomainVideos, other: DomainVideos) -> None:
    known = {(video.clip.length, video.clip.crc32): video.clip.path for video in one.train}
    twice = [
        f"{path} = {video.clip.path}"
        for video in other.train
        if (path := known.get((video.clip.length, video.clip.crc32)))
    ]
    if twice:
        LOGGER.warning(
            "%s and %s: %d training clips are in both, and are learned from twice: %s",
            one.dataset,
            other.dataset,
            len(twice),
            shorten(twice, _NAMED),
        )


def _report_lacking(sources: Sequence[DomainVideos], classes: Sequence[str]) -> None:
    having = {
        side.dataset: {video.label for video in side.train if isinstance(video.label, int)}
        for side in sources
    }
    for name, labels in having.items():
        for number in sorted(set().union(*having.values()) - labels):
            others = [other for other, theirs in having.items() if number in theirs]
            LOGGER.warning(
                "%s has no training videos of %s, which is learned from %s alone",
                name,
                classes[number],
                " and ".join(others),
            )
