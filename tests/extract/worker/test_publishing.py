"""If this breaks, the network stands still while shards are written, or memory grows with them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue

import numpy as np
import pytest

from ta3n.common import store
from ta3n.common.store import ShardReader, is_finished, shard_path
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.inference.batches import RowSpool
from ta3n.extract.worker import publishing
from ta3n.extract.worker.publishing import DecodedClip, Publisher
from ta3n.extract.worker.work import ShardTask, Work

from ...support.extract_jobs import wait_until
from ...support.tiny import work_on

_WIDTH = 512


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Five shards, the last of fewer clips."""
    return work_on(tmp_path, tmp_path, [f"{number}.avi" for number in range(260)])


def rows_of(task: ShardTask) -> tuple[dict[int, DecodedClip], RowSpool]:
    """Return a row for each clip of a shard, its number throughout, the last clip's first."""
    spool, decoded = RowSpool(_WIDTH, None), {}
    for place, clip in enumerate(reversed(task.clips)):
        spool.append(np.full((1, _WIDTH), clip.id, np.float32))
        decoded[clip.id] = DecodedClip(
            ClipOutcome(status="ok", num_frames=1, frame_numbers=(0,)), np.array([place])
        )
    return decoded, spool


class SlowDisk:
    """Writes shards when it is told to.

    Attributes:
        handed_over: Shards that were handed over.
        at_writes: How many those were whenever a write began.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.handed_over: list[str] = []
        self.at_writes: list[int] = []
        self.went_ahead = threading.Semaphore(0)
        self.may_write = threading.Event()
        monkeypatch.setattr(publishing, "write_shard", self._write)

    def _write(self, *args: object, **options: object) -> object:
        assert self.may_write.wait(60)
        self.at_writes.append(len(self.handed_over))
        return store.write_shard(*args, **options)  # type: ignore[arg-type]


def hand_over(disk: SlowDisk, work: Work, publisher: Publisher) -> None:
    for task in work.tasks:
        publisher.submit(task, *rows_of(task))
        disk.handed_over.append(task.shard)
        disk.went_ahead.release()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.may_write.set()


def test_work_goes_on_beside_a_slow_disk_but_two_shards_ahead_at_most(
    work: Work, disk: SlowDisk, tmp_path: Path
) -> None:
    with Publisher(work, {"torch": "2"}) as publisher:
        network = threading.Thread(target=hand_over, args=(disk, work, publisher), daemon=True)
        network.start()
        for _ in range(2):
            assert disk.went_ahead.acquire(timeout=60), "handing over waited for the disk"
        assert not disk.at_writes
        disk.may_write.set()
        network.join(60)
        assert len(disk.handed_over) == 5
    # Of n + 1 shards that were begun n are published: besides these, one may wait.
    assert all(count <= number + 2 for number, count in enumerate(disk.at_writes))
    assert finished(work) == [task.shard for task in work.tasks]
    for task in work.tasks:
        with ShardReader(shard_path(tmp_path, task.shard)) as shard:
            shard.verify()
            assert [clip.id for clip in shard.record.clips] == [clip.id for clip in task.clips]
            values = [shard.rows(clip.start, [0])[0, 0] for clip in shard.record.clips]
            assert values == [clip.id for clip in task.clips]


def publish(
    work: Work, num_shards: int, then: Callable[[Publisher], None] = lambda _: None
) -> list[str]:
    """Hand over the first shards, then do something more."""
    with Publisher(work, {}) as publisher:
        for task in work.tasks[:num_shards]:
            publisher.submit(task, *rows_of(task))
        then(publisher)
    return finished(work)


def finished(work: Work) -> list[str]:
    return [task.shard for task in work.tasks if is_finished(work.folder, task.shard)]


def test_a_write_that_fails_ends_the_work_and_no_later_shard_is_published(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_at_second(*args: object, **options: object) -> object:
        if finished(work):
            raise OSError(28, "No space left on device")
        return store.write_shard(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "write_shard", full_at_second)
    with pytest.raises(OSError, match="No space left"):
        publish(work, 5)
    assert finished(work) == ["shard-00000"]


def test_a_failed_write_is_told_without_a_further_shard(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    def look_for_ever(publisher: Publisher) -> None:
        while True:
            publisher.check()

    monkeypatch.setattr(publishing, "write_shard", fail)
    with pytest.raises(OSError, match="No space left"):
        publish(work, 1, look_for_ever)


def test_shards_that_were_handed_over_are_published_though_a_later_one_fails(
    work: Work, disk: SlowDisk
) -> None:
    def fail(_: Publisher) -> None:
        disk.may_write.set()
        raise ValueError("of a later shard")

    with pytest.raises(ValueError, match="of a later shard"):
        publish(work, 2, fail)
    assert finished(work) == ["shard-00000", "shard-00001"]


def test_an_interruption_finishes_what_is_being_written_alone(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, publishers = threading.Event(), Queue[Publisher]()

    def write(*args: object, **options: object) -> object:
        begun.set()
        publisher = publishers.get(timeout=60)
        wait_until(lambda: publisher._unpublished[-1].cancelled())
        return store.write_shard(*args, **options)  # type: ignore[arg-type]

    def interrupt(publisher: Publisher) -> None:
        assert begun.wait(60)
        publishers.put(publisher)
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "write_shard", write)
    with pytest.raises(KeyboardInterrupt):
        publish(work, 2, interrupt)
    assert finished(work) == ["shard-00000"]
