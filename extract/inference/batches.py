"""Fixed-size batches through the network, with the next one filled while that works.

What a row is made of is a frame or a window of frames, called an input here.

Legend: B batch, D feature width, N inputs or rows, T frames of a window, H and W height and width
of a frame, S side of a crop.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Protocol, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ta3n.common.errors import DeviceError
from ta3n.common.log import LOGGER
from ta3n.common.store import Features
from ta3n.common.video import RgbImage
from ta3n.extract.backbones import IMAGE_SIZE
from ta3n.extract.inference.preprocessing import resize_and_crop

IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
"""Of the crop that the paper's features are of."""
# So many frames keep what a layer hands to the next one in the cache of a core, or near it.
_CPU_BATCH_SIZE = 8
# Beyond it a GPU gains nothing at 224 by 224 pixels; of larger images it takes fewer.
_MAX_TRIED_BATCH_SIZE = 256
# A shard of usual size stays in memory; a clip of 100,000 frames does not.
_BYTES_IN_MEMORY = 256 * 2**20
_BYTES_READ_AT_ONCE = 2**20


class SideBySide(nn.Module):
    """Runs pieces of a batch, of one size, through one network in threads of one core each.

    Cores that share every layer wait for each other at its end: with small layers often, and for
    very long where other jobs take a core away in between. Cores with frames of their own do not
    wait where the next batch is there already, and a row does not depend on how many cores there
    are.
    """

    def __init__(self, network: nn.Module, *, num_threads: int, frames_at_once: int) -> None:
        super().__init__()
        self.network = network
        self._frames_at_once = frames_at_once
        self._threads = ThreadPoolExecutor(
            num_threads, "network", initializer=torch.set_num_threads, initargs=(1,)
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Compute features, float32 [B, D], of crops, uint8 [B, 224, 224, 3], or windows."""
        return torch.cat([piece.result() for piece in self.start(crops)])

    def start(self, crops: Tensor) -> list[Future[Tensor]]:
        """Begin to compute features; return those of each piece, which are to come."""
        pieces = torch.split(crops, self._frames_at_once)
        return [self._threads.submit(self._infer, piece) for piece in pieces]

    def close(self) -> None:
        """Let the threads end, also one that an interruption caught while it started."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _infer(self, crops: Tensor) -> Tensor:
        # The mode is each thread's own.
        with torch.inference_mode():
            features: Tensor = self.network(crops)
            return features


Take: TypeAlias = Callable[[Features], None]
"""Takes rows [m, D], which are overwritten after."""


class Done(Protocol):
    """Tells when a device that computes by itself is done with what it was given."""

    def record(self) -> None:
        """Note that it has got all of something."""

    def synchronize(self) -> None:
        """Wait until it has computed that."""


class _Slot:
    """Host and device memory of one batch: frames or windows, their crops, features back [B, D].

    Host memory is pinned for a GPU, and frames are copied on a stream of their own: a batch is on
    its way while the one before is computed.
    """

    def __init__(
        self,
        batch_size: int,
        feature_dim: int,
        input_shape: tuple[int, ...],
        device: torch.device,
        done: Done | None,
    ) -> None:
        self._input_shape = input_shape
        self._device = device
        self._on_gpu = device.type == "cuda"
        # Of each piece that was put in: shape, length, and who takes its rows.
        self._pieces: list[tuple[tuple[int, ...], int, Take]] = []
        self._length = self._used = 0
        crops_shape = (batch_size, *input_shape)
        self._pixels = self._host(math.prod(crops_shape))
        self.features = torch.empty((batch_size, feature_dim), pin_memory=self._on_gpu)
        # What no frame was put into stays as it was: it pads the last batch.
        self._crops = torch.zeros(crops_shape, dtype=torch.uint8, device=device)
        self._copies = torch.cuda.Stream(device) if self._on_gpu else None  # type: ignore[no-untyped-call]
        self.done = done
        self.running: list[Future[Tensor]] = []

    def __len__(self) -> int:
        return self._length

    def put(self, pixels: RgbImage, take: Take) -> None:
        """Copy frames [n, H, W, 3], or windows [n, T, S, S, 3], behind those that are there."""
        end = self._used + pixels.size
        if end > len(self._pixels):
            # What a whole batch of such frames takes.
            larger = self._host(len(self._crops) * pixels[0].size)
            larger[: self._used] = self._pixels[: self._used]
            self._pixels = larger
        np.copyto(self._pixels[self._used : end].numpy(), pixels.reshape(-1))
        self._pieces.append((pixels.shape[1:], len(pixels), take))
        self._length, self._used = self._length + len(pixels), end

    def crops(self) -> Tensor:
        """Return all crops on the device, uint8 [B, S, S, 3] or [B, T, S, S, 3].

        Where fewer were put in, the rest is as before.
        """
        first, offset = 0, 0
        for shape, group in groupby(self._pieces, key=lambda piece: piece[0]):
            length = sum(count for _, count, _ in group)
            end = offset + length * math.prod(shape)
            frames = self._to_device(self._pixels[offset:end].view(length, *shape))
            if shape != self._input_shape:
                frames = resize_and_crop(frames, self._input_shape[0])
            self._crops[first : first + length] = frames
            first, offset = first + length, end
        return self._crops

    def empty(self) -> None:
        """Wait for the features, hand them to those who take them, and forget the frames."""
        if self.done is not None:
            self.done.synchronize()
        pieces = [piece.result() for piece in self.running]
        features = torch.cat(pieces) if pieces else self.features
        first = 0
        for _, count, take in self._pieces:
            take(features[first : first + count].numpy())
            first += count
        self._pieces.clear()
        self._length = self._used = 0

    def _host(self, num_bytes: int) -> Tensor:
        return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=self._on_gpu)

    def _to_device(self, frames: Tensor) -> Tensor:
        if self._copies is None:
            return frames.to(self._device)
        with torch.cuda.stream(self._copies):
            copied = frames.to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._copies)
        # Its memory must not be given to the next copy while it is still read.
        copied.record_stream(computing)
        return copied


