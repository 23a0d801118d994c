"""If this breaks, a row of clip features is of other frames than those around its moment."""

from collections import Counter
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ta3n.common.sampling import FrameSelection, Section, Timing, Window, WindowPad
from ta3n.common.video import RgbImage, write_video
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip, decode_sections, drain
from ta3n.extract.decoding.windows import RollingWindows
from ta3n.extract.inference.preprocessing import crop

from ...support.frame_files import tar_of, write_frames
from ...support.videos import WriteClip, moving_square, write_seq, write_timed


def windows_of(
    path: Path, frames: str, window: Window | None, timing: Timing = "frames"
) -> tuple[list[RgbImage], ClipOutcome]:
    found: list[RgbImage] = []
    selection = FrameSelection.parse(frames)
    outcome = drain(decode_clip(path, selection, timing=timing, window=window), found.append)
    assert len(found) == len(outcome.frame_numbers)
    return found, outcome


def around(images: list[RgbImage], centre: int, window: Window) -> RgbImage:
    """Return a window by padding the whole clip first."""
    edge = window.length * window.step
    padding = ((edge, edge), (0, 0), (0, 0), (0, 0))
    mode = "edge" if window.pad == "repeat" else "constant"
    padded = np.pad(np.stack(images), padding, mode=mode)  # type: ignore[call-overload]
    first = edge + centre - window.length // 2 * window.step
    rows: RgbImage = padded[first : first + edge : window.step]
    return rows


