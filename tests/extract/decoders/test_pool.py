"""If this breaks, frames get lost or mixed up between decoders and the network, or a job hangs."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ta3n.common.records import PlannedClip
from ta3n.common.video import RgbImage
from ta3n.extract.decoders.blocks import Blocks, Layout, open_shared_memory
from ta3n.extract.decoders.pool import Decoders, Ended, Frames
from ta3n.extract.decoding.decode import ClipOutcome, drain
from ta3n.extract.decoding.passes import Outcomes, Pass, PassDecoding
from ta3n.extract.job.run import run_job
from ta3n.extract.worker.work import DECODER_COMMAND

from ...support.extraction import job, rows_of
from ...support.records import CONFIG
from ...support.videos import WriteClip

NUM_CLIPS = 12


def clip(number: int, path: str = "") -> PlannedClip:
    return PlannedClip(
        id=number, path=path or f"{number}.avi", class_name="A", splits={}, size_bytes=1,
        mtime_ns=2, shard="shard-00000",
    )  # fmt: skip


def passes(count: int) -> Iterator[Pass]:
    return ((clip(number),) for number in range(count))


@dataclass
class Counting:
    """Decodes clips whose frames are numbered.

    Attributes:
        lengths: Frames of a clip, by its number.
        before: Called before each frame of a clip, with the number of each.
    """

    lengths: Callable[[int], int]
    before: Callable[[int, int], None] = lambda _, __: None
    num_made: int = 0

    def __call__(
        self, clips: Pass, on_packet: Callable[[], None]
    ) -> Generator[RgbImage, None, Outcomes]:
        (one,) = clips
        length = self.lengths(one.id)
        for number in range(length):
            on_packet()
            self.before(one.id, number)
            yield np.array([[[one.id, number % 256, number // 256 % 256]]], np.uint8)
            self.num_made += 1
        return (ClipOutcome(status="ok", num_frames=length),)


def threads(decode: Counting, count: int, max_bytes: int = 2**20) -> Decoders:
    return Decoders(decode, count=count, max_bytes=max_bytes, frame_bytes=3)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_frame_comes_once_and_in_the_order_of_its_clip(count: int) -> None:
    frames: dict[int, list[int]] = defaultdict(list)
    ends: dict[int, int] = {}
    with threads(Counting(lambda number: 700 * (number % 4)), count) as decoders:
        for item in decoders.decoded(passes(NUM_CLIPS)):
            (one,) = item.attempt.clips
            assert one.id not in ends
            if isinstance(item, Frames):
                assert (item.pixels[:, 0, 0, 0] == one.id).all()
                frames[one.id] += (
                    item.pixels[:, 0, 0, 1] + 256 * item.pixels[:, 0, 0, 2].astype(int)
                ).tolist()
            else:
                ends[one.id] = item.outcomes[0].num_frames
    assert ends == {number: 700 * (number % 4) for number in range(NUM_CLIPS)}
    assert {number: frames[number] for number in ends} == {
        number: list(range(length)) for number, length in ends.items()
    }


def test_no_clip_waits_for_another_one() -> None:
    """The first clip, longer than all room, ends only once all others have been taken."""
    others_done = threading.Event()

    def before(number: int, frame: int) -> None:
        if number == 0 and frame == 100:
            assert others_done.wait(60)

    ended = []
    with threads(Counting(lambda number: 0 if number else 90_000, before), 2, 2**16) as decoders:
        for item in decoders.decoded(passes(NUM_CLIPS)):
            if isinstance(item, Ended):
                ended.append(item.attempt.clips[0].id)
            if len(ended) == NUM_CLIPS - 1:
                others_done.set()
    assert ended == [*range(1, NUM_CLIPS), 0]


def test_none_waits_for_ever_where_blocks_are_few() -> None:
    """Two blocks for three long clips: each gives frames before any of them ends."""
    given = set()
    with threads(Counting(lambda _: 40_000), 3, 2**13) as decoders:
        for item in decoders.decoded(passes(3)):
            if isinstance(item, Ended):
                break
            given.add(item.attempt.clips[0].id)
    assert given == {0, 1, 2}


def test_error_of_ours_is_raised_where_frames_are_taken() -> None:
    def before(number: int, frame: int) -> None:
        if (number, frame) == (2, 1):
            raise TypeError("no such argument")

    running = threading.active_count()
    with (
        threads(Counting(lambda _: 3, before), 2) as decoders,
        pytest.raises(TypeError, match="no such"),
    ):
        list(decoders.decoded(passes(4)))
    assert threading.active_count() == running


def test_an_error_of_the_machine_is_raised_as_well() -> None:
    """Not taken for the end of a decoder, which nobody would be told of."""

    def before(number: int, frame: int) -> None:
        if (number, frame) == (2, 1):
            raise OSError(5, "Input/output error")

    stopped = threading.Event()
    in_time = threading.Timer(30, stopped.set)
    in_time.start()
    with (
        threads(Counting(lambda _: 3, before), 1) as decoders,
        pytest.raises(OSError, match="Input/output error"),
    ):
        list(decoders.decoded(passes(4), stopped))
    in_time.cancel()


def test_memory_is_bounded_whatever_the_clips() -> None:
    """Decoding runs ahead until the blocks are full, and goes on as they are emptied."""
    decode = Counting(lambda _: 20_000)
    num_taken = most_ahead = 0
    with threads(decode, 3, 2**16) as decoders:
        room = decoders._blocks.layout.num_blocks * decoders._blocks.layout.block_bytes // 3
        for item in decoders.decoded(passes(6)):
            if isinstance(item, Frames):
                most_ahead = max(most_ahead, decode.num_made - num_taken)
                num_taken += len(item.pixels)
    assert num_taken == 120_000
    assert 0 < most_ahead <= room + 3


def test_leaving_early_stops_the_decoders() -> None:
    """All blocks are full and nobody takes any more: leaving must not wait for ever."""
    running = threading.active_count()
    with threads(Counting(lambda _: 100_000), 3, 2**16) as decoders:
        next(iter(decoders.decoded(passes(50))))
    assert threading.active_count() == running


def test_they_can_be_told_to_stop() -> None:
    stopped = threading.Event()
    with threads(Counting(lambda _: 100_000), 2, 2**16) as decoders:
        items = decoders.decoded(passes(50), stopped)
        next(items)
        stopped.set()
        with pytest.raises(CancelledError):
            list(items)


@dataclass
class Lacking:
    """Finds the machine without memory, whatever the clip."""

    def __call__(self, *_: object) -> Generator[RgbImage, None, Outcomes]:
        raise MemoryError("for a clip")
        yield np.zeros((1, 1, 3), np.uint8)


def test_what_the_machine_lacks_is_told_by_processes_as_it_is(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not as a fault of this software, with a traceback."""
    command = (sys.executable, "-m", DECODER_COMMAND[-1])
    with (
        Decoders(Lacking(), count=1, max_bytes=2**20, frame_bytes=3, command=command) as decoders,
        pytest.raises(MemoryError, match="for a clip"),
    ):
        list(decoders.decoded(passes(1)))
    assert "Traceback" not in capfd.readouterr().err