class RowSpool:
    """Rows [N, D] that were added, to be read back in any order: a few in memory, then in a file.

    The file lies in the folder given, else all stays in memory. It has no name, so that not even a
    kill leaves it behind.
    """

    def __init__(self, width: int, folder: Path | None) -> None:
        # A size of 0 sets no limit.
        max_size = 0 if folder is None else _BYTES_IN_MEMORY
        self._where = None if folder is None else str(folder)
        self._file = SpooledTemporaryFile(max_size=max_size, dir=self._where)  # noqa: SIM115
        self._num_rows = 0
        self._width = width

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return self._num_rows, self._width

    def append(self, rows: Features) -> None:
        """Add rows [n, D]; raise OSError, also on reading, if the disk is full."""
        with self._at(self._num_rows) as file:
            file.write(np.ascontiguousarray(rows, np.float32).data)
        self._num_rows += len(rows)

    def __getitem__(self, rows: slice) -> Features:
        """Return the rows of a slice without step."""
        first, end, _ = rows.indices(self._num_rows)
        found = np.empty((max(end - first, 0), self._width), np.float32)
        # Reading from memory holds the interpreter's lock, which the network's thread needs too.
        data = found.reshape(-1).data.cast("B")
        with self._at(first) as file:
            for start in range(0, len(data), _BYTES_READ_AT_ONCE):
                file.readinto(data[start : start + _BYTES_READ_AT_ONCE])
        return found

    @contextmanager
    def _at(self, row: int) -> Iterator["SpooledTemporaryFile[bytes]"]:
        """Give the file at a row; errors name the folder, since the file has no name to tell."""
        try:
            self._file.seek(4 * self._width * row)
            yield self._file
        except OSError as error:
            error.filename = error.filename or self._where
            raise


