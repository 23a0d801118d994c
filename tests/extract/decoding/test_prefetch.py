"""If this breaks, frames arrive in an order that depends on timing, or a job hangs."""

import threading
from collections.abc import Generator

import numpy as np
import pytest

from ta3n.common.video import RgbImage
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.prefetch import ClipFeed

NUM_CLIPS = 12


def numbered(clip: int, count: int) -> Generator[RgbImage, None, ClipOutcome]:
    for number in range(count):
        yield np.full((1, 1, 3), 10 * clip + number, np.uint8)
    return ClipOutcome(status="ok", num_frames=count)


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_clips_and_frames_come_in_order(num_threads: int) -> None:
    """The first clip is the slowest: it waits until a later one has been decoded, if one can be."""
    later_done = threading.Event()

    def decode(clip: int) -> Generator[RgbImage, None, ClipOutcome]:
        if clip == 0 and num_threads > 1:
            assert later_done.wait(10)
        outcome = yield from numbered(clip, clip % 4)
        if clip == 1:
            later_done.set()
        return outcome

    seen = []
    with ClipFeed(range(NUM_CLIPS), decode, num_threads=num_threads) as feed:
        for clip, crops in feed:
            values = [int(crop[0, 0, 0]) for crop in crops]
            seen.append((clip, values, crops.outcome.num_frames))
    assert seen == [(c, [10 * c + n for n in range(c % 4)], c % 4) for c in range(NUM_CLIPS)]


def test_error_of_ours_is_raised_where_the_clip_is_taken() -> None:
    def decode(clip: int) -> Generator[RgbImage, None, ClipOutcome]:
        outcome = yield from numbered(clip, 2)
        if clip == 2:
            raise TypeError("no such argument")
        return outcome

    taken: list[tuple[int, int]] = []
    before = threading.active_count()
    with ClipFeed(range(4), decode, num_threads=2) as feed:
        clips = iter(feed)
        taken.extend((clip, len(list(crops))) for clip, crops in (next(clips), next(clips)))
        _, crops = next(clips)
        with pytest.raises(TypeError, match="no such argument"):
            list(crops)
    assert taken == [(0, 2), (1, 2)]
    assert threading.active_count() == before


def test_memory_is_bounded_whatever_the_clips() -> None:
    """Decoding runs ahead until the frames that wait fill their room, and goes on as it empties."""
    limit, largest = 40 * 3, 0
    with ClipFeed(
        range(6), lambda clip: numbered(clip, 20), num_threads=3, max_bytes=limit
    ) as feed:
        for _, crops in feed:
            held = [feed.held_bytes for _ in crops]
            assert len(held) == 20
            largest = max(largest, *held)
        assert feed.held_bytes == 0
    # Each thread may add one frame at the limit, and the clip in use a few that keep it moving.
    assert largest <= limit + 3 * 3 + 8 * 3


def test_leaving_early_stops_the_threads() -> None:
    """The queue is full and nobody reads any more: closing must not wait for ever."""
    before = threading.active_count()
    with ClipFeed(range(50), lambda clip: numbered(clip % 20, 1000), num_threads=3) as feed:
        next(iter(feed))
    assert threading.active_count() == before
