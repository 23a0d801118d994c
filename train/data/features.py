"""The tensors of a run: the sampled frames of its videos, read from the shards.

Legend: N videos, M held-out source videos, K segments, V views, D feature width, R rows, H heads.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ta3n.common.errors import DataConflictError, FeatureStoreError
from ta3n.common.store import Features, MappedRows, ShardReader, shard_path
from ta3n.datasets.benchmarks.benchmark import BenchmarkRole
from ta3n.train.data.videos import DomainVideos, StoredClip, Video
from ta3n.train.loop.batches import TrainingData
from ta3n.train.model.videos import HeldRows, StoredVideos, Stream, Videos

_BYTES = 4

Allocate = Callable[[tuple[int, int]], Features]
"""Returns an array of a shape, whatever is in it."""


def in_own_memory(shape: tuple[int, int]) -> Features:
    """Return an array that this process alone has."""
    return np.empty(shape, np.float32)


def load_part(
    side: DomainVideos,
    part: BenchmarkRole,
    *,
    drawn: bool = False,
    mapped: "dict[Path, MappedFolder] | None" = None,
    allocate: Allocate = in_own_memory,
) -> Videos:
    """Return the features of a domain's training or validation videos, of which there are some.

    Each row is held against its checksum.

    Args:
        side: With the videos.
        drawn: Whether frames are to be drawn among all rows of a video.
        mapped: Leave the rows where they lie. The folders that were mapped before, and are shared.
        allocate: Gives the memory that rows are read into.

    Returns:
        The sampled frames as a tensor, where nothing else is asked for. Streams are joined along D.

    Raises:
        FeatureStoreError: If a shard is missing or damaged.
        DataConflictError: If a shard does not hold what the manifest says.
    """
    videos = side.videos(part)
    if mapped is None and not drawn and not videos[0].views:
        return _load_centres(side, part, allocate)
    lengths = [[video.clip.length for video in s.videos(part)] for s in side.streams]
    return StoredVideos(
        streams=tuple(
            _stream(s, s.videos(part), drawn=drawn, mapped=mapped, allocate=allocate)
            for s in side.streams
        ),
        lengths=torch.tensor(lengths).amin(dim=0),
    )


def _load_centres(side: DomainVideos, part: BenchmarkRole, allocate: Allocate) -> Tensor:
    """Read the sampled frames of all streams side by side, [N, K, D]: each where it is to be."""
    num_videos, num_segments = len(side.videos(part)), len(side.videos(part)[0].rows)
    rows = allocate((num_videos * num_segments, sum(side.widths)))
    first = 0
    for stream, width in zip(side.streams, side.widths, strict=True):
        videos = stream.videos(part)
        columns = rows[:, first : first + width]
        _read_rows(stream.folder, videos, [video.rows for video in videos], columns)
        first += width
    return torch.from_numpy(rows.reshape(num_videos, num_segments, first))


def size_of(side: DomainVideos, part: BenchmarkRole, *, drawn: bool) -> int:
    """Return how many bytes `load_part` holds in memory, unless it leaves them where they lie."""
    values = sum(
        len(_wanted(video, drawn=drawn)) * width
        for stream, width in zip(side.streams, side.widths, strict=True)
        for video in stream.videos(part)
    )
    return values * _BYTES


def _wanted(video: Video, *, drawn: bool) -> Sequence[int]:
    """Return which rows of a video may be looked at, rising."""
    if drawn:
        return range(video.clip.length)
    return sorted({row for rows in (video.rows, *video.views) for row in rows})


def _stream(
    side: DomainVideos,
    videos: Sequence[Video],
    *,
    drawn: bool,
    mapped: "dict[Path, MappedFolder] | None",
    allocate: Allocate,
) -> Stream:
    width = side.config.feature_dim
    centres = [video.rows for video in videos]
    views = [video.views or (video.rows,) for video in videos]
    if mapped is not None:
        folder = mapped.setdefault(side.folder, MappedFolder(side.folder, width))
        return Stream(
            rows=FolderRows(folder, torch.device("cpu"), torch.float32),
            starts=torch.from_numpy(folder.starts_of(videos)),
            centres=torch.tensor(centres),
            views=torch.tensor(views),
        )
    wanted = [_wanted(video, drawn=drawn) for video in videos]
    held = allocate((sum(map(len, wanted)), width))
    _read_rows(side.folder, videos, wanted, held)
    return Stream(
        rows=HeldRows(torch.from_numpy(held)),
        starts=torch.tensor([0, *accumulate(map(len, wanted))][:-1]),
        centres=_places(wanted, centres),
        views=_places(wanted, views),
    )


def _places(wanted: Sequence[Sequence[int]], rows: Sequence[Any]) -> Tensor:
    """Return where rows [N, ...] of each video are among those that are wanted of it."""
    pairs = zip(wanted, rows, strict=True)
    return torch.from_numpy(np.stack([np.searchsorted(known, each) for known, each in pairs]))


def _read_rows(
    folder: Path, videos: Sequence[Video], wanted: Sequence[Sequence[int]], features: Features
) -> None:
    """Read rows of videos into [R, D], those of one after those of another."""
    starts = [0, *accumulate(map(len, wanted))]
    for shard_name, numbers in _by_shard(videos).items():
        with _opened(folder, shard_name, [videos[number] for number in numbers]) as shard:
            for number in numbers:
                rows = shard.rows(videos[number].clip.start, wanted[number])
                features[starts[number] : starts[number + 1]] = rows


def _by_shard(videos: Sequence[Video]) -> dict[str, list[int]]:
    by_shard: dict[str, list[int]] = defaultdict(list)
    for number, video in enumerate(videos):
        by_shard[video.clip.shard].append(number)
    return by_shard


@contextmanager
def _opened(folder: Path, shard_name: str, videos: Sequence[Video]) -> Iterator[ShardReader]:
    """Open a shard that holds videos as the manifest says."""
    try:
        opened = ShardReader(shard_path(folder, shard_name))
    except FeatureStoreError as error:
        raise FeatureStoreError(
            f"{error}; ta3n-extract --repair makes it again, with the line that made the features"
        ) from error
    with opened as shard:
        known = {clip.path: StoredClip.of(clip) for clip in shard.record.clips}
        for video in videos:
            if known.get(video.clip.path) != video.clip:
                raise DataConflictError(
                    f"{shard.path} and the manifest disagree on {video.clip.path}; run "
                    "ta3n-extract again with the line that made the features"
                )
        yield shard


class MappedFolder:
    """The rows of a feature folder where they lie, those of one shard after those of another.

    Args:
        folder: With the shards.
        width: D.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self._folder = folder
        self.width = width
        self._shards: list[MappedRows] = []
        self._firsts: list[int] = []
        self._places: dict[str, int] = {}

    def starts_of(self, videos: Sequence[Video]) -> NDArray[np.int64]:
        """Return the number of the first row of each video, int64 [N]; its shard is mapped.

        Raises:
            As `load_part`, but for the rows, which are checked when they are read.
        """
        starts = np.empty(len(videos), np.int64)
        for shard_name, numbers in _by_shard(videos).items():
            with _opened(self._folder, shard_name, [videos[number] for number in numbers]) as shard:
                if shard_name not in self._places:
                    self._add(shard_name, shard.map_rows())
            first = self._firsts[self._places[shard_name]]
            starts[numbers] = [first + videos[number].clip.start for number in numbers]
        return starts

    def _add(self, shard_name: str, rows: MappedRows) -> None:
        end = self._firsts[-1] + len(self._shards[-1]) if self._shards else 0
        self._places[shard_name] = len(self._shards)
        self._shards.append(rows)
        self._firsts.append(end)

    def take(self, numbers: NDArray[np.int64]) -> Features:
        """Return a copy of rows by their numbers, [R, D].

        Raises:
            FeatureStoreError: If one is damaged.
        """
        rows = np.empty((len(numbers), self.width), np.float32)
        places = np.searchsorted(self._firsts, numbers, side="right") - 1
        for place in np.unique(places).tolist():
            here = places == place
            rows[here] = self._shards[place].take(numbers[here] - self._firsts[place])
        return rows


