"""A decoder: it decodes clips that it is given one by one, and hands blocks of frames over.

It runs in a process of its own, which a clip may crash or hang, or in a thread. Neither torch nor a
device is in such a process, but torch where frames are cropped by what a library made for it.
"""

import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple, NoReturn, TypeAlias

import numpy as np

from ta3n.common.errors import EXIT_INTERRUPTED, Ta3nError, lack_of_the_machine, unexpected
from ta3n.common.video import RgbImage
from ta3n.extract.decoders.blocks import Blocks, Layout
from ta3n.extract.decoding.decode import drain
from ta3n.extract.decoding.passes import Outcomes, Pass

Decode: TypeAlias = Callable[[Pass, Callable[[], None]], Generator[RgbImage, None, Outcomes]]
"""Yields the frames of clips that are decoded at once, and returns how each ended.

It is given what is to be called for every packet that was read.
"""


class Start(NamedTuple):
    """The first message to a decoder."""

    layout: Layout
    number: int
    decode: Decode
    parent: int


class Order(NamedTuple):
    """Clips to be decoded, or to be opened and left after the first frame."""

    attempt: int
    clips: Pass
    is_probe: bool


class Room(NamedTuple):
    """A free block for frames of an attempt; what is left when that ends is free again."""

    attempt: int
    block: int


class Ready(NamedTuple):
    """A decoder can begin."""


class Filled(NamedTuple):
    """A block of so many frames, each of this shape."""

    attempt: int
    block: int
    shape: tuple[int, ...]
    length: int


class Done(NamedTuple):
    """An attempt ended by itself; the decoder had to wait so many seconds for free blocks."""

    attempt: int
    outcomes: Outcomes
    full_s: float


class Broken(NamedTuple):
    """An error that no clip is to blame for."""

    error: Exception


ToDecoder: TypeAlias = Order | Room | None
FromDecoder: TypeAlias = Ready | Filled | Done | Broken


class Decoder:
    """Does what comes through a connection until that says None, or is closed.

    Args:
        is_process: Whether it has a process of its own, which ends at once when no more can come.

    Attributes:
        error: What ended it, if no clip is to blame.
    """

    def __init__(
        self, connection: Connection, start: Start, blocks: Blocks, *, is_process: bool
    ) -> None:
        self._connection = connection
        self._decode = start.decode
        self._number = start.number
        self._blocks = blocks
        self._is_process = is_process
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._rooms: queue.SimpleQueue[Room | None] = queue.SimpleQueue()
        self._attempt = -1
        self._block: int | None = None
        self._shape: tuple[int, ...] = ()
        self._count = self._fits = 0
        self._full_s = 0.0
        self._is_stopped = False
        self.error: Exception | None = None

    def run(self) -> None:
        """Decode clip after clip. What none is to blame for is told, and ends it."""
        receiver = threading.Thread(target=self._receive, daemon=True)
        receiver.start()
        with suppress(CancelledError):
            self._send(Ready())
            while (order := self._orders.get()) is not None:
                try:
                    self._do(order)
                except CancelledError:
                    raise
                except Exception as error:  # noqa: BLE001  whoever gave the order raises it
                    self.error = error
                    self._send(Broken(_sendable(error) if self._is_process else Ta3nError()))
        if self._is_stopped:
            receiver.join()
        self._connection.close()

    def _receive(self) -> None:
        with suppress(EOFError, OSError):
            while (message := self._connection.recv()) is not None:
                (self._orders if isinstance(message, Order) else self._rooms).put(message)
        self._is_stopped = True
        if self._is_process:
            os._exit(EXIT_INTERRUPTED)
        self._orders.put(None)
        self._rooms.put(None)

    def _send(self, message: FromDecoder) -> None:
        try:
            self._connection.send(message)
        except OSError:
            # Nobody listens any more.
            raise CancelledError from None

    def _do(self, order: Order) -> None:
        self._attempt, self._block, self._full_s = order.attempt, None, 0.0
        if order.is_probe:
            frames = self._decode(order.clips, self._step)
            next(frames, None)
            frames.close()
            self._send(Done(order.attempt, (), 0.0))
            return
        outcomes = drain(self._decode(order.clips, self._step), self._put)
        self._hand_over()
        self._send(Done(order.attempt, outcomes, self._full_s))

    def _step(self) -> None:
        self._blocks.steps[self._number] += 1
        if self._is_stopped:
            raise CancelledError

    def _put(self, pixels: RgbImage) -> None:
        """Copy a frame into the open block; hand that over once it is full."""
        if self._block is not None and pixels.shape != self._shape:
            self._hand_over()
        if self._block is None:
            self._block, self._shape, self._count = self._next_block(), pixels.shape, 0
            self._fits = self._blocks.layout.block_bytes // pixels.nbytes
            if not self._fits:
                raise Ta3nError(f"a frame {list(pixels.shape)} is larger than was said")
        np.copyto(self._blocks.frames(self._block, pixels.shape, self._fits)[self._count], pixels)
        self._count += 1
        self._step()
        if self._count == self._fits:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._block is not None and self._count:
            self._send(Filled(self._attempt, self._block, self._shape, self._count))
        self._block = None

    def _next_block(self) -> int:
        started = time.perf_counter()
        while (room := self._rooms.get()) is not None:
            # One may be left of an attempt before.
            if room.attempt == self._attempt:
                self._full_s += time.perf_counter() - started
                return room.block
        raise CancelledError


def _sendable(error: Exception) -> Exception:
    """Return an error as it can be sent; one that nobody expected tells where it came from."""
    if isinstance(error, Ta3nError) or lack_of_the_machine(error):
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    traceback.print_exception(error)
    return unexpected(error)


def _die_with(parent: int) -> None:
    """End with the process that started us, also while native code hangs."""
    if sys.platform == "linux":
        import ctypes

        death_signal = 1
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(EXIT_INTERRUPTED)


def main() -> NoReturn:
    """Decode what comes through the connection whose descriptor is the first argument.

    The second one is that of the blocks. The process ends without Python's shutdown.
    """
    connection: Connection = Connection(int(sys.argv[1]))
    with suppress(EOFError, ConnectionError):
        try:
            start: Start = connection.recv()
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            # What crops frames may be anyone's code.
            connection.send(Broken(_sendable(error)))
            raise EOFError from error
        _die_with(start.parent)
        if (torch := sys.modules.get("torch")) is not None:
            # What crops frames: the decoders are what runs side by side.
            torch.set_num_threads(1)
        blocks = Blocks(start.layout, int(sys.argv[2]))
        Decoder(connection, start, blocks, is_process=True).run()
    sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)
