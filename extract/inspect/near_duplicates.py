"""Clips of the two sides of a split that show the same, found by their features.

A clip that was encoded again, cut or scaled has other bytes but nearly the same features. Were it
trained on while the other is tested on, the accuracy would be too high.

Legend: N clips, D feature width, K frames of a clip that are looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ta3n.common.errors import printable
from ta3n.common.records import USABLE, ClipRecord
from ta3n.common.sampling import segment_indices
from ta3n.common.store import Features, ShardReader, shard_path

NEAR = 0.85
"""Similarity from which on two clips are flagged.

With efficientnet_lite0 on 79 clips of UCF101, clips encoded again, smaller and a tenth shorter,
have 0.73 to 0.97, clips cut from one video 0.54 to 0.87, and any others at most 0.68.
"""

_NUM_FRAMES = 5
_ENOUGH_TO_CENTRE = 10
_BLOCK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AlikePair:
    """Two clips on different sides of a split.

    Attributes:
        splits: Numbers of the splits that they are on different sides of.
        similarity: Cosine of their mean features, each less the mean of all clips where these are
            ten or more; at most 1.
    """

    clip: ClipRecord
    other: ClipRecord
    splits: tuple[str, ...]
    similarity: float


class AlikeClips:
    """The usable clips of a feature folder, compared by their mean features.

    Raises:
        FeatureStoreError: If a shard is damaged.
    """

    def __init__(self, folder: Path, clips: Sequence[ClipRecord]) -> None:
        self._clips = [clip for clip in clips if clip.status in USABLE and clip.length]
        means = _mean_features(folder, self._clips)
        # What all clips have in common tells nothing; the mean of a few is what they show, too.
        if len(means) >= _ENOUGH_TO_CENTRE:
            means = means - means.mean(axis=0)
        self._directions = unit_rows(means)
        self._sides = _sides(self._clips)

    def nearest(self, clip: ClipRecord) -> AlikePair | None:
        """Return the clip most like this one on the other side of a split, if there is any."""
        if clip not in self._clips:
            return None
        number = self._clips.index(clip)
        similarity = self._across(slice(number, number + 1))[0]
        best = int(similarity.argmax())
        return self._pair(number, best, similarity[best]) if similarity[best] > -np.inf else None

    def near_duplicates(self) -> Iterator[AlikePair]:
        """Yield the pairs of all clips that are flagged, each once, the most alike first."""
        found: list[tuple[float, int, int]] = []
        for first in range(0, len(self._clips), _BLOCK):
            similarity = self._across(slice(first, first + _BLOCK))
            for row, column in np.argwhere(similarity >= NEAR):
                if first + row < column:
                    found.append((float(similarity[row, column]), first + int(row), int(column)))
        for value, one, other in sorted(found, key=lambda each: (-each[0], each[1:])):
            yield self._pair(one, other, value)

    def _across(self, some: slice) -> NDArray[np.float32]:
        """Return the similarity of some clips to all [., N]; minus infinity on the same side."""
        similarity: NDArray[np.float32] = self._directions[some] @ self._directions.T
        differ = np.zeros(similarity.shape, bool)
        for sides in self._sides.values():
            differ |= sides[some, None] * sides[None, :] < 0
        return np.where(differ, similarity, -np.inf)

    def _pair(self, one: int, other: int, similarity: float) -> AlikePair:
        splits = (s for s, sides in self._sides.items() if sides[one] * sides[other] < 0)
        return AlikePair(
            clip=self._clips[one],
            other=self._clips[other],
            splits=tuple(splits),
            similarity=float(similarity),
        )


def describe_nearest(pair: AlikePair | None) -> str:
    """Say which clip is most like one on the other side of a split, and whether it is too much."""
    if pair is None:
        return "most alike on the other side of a split: there is no other side"
    found = f"{printable(pair.other.path)} (similarity {pair.similarity:.3f})"
    if pair.similarity < NEAR:
        return f"most alike on the other side of a split: {found}"
    return f"NEAR-DUPLICATE on the other side of split {', '.join(pair.splits)}: {found}"


def _mean_features(folder: Path, clips: Sequence[ClipRecord]) -> Features:
    """Return the mean of K rows of each clip [N, D]."""
    means: dict[int, Features] = {}
    for shard in dict.fromkeys(clip.shard for clip in clips):
        with ShardReader(shard_path(folder, shard)) as reader:
            for clip in (clip for clip in clips if clip.shard == shard):
                rows = reader.rows(clip.start, segment_indices(clip.length, _NUM_FRAMES))
                means[clip.id] = rows.mean(axis=0)
    return np.stack([means[clip.id] for clip in clips]) if clips else np.empty((0, 1), np.float32)


def unit_rows(rows: Features) -> Features:
    """Return rows [N, D] of length 1; one of zeros stays as it is."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Features = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit


def _sides(clips: Sequence[ClipRecord]) -> dict[str, NDArray[np.int8]]:
    """Return for each split the side of every clip [N]: 1 train, -1 test, 0 neither."""
    names = sorted({split for clip in clips for split in clip.splits})
    value = {"train": 1, "test": -1}
    return {
        name: np.array([value.get(clip.splits.get(name, ""), 0) for clip in clips], np.int8)
        for name in names
    }