@dataclass(frozen=True)
class FolderRows:
    """Rows of a mapped folder as tensors on a device, see `Rows`."""

    folder: MappedFolder
    device: torch.device
    dtype: torch.dtype

    @property
    def width(self) -> int:
        """D."""
        return self.folder.width

    @property
    def asked_on(self) -> torch.device:
        """The CPU, which reads them."""
        return torch.device("cpu")

    def take(self, numbers: Tensor) -> Tensor:
        """Return the rows of these numbers, int64 [...] to [..., D]."""
        rows = torch.from_numpy(self.folder.take(numbers.flatten().numpy()))
        return rows.reshape(*numbers.shape, self.width).to(self.device, self.dtype)

    def to(self, device: torch.device, dtype: torch.dtype) -> "FolderRows":
        """Return the rows such that what is taken is on a device, in a type."""
        return replace(self, device=device, dtype=dtype)

    def num_not_finite(self) -> int:
        """Return 0: they are refused when they are read."""
        return 0


def labels_of(videos: Sequence[Video]) -> Tensor:
    """Return the labels, int64 [N], or [N, H] with several heads; -1 where there is none."""
    return torch.tensor([video.label for video in videos], dtype=torch.int64)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Labelled source videos that nothing is learned from: [M, K, D], int64 [M] or [M, H]."""

    features: Videos
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The tensors of a run, and the paths of its videos.

    Attributes:
        source_videos: Those learned from.
        target_videos: Those of the unlabelled target training videos; empty without them.
        held_out: What label-free rules may look at beside; None where the source is not learned
            from, or holds nothing out.
        rule_features: Unlabelled target training videos that label-free rules look at,
            [N', K, D]; None where they look at the validation videos.
        val_features: Target validation features [N, K, D].
        val_labels: Their labels, int64 [N] or [N, H], for the evaluator alone.
    """

    training: TrainingData
    source_videos: Sequence[str]
    target_videos: Sequence[str]
    held_out: HeldOut | None
    rule_features: Videos | None
    val_features: Videos
    val_labels: Tensor
    val_videos: Sequence[str]

    def to(self, device: torch.device) -> "RunData":
        """Return the data with all features on a device, in single precision."""
        held_out, rules = self.held_out, self.rule_features
        return replace(
            self,
            training=self.training.to(device, torch.float32),
            held_out=held_out and replace(held_out, features=held_out.features.to(device)),
            rule_features=None if rules is None else rules.to(device),
            val_features=self.val_features.to(device),
        )