class Unsendable(Counting):
    """Reaches no other process."""

    def __reduce__(self) -> str:
        raise TypeError("not to be sent")


def test_what_cannot_be_started_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    running, started = threading.active_count(), list[subprocess.Popen[bytes]]()
    real = subprocess.Popen

    def start(*args: Any, **options: Any) -> "subprocess.Popen[bytes]":
        if len(started) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(real(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    for decode, error in ((PassDecoding(Path(), CONFIG), OSError), (Unsendable(abs), TypeError)):
        started.clear()
        decoders = Decoders(
            decode, count=3, max_bytes=2**20, frame_bytes=3, command=DECODER_COMMAND
        )
        with pytest.raises(error), decoders:
            raise AssertionError("they cannot be started")
        assert started
        assert all(process.returncode is not None for process in started)
    assert threading.active_count() == running


def test_an_interruption_while_they_start_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it comes just then, a thread that runs is said not to."""
    decoders = Decoders(
        PassDecoding(Path(), CONFIG),
        count=4,
        max_bytes=2**20,
        frame_bytes=3,
        command=DECODER_COMMAND,
    )
    feeder, workers = decoders._feeder, list[Any]()
    start = feeder.start

    def interrupted() -> None:
        start()
        workers.extend(decoders._workers)
        raise KeyboardInterrupt

    monkeypatch.setattr(feeder, "start", interrupted)
    monkeypatch.setattr(feeder, "is_alive", lambda: False)
    with pytest.raises(KeyboardInterrupt), decoders:
        raise AssertionError("they were started")
    assert all(worker.process.returncode is not None for worker in workers)
    feeder.join(60)


@pytest.mark.parametrize("count", [1, 2, 16, 256])
@pytest.mark.parametrize("frame_bytes", [3, 224 * 224 * 3, 32 * 224 * 224 * 3])
def test_blocks_fill_what_is_configured(count: int, frame_bytes: int) -> None:
    max_bytes = 128 * 2**20
    layout = Layout.of(count, max_bytes, frame_bytes)
    assert frame_bytes <= layout.block_bytes <= max(2 * 2**20, frame_bytes + 4096)
    of_blocks = layout.num_blocks * layout.block_bytes
    assert max_bytes - layout.block_bytes < of_blocks <= max_bytes
    assert layout.num_bytes - of_blocks <= 8 * count + 4096
    assert Layout.of(count, 2**20, 2**21).num_blocks == 2


def test_blocks_are_shared_and_lie_apart() -> None:
    layout = Layout.of(2, 2**20, 5000)
    descriptor = open_shared_memory(layout.num_bytes)
    assert descriptor is not None
    ours, theirs = Blocks(layout, descriptor), Blocks(layout, descriptor)
    for block in range(layout.num_blocks):
        theirs.frames(block, (50, 20, 3), 2)[:] = block
    theirs.steps[1] = 7
    assert ours.steps.tolist() == [0, 7]
    assert all((ours.frames(b, (2, 3000), 1) == b).all() for b in range(layout.num_blocks))


def real(root: Path, *paths: str) -> tuple[PassDecoding, list[Pass]]:
    return PassDecoding(root, CONFIG), [(clip(n, path),) for n, path in enumerate(paths)]


def test_processes_hand_over_what_decoding_gives(tmp_path: Path, write_clip: WriteClip) -> None:
    """Twice as many bytes as there is room for, and a file that is none."""
    lengths = {"a.avi": 40, "b.mp4": 3, "c.mkv": 17}
    for seed, (name, length) in enumerate(lengths.items()):
        write_clip(tmp_path / name, length, seed=seed)
    (tmp_path / "none.avi").write_bytes(b"no video")
    decode, todo = real(tmp_path, *lengths, "none.avi")
    found: dict[str, list[RgbImage]] = defaultdict(list)
    ends: dict[str, ClipOutcome] = {}
    with Decoders(
        decode, count=2, max_bytes=4 * 2**20, frame_bytes=224 * 224 * 3, command=DECODER_COMMAND
    ) as decoders:
        for item in decoders.decoded(todo):
            if isinstance(item, Frames):
                found[item.attempt.clips[0].path] += list(item.pixels.copy())
            else:
                (ends[item.attempt.clips[0].path],) = item.outcomes
    for clips in todo:
        expected: list[RgbImage] = []
        (outcome,) = drain(decode(clips), expected.append)
        assert ends[clips[0].path] == outcome
        assert np.array_equal(found[clips[0].path], expected)
    assert [ends[clips[0].path].status for clips in todo] == ["ok", "ok", "ok", "failed"]


def test_signals_to_the_whole_group_reach_no_decoder_though_it_is_starting() -> None:
    """Ctrl-C is for the job, which ends them: they would answer with a traceback each."""
    with Decoders(
        PassDecoding(Path(), CONFIG), count=1, max_bytes=2**20, frame_bytes=3,
        command=DECODER_COMMAND,
    ) as decoders:  # fmt: skip
        (worker,) = decoders._workers
        assert worker.process is not None
        worker.process.send_signal(signal.SIGINT)
        worker.process.send_signal(signal.SIGTERM)
        decoders.wait_until_ready()
        assert decoders._workers == [worker]
        assert worker.process.poll() is None


def no_memory(*_: object) -> int:
    raise OSError(1, "Operation not permitted")


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what only some systems have."""
    monkeypatch.setattr(os, "memfd_create", no_memory, raising=False)


@pytest.mark.usefixtures("without_memory")
def test_without_memory_to_share_a_file_serves_that_nobody_sees(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # Torch makes a folder there where it is used for the first time.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "torch"))
    task = job(ucf_tree, tmp_path / "f", classes=("Biking",), decoder_command=DECODER_COMMAND)
    assert run_job(task).status_counts() == {"ok": 4}
    assert f"decoded frames go through a file of 134 MB in {folder}" in log.text
    assert not list(folder.iterdir())


@pytest.mark.usefixtures("without_memory")
def test_without_a_file_either_threads_serve(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: no_memory())
    task = job(ucf_tree, tmp_path / "f", classes=("Biking",), decoder_command=DECODER_COMMAND)
    assert run_job(task).status_counts() == {"ok": 4}
    assert "clips are decoded in threads of this process" in log.text


def test_rows_do_not_depend_on_who_decodes(ucf_tree: Path, tmp_path: Path) -> None:
    """Bit by bit: one process, three, threads; and whether the room is large."""
    made = {}
    for name, command, count in (
        ("one", DECODER_COMMAND, 1),
        ("three", DECODER_COMMAND, 3),
        ("threads", (), 2),
    ):
        task = job(
            ucf_tree, tmp_path / name, frames="all", decoder_command=command, decode_threads=count
        )
        manifest = run_job(task)
        made[name] = rows_of(tmp_path / name, manifest), manifest.content_hash
    rows, content = made["one"]
    assert all(len(some) for some in rows.values())
    for others, other_content in made.values():
        assert other_content == content
        assert all(np.array_equal(others[path], rows[path]) for path in rows)


def test_no_more_decoders_are_started_than_there_are_clips(ucf_tree: Path, tmp_path: Path) -> None:
    """Each is an interpreter that starts: a machine of many cores would wait for them all."""
    started = tmp_path / "started"
    command = ("sh", "-c", f'echo one >> "{started}"; exec "$@"', "sh", *DECODER_COMMAND)
    task = job(ucf_tree, tmp_path, classes=("Biking",), decoder_command=command, decode_threads=9)
    assert run_job(task).status_counts() == {"ok": 4}
    assert started.read_text().split() == ["one"] * 4
