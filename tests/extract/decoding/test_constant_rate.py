"""If this breaks, clips with gaps no longer give the published numbers of frames."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.errors import ClipError
from ta3n.common.sampling import FrameSelection, Timing
from ta3n.common.video import Clock, RgbImage
from ta3n.extract.decoding.constant_rate import ConstantRate
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip, drain

from ...support.videos import WriteClip, write_timed


@dataclass
class At:
    """A frame that is shown at a position, and told apart by its number."""

    position: float | None
    number: int

    def rgb(self) -> RgbImage:
        raise NotImplementedError


def at_constant_rate(*positions: float | None) -> list[int]:
    frames = [At(position, number) for number, position in enumerate(positions)]
    given = ConstantRate().frames(frames)
    return [frame.number for frame in given if isinstance(frame, At)]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ((0, 1, 2, 3), [0, 1, 2, 3]),
        ((5, 6, 7), [0, 1, 2]),
        ((0, 1, 3, 4), [0, 1, 2, 2, 3]),
        ((0, 1, 5, 6), [0, 1, 1, 1, 2, 2, 3]),
        ((0, 0.4, 1.1, 2), [0, 1, 2, 3]),
        ((0, 1, 2, 1.5, 0.5, 3), [0, 1, 2, 3, 5]),
        ((None, None, None), [0, 1, 2]),
        ((0, None, 2), [0, 1, 2]),
    ],
)
def test_gaps_are_filled_and_crowds_thinned(
    positions: tuple[float | None, ...], expected: list[int]
) -> None:
    assert at_constant_rate(*positions) == expected


def test_damaged_timestamps_do_not_fill_the_disk() -> None:
    with pytest.raises(ClipError, match="ask for 999999 repeats after 2 frames"):
        at_constant_rate(0, 1e6)


def test_decoding_times_count_where_presentation_times_do_not_rise() -> None:
    clock = Clock()
    pairs = [(1, 2), (4, 3), (3, 4), (6, 5)]
    assert [clock.time_of(*pair) for pair in pairs] == [1, 4, 4, 5]
    trusted = Clock(by_decoding=True)
    assert [trusted.time_of(*pair) for pair in pairs] == [2, 3, 4, 5]
    assert Clock().time_of(None, 7) == 7
    assert trusted.time_of(9, None) is None


def decode(path: Path, frames: str, timing: Timing) -> tuple[list[RgbImage], ClipOutcome]:
    crops: list[RgbImage] = []
    outcome = drain(decode_clip(path, FrameSelection.parse(frames), timing=timing), crops.append)
    return crops, outcome


def without_frames(path: Path, *numbers: int) -> Path:
    """Empty frames' chunks of an AVI, which is how it keeps its rate without them."""
    data = bytearray(path.read_bytes())
    position, index = data.index(b"movi"), data.index(b"idx1") + 8
    for number in range(max(numbers) + 1):
        position = data.index(b"00dc", position) + 8
        length = int.from_bytes(data[position - 4 : position], "little")
        if number in numbers:
            data[position - 4 : position] = bytes(4)
            entry = index + 16 * number
            data[entry + 12 : entry + 16] = bytes(4)
            # What was the frame's data is a chunk that readers skip.
            data[position : position + 8] = b"JUNK" + (length - 8).to_bytes(4, "little")
        position += length
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("frames", ["all", "every:3", "segments:5"])
def test_empty_chunks_of_an_avi_are_repeats(
    tmp_path: Path, write_clip: WriteClip, frames: str
) -> None:
    whole = write_clip(tmp_path / "a.avi", 12, codec="mjpeg", pixel_format="yuvj420p")
    every, _ = decode(whole, "all", "frames")
    path = without_frames(whole, 4, 5)
    _, as_decoded = decode(path, "all", "frames")
    assert (as_decoded.num_frames, as_decoded.warning) == (10, "")
    crops, outcome = decode(path, frames, "cfr")
    assert (outcome.num_frames, outcome.status) == (12, "ok")
    assert "2 frames repeated and 0 dropped" in outcome.warning
    shown = [0, 1, 2, 3, 3, 6, 6, 7, 8, 9, 10, 11]
    assert list(outcome.frame_numbers) == list(FrameSelection.parse(frames).indices(12))
    for pixels, number in zip(crops, outcome.frame_numbers, strict=True):
        assert np.array_equal(pixels, every[shown[number]])


@pytest.mark.parametrize("frames", ["all", "segments:5"])
def test_rows_of_a_constant_rate_clip_are_those_of_its_frames(
    tmp_path: Path, write_clip: WriteClip, frames: str
) -> None:
    path = write_clip(tmp_path / "a.avi", 12)
    plain, _ = decode(path, frames, "frames")
    same, outcome = decode(path, frames, "cfr")
    assert (outcome.num_frames, outcome.warning) == (12, "")
    assert all(np.array_equal(one, other) for one, other in zip(plain, same, strict=True))


@pytest.mark.parametrize("timing", ["frames", "cfr"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_frames_by_time_of_a_variable_rate_are_evenly_spaced(
    tmp_path: Path, suffix: str, timing: Timing
) -> None:
    """A telephone's clip: 2 s at 30, then 8 s at 10 frames a second."""
    times = [n / 30 for n in range(60)] + [2 + n / 10 for n in range(80)]
    path = write_timed(tmp_path / f"a.{suffix}", times, bframes=0)
    _, outcome = decode(path, "fps:1", timing)
    assert (outcome.status, len(outcome.frame_numbers)) == ("ok", 10), outcome
    if timing == "frames":
        shown = [times[number] for number in outcome.frame_numbers]
        assert np.abs(np.array(shown) - range(10)).max() < 0.11


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("frames", ["fps:1", "fps:7", "fps:8", "fps:23.976"])
def test_frames_by_time_of_a_constant_rate_are_as_numbered(
    tmp_path: Path, suffix: str, frames: str
) -> None:
    times = [number / 24 for number in range(100)]
    path = write_timed(tmp_path / f"a.{suffix}", times, ticks=24 if suffix == "avi" else 600)
    expected = FrameSelection.parse(frames).indices(100, 24.0)
    assert list(decode(path, frames, "frames")[1].frame_numbers) == list(expected)
    assert list(decode(path, frames, "cfr")[1].frame_numbers) == list(expected)


@pytest.mark.shared
def test_published_frame_counts_are_those_of_a_constant_rate(shared: Path) -> None:
    published: dict[tuple[str, str], int] = {}
    for path in (shared / "lists").glob("*.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                published[row["dataset"], row["video"]] = int(row["published_frames"])
    folders = {"ucf101": "UCF-101", "hmdb51": "hmdb51_org"}
    compared, plain_matches = 0, 0
    for (dataset, stem), count in published.items():
        clips = list((shared / "clips" / folders.get(dataset, "none")).glob("*/*.avi"))
        for clip in clips:
            if clip.stem != stem:
                continue
            compared += 1
            plain_matches += decode(clip, "segments:1", "frames")[1].num_frames == count
            assert decode(clip, "segments:1", "cfr")[1].num_frames == count, clip.name
    assert compared > 30
    assert compared - 5 < plain_matches < compared