WINDOWS = [
    Window(16), Window(16, 1, "zero"), Window(5, 3), Window(4, 7, "zero"), Window(1), Window(2),
]  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("frames", ["all", "every:7", "fps:4", "segments:5", "segments:40"])
@pytest.mark.parametrize("num_frames", [1, 3, 31])
def test_a_row_is_of_the_frames_around_the_frame_that_is_kept(
    tmp_path: Path, write_clip: WriteClip, frames: str, window: Window, num_frames: int
) -> None:
    clip = write_clip(tmp_path / "a.mp4", num_frames, codec="libx264")
    images, _ = windows_of(clip, "all", None)
    kept, plain = windows_of(clip, frames, None)
    found, outcome = windows_of(clip, frames, window)
    assert outcome == plain
    assert len(found) == len(kept)
    for rows, number in zip(found, outcome.frame_numbers, strict=True):
        assert np.array_equal(rows, around(images, number, window))
        assert np.array_equal(rows[window.length // 2], images[number])


def test_a_window_of_16_begins_8_frames_before() -> None:
    """The convention of published clip features: 8 frames are padded before the first."""
    assert list(Window(16).offsets) == list(range(-8, 8))
    assert Window(16, pad="zero").frames(0, 100)[:9] == [None] * 8 + [0]
    assert Window(4, 2).frames(98, 100) == [94, 96, 98, 99]


@pytest.mark.parametrize("frames", ["all", "segments:3"])
def test_damaged_clip_has_windows_of_what_was_decoded(
    tmp_path: Path, write_clip: WriteClip, frames: str
) -> None:
    clip = write_clip(tmp_path / "cut.avi", 30)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    images, _ = windows_of(clip, "all", None)
    found, outcome = windows_of(clip, frames, Window(8))
    assert outcome.status == "partial"
    for rows, number in zip(found, outcome.frame_numbers, strict=True):
        assert np.array_equal(rows, around(images, number, Window(8)))


@pytest.mark.parametrize("frames", ["all", "segments:3"])
def test_clip_without_frames_has_no_windows(tmp_path: Path, frames: str) -> None:
    (tmp_path / "a.avi").write_bytes(b"no video")
    assert windows_of(tmp_path / "a.avi", frames, Window(8))[1].status == "failed"
    write_seq(tmp_path / "b.seq", 0)
    assert windows_of(tmp_path / "b.seq", frames, Window(8))[1].status == "empty"


@pytest.mark.parametrize("frames", ["all", "fps:5", "segments:4"])
def test_windows_are_of_the_frames_of_a_constant_rate(tmp_path: Path, frames: str) -> None:
    """Half a second without frames is repeats of the one before it."""
    clip = write_timed(tmp_path / "a.mkv", [0, 0.04, 0.08, 0.12, 0.62, 0.66, 0.7], bframes=0)
    images, _ = windows_of(clip, "all", None, "cfr")
    found, outcome = windows_of(clip, frames, Window(6), "cfr")
    assert outcome.num_frames == len(images) > 7
    for rows, number in zip(found, outcome.frame_numbers, strict=True):
        assert np.array_equal(rows, around(images, number, Window(6)))


@pytest.mark.parametrize(
    ("frames", "cropped"),
    [("all", range(60)), ("every:25", [*range(3), *range(23, 28), *range(48, 53)])],
)
def test_frames_are_decoded_once_and_cropped_once_where_they_are_used(
    tmp_path: Path, write_clip: WriteClip, frames: str, cropped: range | list[int]
) -> None:
    clip = write_clip(tmp_path / "a.avi", 60)
    images = [pixels.tobytes() for pixels in windows_of(clip, "all", None)[0]]
    seen: Counter[bytes] = Counter()
    packets: list[int] = []
    found: list[RgbImage] = []

    def counting(pixels: RgbImage) -> RgbImage:
        done = crop(pixels)
        seen[done.tobytes()] += 1
        return done

    for window in (None, Window(5)):
        seen.clear()
        packets.append(0)

        def step() -> None:
            packets[-1] += 1

        selection = FrameSelection.parse(frames)
        drain(decode_clip(clip, selection, step, cropper=counting, window=window), found.append)
    assert packets[0] == packets[1]
    assert seen == Counter(images[number] for number in cropped)


@pytest.mark.parametrize("frames", ["all", "segments:3"])
def test_windows_of_folders_and_archives_of_frames(tmp_path: Path, frames: str) -> None:
    """Numbers that are not there are no frames, as without windows."""
    drawn = list(moving_square(11, 96, 64))
    folder = write_frames(tmp_path / "folder", drawn)
    (folder / "frame_0000000004.png").unlink()
    del drawn[3]
    images = [crop(pixels) for pixels in drawn]
    for path in (folder, tar_of(folder, tmp_path / "a.tar")):
        found, outcome = windows_of(path, frames, Window(6, 2))
        assert outcome.status == "partial"
        for rows, number in zip(found, outcome.frame_numbers, strict=True):
            assert np.array_equal(rows, around(images, number, Window(6, 2)))


LENGTHS = (9, 14, 1, 30, 6)
ENDS = list(accumulate(LENGTHS))


def joined(folder: Path) -> tuple[Path, list[Path]]:
    """Write one long video without loss, and the clips that it is joined of."""
    drawn = [list(moving_square(n, 96, 64, seed)) for seed, n in enumerate(LENGTHS)]
    clips = [*drawn, [frame for clip in drawn for frame in clip]]
    paths = [folder / f"{number}.mkv" for number in range(len(clips))]
    for path, frames in zip(paths, clips, strict=True):
        write_video(path, frames, frame_rate=25, codec="ffv1", pixel_format="bgr0")
    return paths[-1], paths[:-1]


def windows_of_sections(
    path: Path, cut: list[tuple[int, int]], frames: str, window: Window
) -> tuple[list[RgbImage], tuple[ClipOutcome, ...]]:
    found: list[RgbImage] = []
    sections = [Section(start=start, stop=stop, unit="frames") for start, stop in cut]
    selection = FrameSelection.parse(frames)
    outcomes = drain(decode_sections(path, sections, selection, window=window), found.append)
    return found, outcomes


@pytest.mark.parametrize("window", [Window(6), Window(5, 3, "zero")], ids=str)
@pytest.mark.parametrize("frames", ["all", "every:4", "fps:10", "segments:5"])
def test_windows_of_sections_are_those_of_the_clips_by_themselves(
    tmp_path: Path, frames: str, window: Window
) -> None:
    """They end where their section does, though the video goes on."""
    path, clips = joined(tmp_path)
    cut = list(zip([0, *ENDS], ENDS, strict=False))
    found, outcomes = windows_of_sections(path, cut, frames, window)
    for clip, outcome in zip(clips, outcomes, strict=True):
        expected, told = windows_of(clip, frames, window)
        assert (outcome.status, outcome.frame_numbers) == (told.status, told.frame_numbers)
        assert outcome.crops is not None
        for crop_number, rows in zip(outcome.crops, expected, strict=True):
            assert np.array_equal(found[crop_number], rows)


@pytest.mark.parametrize("frames", ["all", "segments:3"])
def test_overlapping_sections_share_their_windows(tmp_path: Path, frames: str) -> None:
    path, _ = joined(tmp_path)
    cut = [(0, 40), (10, 30), (10, 30), (12, 60), (50, 90)]
    images, _ = windows_of(path, "all", None)
    found, outcomes = windows_of_sections(path, cut, frames, Window(4))
    assert [outcome.status for outcome in outcomes] == [*4 * ["ok"], "partial"]
    used = set()
    for (start, stop), outcome in zip(cut, outcomes, strict=True):
        assert outcome.crops is not None
        used |= set(outcome.crops)
        for crop_number, number in zip(outcome.crops, outcome.frame_numbers, strict=True):
            expected = around(images[start:stop], number, Window(4))
            assert np.array_equal(found[crop_number], expected)
    if frames == "all":
        assert used == set(range(len(found)))
        assert len({window.tobytes() for window in found}) == len(found)
    assert outcomes[1].crops == outcomes[2].crops


@given(
    st.integers(1, 9), st.integers(1, 4), st.sampled_from(["repeat", "zero"]),
    st.integers(1, 12), st.integers(0, 40),
)  # fmt: skip
def test_no_more_crops_are_held_than_a_window_spans(
    length: int, step: int, pad: WindowPad, every: int, num_frames: int
) -> None:
    window, selection = Window(length, step, pad), FrameSelection(every=every)
    rolling = RollingWindows[int](
        window, selection.may_keep, lambda frame, _: np.full((1, 1, 1), frame + 1, np.uint8)
    )
    found: list[list[int]] = []
    for number in range(num_frames):
        is_kept = number % every == 0
        found += [w.ravel().tolist() for w in rolling.add(number, number, is_kept=is_kept)]
        assert len(rolling._crops) <= length * step
    found += [w.ravel().tolist() for w in rolling.finish()]
    expected = [window.frames(centre, num_frames) for centre in range(0, num_frames, every)]
    assert found == [[0 if n is None else n + 1 for n in numbers] for numbers in expected]


@pytest.mark.parametrize(("length", "step", "pad"), [(0, 1, "zero"), (1, 0, "zero"), (1, 1, "x")])
def test_window_that_is_none_is_refused(length: int, step: int, pad: WindowPad) -> None:
    with pytest.raises(ValueError, match="must be"):
        Window(length, step, pad)
