"""Videos of several datasets as those of one, which the sources of a run are together.

Legend: N videos, K segments, D feature width, R rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ta3n.train.data.features import Allocate, in_own_memory
from ta3n.train.model.videos import HeldRows, Rows, StoredVideos, Stream, Videos


def join_videos(parts: Sequence[Videos], allocate: Allocate = in_own_memory) -> Videos:
    """Return videos of several datasets, those of one after those of another.

    Args:
        parts: All tensors [N, K, D], or all stored; at least one. One alone is what is returned.
        allocate: Gives the memory that several are copied into.
    """
    if len(parts) == 1:
        return parts[0]
    stored = [part for part in parts if isinstance(part, StoredVideos)]
    if not stored:
        tensors = [part for part in parts if isinstance(part, Tensor)]
        rows = _copied([tensor.flatten(0, 1) for tensor in tensors], allocate)
        return rows.reshape(-1, *tensors[0].shape[1:])
    streams = zip(*(part.streams for part in stored), strict=True)
    return StoredVideos(
        streams=tuple(_joined(each, allocate) for each in streams),
        lengths=torch.cat([part.lengths for part in stored]),
    )


def _copied(parts: Sequence[Tensor], allocate: Allocate) -> Tensor:
    """Return rows [R, D] of several tensors as one."""
    whole = allocate((sum(map(len, parts)), parts[0].shape[1]))
    np.concatenate([part.numpy() for part in parts], out=whole)
    return torch.from_numpy(whole)


def _joined(streams: Sequence[Stream], allocate: Allocate) -> Stream:
    held = [stream.rows.rows for stream in streams if isinstance(stream.rows, HeldRows)]
    if held:
        rows: Rows = HeldRows(_copied(held, allocate))
        firsts = [0, *accumulate(map(len, held))][:-1]
    else:
        rows = JoinedRows(tuple(stream.rows for stream in streams))
        firsts = [place * JoinedRows.STRIDE for place in range(len(streams))]
    return Stream(
        rows=rows,
        starts=torch.cat([s.starts + first for s, first in zip(streams, firsts, strict=True)]),
        centres=torch.cat([stream.centres for stream in streams]),
        views=torch.cat([stream.views for stream in streams]),
    )


@dataclass(frozen=True)
class JoinedRows:
    """Rows that lie in several places, each with numbers of its own: `number + place * STRIDE`."""

    parts: tuple[Rows, ...]

    STRIDE: ClassVar[int] = 1 << 40
    """More rows than any place has."""

    @property
    def width(self) -> int:
        """D."""
        return self.parts[0].width

    @property
    def device(self) -> torch.device:
        """Of what is taken."""
        return self.parts[0].device

    @property
    def asked_on(self) -> torch.device:
        """Of the numbers that are asked for."""
        return self.parts[0].asked_on

    @property
    def dtype(self) -> torch.dtype:
        """Of what is taken."""
        return self.parts[0].dtype

    def take(self, numbers: Tensor) -> Tensor:
        """Return the rows of these numbers, int64 [...] to [..., D]."""
        flat = numbers.flatten()
        rows = torch.empty(len(flat), self.width, device=self.device, dtype=self.dtype)
        for place, part in enumerate(self.parts):
            here = torch.nonzero(flat // self.STRIDE == place).flatten()
            rows[here.to(self.device)] = part.take(flat[here] % self.STRIDE)
        return rows.reshape(*numbers.shape, self.width)

    def to(self, device: torch.device, dtype: torch.dtype) -> "JoinedRows":
        """Return the rows such that what is taken is on a device, in a type."""
        return JoinedRows(tuple(part.to(device, dtype) for part in self.parts))

    def num_not_finite(self) -> int:
        """Return how many rows hold values that are not finite, as far as it is known."""
        return sum(part.num_not_finite() for part in self.parts)
