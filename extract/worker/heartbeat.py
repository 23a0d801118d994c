"""What a worker reports while it works: which clips it is at, and whether they get on."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.worker.protocol import Alive, Ended, Message, Started


@dataclass(slots=True)
class ClipWatch:
    """The signs of life of one clip.

    Attributes:
        num_steps: Counts up with every packet read.
        waiting: Whether it only waits until its crops are taken.
        idle_s: Seconds for which nothing has changed.
        last_steps: `num_steps` at the last look.
    """

    num_steps: int = 0
    waiting: bool = False
    idle_s: float = 0.0
    last_steps: int = -1

    def step(self) -> None:
        """Note progress."""
        self.num_steps += 1

    def look(self, since_s: float) -> float:
        """Return for how many seconds the clip has been stuck; `since_s` since the last look."""
        if self.waiting or self.num_steps != self.last_steps:
            self.idle_s = 0.0
        else:
            self.idle_s += since_s
        self.last_steps = self.num_steps
        return self.idle_s


class Reporter:
    """Sends messages to whoever supervises, from any thread.

    Args:
        send: Takes each message; the default drops them, for work without a supervisor.

    Attributes:
        publishing: Held while a shard is written: a worker that is told to stop finishes that.
    """

    def __init__(self, send: Callable[[Message], None] = lambda _: None) -> None:
        self._send = send
        self._sending = threading.Lock()
        self._watched: dict[int, ClipWatch] = {}
        self.publishing = threading.Lock()

    def send(self, message: Message) -> None:
        """Send a message, whole, before returning."""
        with self._sending:
            self._send(message)

    @contextmanager
    def watching(self, clip_id: int) -> Iterator[ClipWatch]:
        """Report that a clip is being decoded, for the supervisor to know should that kill us."""
        watch = ClipWatch()
        self.send(Started(clip_id))
        self._watched[clip_id] = watch
        try:
            yield watch
        finally:
            del self._watched[clip_id]
            self.send(Ended(clip_id))

    def beat(self, since_s: float, timeout_s: float) -> None:
        """Send the heartbeat with the clips that are stuck.

        Time is counted in beats, so a process that was stopped and goes on blames no clip.
        """
        idle_s = {clip_id: watch.look(since_s) for clip_id, watch in list(self._watched.items())}
        self.send(Alive(tuple(i for i, idle in idle_s.items() if idle >= timeout_s)))


def watched(
    crops: Generator[RgbImage, None, ClipOutcome], watch: ClipWatch
) -> Generator[RgbImage, None, ClipOutcome]:
    """Pass crops on, noting when it is the consumer who keeps the clip waiting."""
    while True:
        try:
            pixels = next(crops)
        except StopIteration as end:
            outcome: ClipOutcome = end.value
            return outcome
        watch.waiting = True
        yield pixels
        watch.waiting = False
        watch.step()
