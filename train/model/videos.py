"""Frame features of videos: a tensor, or rows that are gathered when they are asked for.

Legend: N videos, B of them, K segments, V views, D feature width, R rows, F_n rows of video n.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor


class Rows(Protocol):
    """Rows [R, D] that lie somewhere."""

    @property
    def width(self) -> int:
        """D."""
        ...

    @property
    def device(self) -> torch.device:
        """Of what is taken."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of what is taken."""
        ...

    @property
    def asked_on(self) -> torch.device:
        """Of the numbers that are asked for."""
        ...

    def take(self, numbers: Tensor) -> Tensor:
        """Return the rows of these numbers, int64 [...] to [..., D]."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> "Rows":
        """Return the rows such that what is taken is on a device, in a type."""
        ...

    def num_not_finite(self) -> int:
        """Return how many rows hold values that are not finite, as far as it is known."""
        ...


@dataclass(frozen=True)
class HeldRows:
    """Rows in memory, [R, D]."""

    rows: Tensor

    @property
    def width(self) -> int:
        """D."""
        return self.rows.shape[1]

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.rows.device

    @property
    def asked_on(self) -> torch.device:
        """The same."""
        return self.rows.device

    @property
    def dtype(self) -> torch.dtype:
        """Their type."""
        return self.rows.dtype

    def take(self, numbers: Tensor) -> Tensor:
        """Return the rows of these numbers, int64 [...] to [..., D]."""
        return self.rows.index_select(0, numbers.flatten()).reshape(*numbers.shape, self.width)

    def to(self, device: torch.device, dtype: torch.dtype) -> "HeldRows":
        """Return the rows on a device, in a type."""
        return HeldRows(self.rows.to(device, dtype))

    def num_not_finite(self) -> int:
        """Return how many rows hold values that are not finite."""
        return count_not_finite(self.rows)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Where the frames of videos lie among some rows.

    Args:
        rows: of all videos, and perhaps of others.
        starts: the first row of each video, int64 [N].
        centres: place behind the first of each frame that is sampled, int64 [N, K].
        views: likewise, of each set of frames that is looked at in evaluation, int64 [N, V, K].
    """

    rows: Rows
    starts: Tensor
    centres: Tensor
    views: Tensor

    def __getitem__(self, chosen: Tensor) -> Self:
        """Return the stream of some of the videos."""
        chosen = chosen.to(self.starts.device)
        return replace(
            self,
            starts=self.starts[chosen],
            centres=self.centres[chosen],
            views=self.views[chosen],
        )

    def to(self, device: torch.device, dtype: torch.dtype | None) -> Self:
        """Return the stream such that what is taken is on a device."""
        rows = self.rows.to(device, dtype or self.rows.dtype)
        return replace(
            self,
            rows=rows,
            starts=self.starts.to(rows.asked_on),
            centres=self.centres.to(rows.asked_on),
            views=self.views.to(rows.asked_on),
        )

    def take(self, videos: Tensor, places: Tensor) -> Tensor:
        """Return the rows at places [B, ...] of videos [B]: [B, ..., D]."""
        starts = self.starts[videos].reshape(-1, *[1] * (places.ndim - 1))
        return self.rows.take(starts + places)