class BatchRunner:
    """Collects frames into batches that mix clips and runs them in order.

    Every batch has the same size, the last one padded with what was there before: a row's value
    does not depend on how many others there are. What is padding alone is left out in whole
    pieces. Where the device has not enough memory for a batch, it is computed in two halves from
    then on.

    Args:
        network: Maps uint8 [B, S, S, 3], or windows [B, T, S, S, 3], to float32 [B, D], on
            `device`.
        piece: Inputs that the network computes by themselves, a divisor of B; None means B.
        input_shape: Of a crop, or of a window.
        new_done: Makes what tells when the device is done, if it computes by itself; on a GPU
            CUDA's events do.

    Attributes:
        feature_dim: D.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        batch_size: int,
        piece: int | None = None,
        feature_dim: int,
        input_shape: tuple[int, ...] = IMAGE_SHAPE,
        new_done: Callable[[], Done] | None = None,
    ) -> None:
        self._network = network
        self._device = device
        self._batch_size = batch_size
        self._piece = piece or batch_size
        self._at_once = batch_size
        self._input_shape = input_shape
        self.feature_dim = feature_dim
        if device.type == "cuda":
            new_done = new_done or torch.cuda.Event
        # Where a device or threads compute by themselves, one batch is filled meanwhile.
        num_slots = 1 if new_done is None and not isinstance(network, SideBySide) else 2
        self._free = deque(
            _Slot(batch_size, feature_dim, input_shape, device, new_done and new_done())
            for _ in range(num_slots)
        )
        self._running: deque[_Slot] = deque()
        self._filling = self._free.popleft()

    def add(self, pixels: RgbImage, take: Take) -> None:
        """Add frames [n, H, W, 3], crops [n, S, S, 3], or windows [n, T, S, S, 3] where rows are.

        Frames that are no crops yet are resized on the device, to the same bytes.

        Args:
            take: Called with their rows [m, D] once a batch was computed, in the order of adding;
                once a batch, where they are in several. It copies what it keeps.

        Raises:
            DeviceError: If the device has not enough memory even for half a batch.
        """
        while len(pixels):
            room = self._batch_size - len(self._filling)
            self._filling.put(pixels[:room], take)
            pixels = pixels[room:]
            if len(self._filling) == self._batch_size:
                self._launch()

    def flush(self) -> None:
        """Run what is left; all rows have been taken then. It raises what `add` does."""
        if len(self._filling):
            self._launch()
        while self._running:
            self._collect()

    def _launch(self) -> None:
        slot = self._filling
        if not self._compute(slot):
            self._halve()
            if not self._compute(slot):
                what = inputs_in_words(self._at_once, self._input_shape)
                raise DeviceError(
                    f"{self._device} has not enough memory for {what} at a time; use a "
                    "smaller --batch-size, or a device with nothing else on it"
                )
        if slot.done is not None:
            slot.done.record()
        self._running.append(slot)
        if not self._free:
            self._collect()
        self._filling = self._free.popleft()

    def _compute(self, slot: _Slot) -> bool:
        """Queue a batch on the device; return False if its memory does not suffice."""
        end = -(-len(slot) // self._piece) * self._piece
        try:
            with torch.inference_mode():
                if isinstance(self._network, SideBySide):
                    slot.running = self._network.start(slot.crops()[:end])
                    return True
                crops = torch.split(slot.crops()[:end], self._at_once)
                rows = torch.split(slot.features[:end], self._at_once)
                for some_crops, some_rows in zip(crops, rows, strict=True):
                    some_rows.copy_(self._network(some_crops), non_blocking=True)
        except torch.OutOfMemoryError:
            return False
        return True

    def _halve(self) -> None:
        """Compute in halves from now on: once only, a second time would hide a leak."""
        if self._at_once < self._batch_size or self._batch_size == 1:
            return
        self._at_once = (self._batch_size + 1) // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        LOGGER.warning(
            "%s is out of memory: %s at a time instead of %d from now on",
            self._device,
            inputs_in_words(self._at_once, self._input_shape),
            self._batch_size,
        )

    def _collect(self) -> None:
        slot = self._running.popleft()
        slot.empty()
        self._free.append(slot)


def inputs_in_words(count: int, input_shape: tuple[int, ...]) -> str:
    """Return so many inputs of a shape in words."""
    ending = "" if count == 1 else "s"
    if len(input_shape) == len(IMAGE_SHAPE):
        return f"{count} frame{ending}"
    return f"{count} window{ending} of {input_shape[0]} frames"


def suitable_batch_size(
    network: nn.Module, device: torch.device, input_shape: tuple[int, ...] = IMAGE_SHAPE
) -> int:
    """Return the batch size where none is given; it raises what `largest_batch_size` does.

    On a CPU it is what each core computes at a time. On a GPU it is the largest of 256, 128 and so
    on that fits; of larger images, and of windows, it starts with fewer. Speed has no say in it,
    so that equal devices compute the same bits.
    """
    if device.type != "cuda":
        num_frames = math.prod(input_shape[:-3])
        return max(_CPU_BATCH_SIZE // num_frames, 1)
    at_most = largest_tried(input_shape)
    return largest_batch_size(network, device, at_most=at_most, input_shape=input_shape)


def largest_tried(input_shape: tuple[int, ...]) -> int:
    """Return the batch size that a GPU is tried with first: as many pixels as 256 crops of 224."""
    at_most, most_bytes = _MAX_TRIED_BATCH_SIZE, _MAX_TRIED_BATCH_SIZE * math.prod(IMAGE_SHAPE)
    while at_most > 1 and at_most * math.prod(input_shape) > most_bytes:
        at_most //= 2
    return at_most


def largest_batch_size(
    network: nn.Module,
    device: torch.device,
    *,
    at_most: int,
    input_shape: tuple[int, ...] = IMAGE_SHAPE,
) -> int:
    """Return how many inputs the device can take at a time: `at_most`, or half of it, and so on.

    Raises:
        DeviceError: If not even one fits.
    """
    size = at_most
    while size:
        try:
            with torch.inference_mode():
                crops = torch.zeros((size, *input_shape), dtype=torch.uint8, device=device)
                network(crops)
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
        except torch.OutOfMemoryError:
            size //= 2
        else:
            break
        finally:
            if device.type == "cuda":
                torch.cuda.empty_cache()
    if not size:
        one = inputs_in_words(1, input_shape).removeprefix("1 ")
        raise DeviceError(f"{device} has not enough memory for one {one}; is it used by others?")
    return size