@dataclass(frozen=True, kw_only=True)
class StoredVideos:
    """Videos whose frames are gathered when they are asked for; of the shape [N, K, D].

    Args:
        streams: what is joined along D, moment by moment; at least one.
        lengths: among how many frames of a video frames are drawn, int64 [N], on the CPU.
    """

    streams: tuple[Stream, ...]
    lengths: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """N, K and D."""
        first = self.streams[0].centres
        return len(first), first.shape[1], sum(stream.rows.width for stream in self.streams)

    @property
    def ndim(self) -> int:
        """3."""
        return len(self.shape)

    @property
    def device(self) -> torch.device:
        """Where what is gathered is."""
        return self.streams[0].rows.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of what is gathered."""
        return self.streams[0].rows.dtype

    @property
    def asked_on(self) -> torch.device:
        """Where the numbers of what is asked for are looked at."""
        return self.streams[0].rows.asked_on

    def is_floating_point(self) -> bool:
        """Say whether what is gathered are floating-point numbers."""
        return self.dtype.is_floating_point

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, chosen: slice | Sequence[bool]) -> Self:
        """Return some of the videos."""
        numbers = torch.arange(len(self))[chosen]
        streams = tuple(stream[numbers] for stream in self.streams)
        return replace(self, streams=streams, lengths=self.lengths[numbers])

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Self:
        """Return the videos such that what is gathered is on a device."""
        return replace(self, streams=tuple(stream.to(device, dtype) for stream in self.streams))

    def take(self, videos: Tensor, frames: Tensor | None = None) -> Tensor:
        """Return the frames of videos.

        Args:
            videos: int64 [B].
            frames: what `draw` returned; none takes the centres.

        Returns:
            [B, K, D].
        """
        numbers = videos.to(self.asked_on)
        taken = [
            stream.take(numbers, (stream.centres if frames is None else frames)[numbers])
            for stream in self.streams
        ]
        return taken[0] if len(taken) == 1 else torch.cat(taken, dim=-1)

    def take_views(self, videos: Tensor) -> Tensor:
        """Return the frames that evaluation looks at, [B, V, K, D] of videos int64 [B]."""
        numbers = videos.to(self.asked_on)
        taken = [stream.take(numbers, stream.views[numbers]) for stream in self.streams]
        return taken[0] if len(taken) == 1 else torch.cat(taken, dim=-1)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw a frame in each of K equal parts of every video: frame floor((i + u) n / K) of n.

        The centre is u = 1/2. A video with fewer frames than segments gives all its frames and
        repeats the last.

        Args:
            generator: on the CPU; it draws u, from 0 up to 1.

        Returns:
            Places of the frames, int64 [N, K].
        """
        num_videos, num_segments, _ = self.shape
        parts = torch.arange(num_segments)
        lengths = self.lengths[:, None]
        u = torch.rand(num_videos, num_segments, generator=generator, dtype=torch.float64)
        drawn = ((parts + u) * (lengths.double() / num_segments)).long()
        drawn = torch.where(lengths < num_segments, parts, drawn).minimum(lengths - 1)
        return drawn.to(self.asked_on)

    def num_not_finite(self) -> int:
        """Return how many rows hold values that are not finite, as far as it is known."""
        return sum(stream.rows.num_not_finite() for stream in self.streams)


Videos = Tensor | StoredVideos
"""Frame features [N, K, D]."""


def asked_on(videos: Videos) -> torch.device:
    """Return where the numbers of videos that are taken should be."""
    return videos.device if isinstance(videos, Tensor) else videos.asked_on


def take_videos(videos: Videos, numbers: Tensor, frames: Tensor | None = None) -> Tensor:
    """Return some of the videos, [..., K, D] of numbers int64 [...].

    Args:
        frames: drawn places of all their frames, see `StoredVideos.draw`: [N, K], or [S, N, K]
            of numbers [S, B]; none takes the centres.
    """
    flat = numbers.flatten()
    if isinstance(videos, Tensor):
        rows = videos.index_select(0, flat)
    elif frames is None or frames.ndim == 2:
        rows = videos.take(flat, frames)
    else:
        rows = torch.cat([videos.take(*each) for each in zip(numbers, frames, strict=True)])
    return rows.reshape(*numbers.shape, *videos.shape[1:])


def batches_of(videos: Videos, batch_size: int) -> Iterator[Tensor]:
    """Yield the centre frames of all videos, [<= batch_size, K, D] each."""
    if isinstance(videos, Tensor):
        yield from torch.split(videos, batch_size)
        return
    for numbers in torch.split(torch.arange(len(videos)), batch_size):
        yield videos.take(numbers)


def views_of(videos: Videos, batch_size: int) -> Iterator[tuple[Tensor, int]]:
    """Yield what evaluation looks at, the views of one video after those of another.

    Args:
        videos: A tensor may be of several views, [N, V, K, D].

    Yields:
        [<= batch_size x V, K, D], and V.
    """
    for numbers in torch.split(torch.arange(len(videos)), batch_size):
        if isinstance(videos, Tensor):
            part = videos[int(numbers[0]) : int(numbers[-1]) + 1] if len(numbers) else videos
        else:
            part = videos.take_views(numbers)
        yield (part, 1) if part.ndim == 3 else (part.flatten(0, 1), part.shape[1])


def count_not_finite(features: Tensor) -> int:
    """Return how many of features [N, ...] hold values that are not finite.

    They are looked at in parts: what is found of all at once would take more memory than they do.
    """
    parts = torch.split(features, _LOOKED_AT)
    return sum(int((~part.isfinite()).flatten(1).any(1).sum()) for part in parts)


_LOOKED_AT = 64


def has_not_finite(videos: Videos) -> bool:
    """Say whether there are values that are not finite, as far as it is known."""
    if isinstance(videos, Tensor):
        return count_not_finite(videos) > 0
    return videos.num_not_finite() > 0


def over_views(outputs: Tensor, num_views: int) -> Tensor:
    """Return the mean over the views of each video, [B V, ...] to [B, ...]."""
    if num_views == 1:
        return outputs
    return outputs.reshape(-1, num_views, *outputs.shape[1:]).mean(dim=1)
