"""If this breaks, sections of a long video are other frames than clips of the same frames are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from ta3n.common.sampling import FrameSelection, Section
from ta3n.common.video import Frame, RgbImage, VideoReader, write_video
from ta3n.extract.decoding.decode import ClipOutcome, decode_sections, drain

from ...support.decoding import decode
from ...support.frame_files import tar_of, write_frames
from ...support.videos import WriteClip, moving_square, write_seq, write_timed

LENGTHS = (9, 14, 1, 30, 6)
ENDS = [sum(LENGTHS[: n + 1]) for n in range(len(LENGTHS))]
TOTAL = ENDS[-1]
SELECTIONS = ["all", "segments:5", "segments:1", "every:4", "fps:10"]


def lossless(path: Path, frames: Sequence[RgbImage], frame_rate: float = 25) -> Path:
    write_video(path, frames, frame_rate=frame_rate, codec="ffv1", pixel_format="bgr0")
    return path


def frames(start: float, stop: float, unit: Literal["frames", "seconds"] = "frames") -> Section:
    return Section(start=start, stop=stop, unit=unit)


def sections_of(
    path: Path, sections: Sequence[Section], selection: str = "all", **more: Any
) -> tuple[list[RgbImage], tuple[ClipOutcome, ...]]:
    crops: list[RgbImage] = []
    decoding = decode_sections(path, sections, FrameSelection.parse(selection), **more)
    outcomes = drain(decoding, crops.append)
    for outcome in outcomes:
        assert bool(outcome.error) == (outcome.status != "ok")
        assert outcome.crops is None or len(outcome.crops) == len(outcome.frame_numbers)
    return crops, outcomes


@pytest.fixture
def drawn() -> list[list[RgbImage]]:
    """Return the frames of clips that differ."""
    return [list(moving_square(n, 96, 64, seed)) for seed, n in enumerate(LENGTHS)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets an item for every frame that is decoded of a video."""
    counted: list[int] = []
    plain = VideoReader.frames

    def count(self: VideoReader) -> Iterator[Frame]:
        for frame in plain(self):
            counted.append(1)
            yield frame

    monkeypatch.setattr(VideoReader, "frames", count)
    return counted


@pytest.mark.parametrize("unit", ["frames", "seconds"])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_sections_of_joined_clips_are_the_clips(
    tmp_path: Path,
    drawn: list[list[RgbImage]],
    decoded: list[int],
    selection: str,
    unit: Literal["frames", "seconds"],
) -> None:
    path = lossless(tmp_path / "long.mkv", [f for clip in drawn for f in clip])
    scale = 25 if unit == "seconds" else 1
    cut = [
        frames(0 if n == 0 else ENDS[n - 1] / scale, ENDS[n] / scale, unit)
        for n in range(len(LENGTHS))
    ]
    alone = []
    for number, clip in enumerate(drawn):
        short = lossless(tmp_path / f"{number}.mkv", clip)
        alone.append(decode(short, FrameSelection.parse(selection)))
    decoded.clear()
    crops, outcomes = sections_of(path, cut, selection)
    assert len(decoded) == TOTAL, "one pass"
    for (expected, told), outcome in zip(alone, outcomes, strict=True):
        assert (outcome.status, outcome.num_frames) == ("ok", told.num_frames)
        assert outcome.frame_numbers == told.frame_numbers
        assert outcome.crops is not None
        assert all(
            np.array_equal(crops[c], e) for c, e in zip(outcome.crops, expected, strict=True)
        )
    # Nothing is made that nobody uses, but where the last section may end otherwise.
    used = {c for outcome in outcomes for c in outcome.crops or ()}
    assert len(crops) - len(used) <= (8 if selection.startswith("segments") else 0)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_overlapping_sections_share_one_pass_and_their_crops(
    tmp_path: Path, drawn: list[list[RgbImage]], decoded: list[int], selection: str
) -> None:
    every = [f for clip in drawn for f in clip]
    path = lossless(tmp_path / "long.mkv", every)
    cut = [(0, 40), (10, 20), (5, 35), (10, 20), (19, 21), (12, TOTAL)]
    crops, outcomes = sections_of(path, [frames(*each) for each in cut], selection)
    assert len(decoded) == TOTAL
    for number, ((start, stop), outcome) in enumerate(zip(cut, outcomes, strict=True)):
        short = lossless(tmp_path / f"{number}.mkv", every[start:stop])
        expected, told = decode(short, FrameSelection.parse(selection))
        assert (outcome.status, outcome.frame_numbers) == ("ok", told.frame_numbers)
        found = [crops[c] for c in outcome.crops or ()]
        assert all(map(np.array_equal, found, expected))
        assert len(found) == len(expected)
    assert outcomes[1].crops == outcomes[3].crops
    if selection == "all":
        assert len(crops) == TOTAL


def test_decoding_ends_with_the_last_section(
    tmp_path: Path, drawn: list[list[RgbImage]], decoded: list[int]
) -> None:
    path = lossless(tmp_path / "long.mkv", [f for clip in drawn for f in clip])
    _, outcomes = sections_of(path, [frames(3, 9), frames(1, 4)])
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
    assert len(decoded) == 10


def test_sections_that_are_none_have_a_status_and_a_reason_each(
    tmp_path: Path, drawn: list[list[RgbImage]]
) -> None:
    path = lossless(tmp_path / "long.mkv", [f for clip in drawn for f in clip])
    cut = [
        frames(50, 70), frames(60, 70), frames(7, 7), frames(9, 7), frames(-1, 7),
        frames(0, 5), frames(2.3, 2.6, "seconds"), frames(2.3, 2.41, "seconds"),
        frames(0.41, 0.43, "seconds"),
    ]  # fmt: skip
    for selection in SELECTIONS:
        _, outcomes = sections_of(path, cut, selection)
        assert [(outcome.status, outcome.error) for outcome in outcomes] == [
            ("partial", "10 frames decoded of frames 50 to 69 (from 0): the video ends after 60 "
             "frames, 2.40 s"),
            ("empty", "frames 60 to 69 (from 0): the video ends after 60 frames, 2.40 s"),
            ("empty", "frames 7 to 6 (from 0): starts where it ends, so that no frame is in it"),
            ("failed", "frames 9 to 6 (from 0): ends before it starts"),
            ("failed", "frames -1 to 6 (from 0): starts before the video"),
            ("ok", ""),
            ("partial", "2 frames decoded of 2.3 to 2.6 s: the video ends after 60 frames, "
             "2.40 s"),
            ("ok", ""),
            ("empty", "0.41 to 0.43 s: no frame of the video is in it"),
        ]  # fmt: skip
        assert [outcome.num_frames for outcome in outcomes] == [10, 0, 0, 0, 0, 5, 2, 2, 0]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_seconds_are_those_at_which_frames_are_shown(tmp_path: Path, selection: str) -> None:
    """Of a variable rate, sections are sampled by the frames that they turn out to have."""
    times = [0, 0.04, 0.08, 0.5, 0.54, 0.58, 0.62, 1.5, 1.54, 1.58]
    path = write_timed(tmp_path / "a.mkv", times)
    every, _ = decode(path)
    cut = [frames(0.04, 0.6, "seconds"), frames(0.5, 1.6, "seconds")]
    crops, outcomes = sections_of(path, cut, selection)
    for (start, stop), outcome in zip([(1, 6), (3, 10)], outcomes, strict=True):
        assert (outcome.status, outcome.num_frames) == ("ok", stop - start)
        if not selection.startswith("fps"):
            kept = FrameSelection.parse(selection).indices(stop - start)
            assert list(outcome.frame_numbers) == list(kept)
        for number, crop in zip(outcome.frame_numbers, outcome.crops or (), strict=True):
            assert np.array_equal(crops[crop], every[start + number])


def test_at_a_constant_rate_repeats_count(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "a.mkv", [0, 1 / 24, 5 / 24, 6 / 24])
    cut = [frames(0, 4), frames(4 / 24, 1, "seconds")]
    _, outcomes = sections_of(path, cut, timing="cfr")
    assert [outcome.num_frames for outcome in outcomes] == [4, 3]


@pytest.mark.parametrize("selection", ["all", "segments:3"])
def test_every_kind_of_clip_has_sections(
    tmp_path: Path, drawn: list[list[RgbImage]], selection: str
) -> None:
    folder = write_frames(tmp_path / "a", drawn[3])
    cut = [frames(3, 12), frames(10, 30)]
    of_video = sections_of(lossless(tmp_path / "a.mkv", drawn[3]), cut, selection)
    for path in (folder, tar_of(folder, tmp_path / "a.tar")):
        crops, outcomes = sections_of(path, cut, selection)
        assert [o.frame_numbers for o in outcomes] == [o.frame_numbers for o in of_video[1]]
        for one, other in zip(outcomes, of_video[1], strict=True):
            pairs = zip(one.crops or (), other.crops or (), strict=True)
            assert all(np.array_equal(crops[a], of_video[0][b]) for a, b in pairs)
    _, (outcome,) = sections_of(write_seq(tmp_path / "a.seq", 9), [frames(2, 6)], selection)
    assert (outcome.status, outcome.num_frames) == ("ok", 4)
    _, (outcome,) = sections_of(folder, [frames(0, 1, "seconds")], selection)
    assert outcome.error == "0 to 1 s: the video declares no frame rate"


@pytest.mark.parametrize("selection", ["all", "segments:3"])
def test_sections_of_a_folder_go_by_its_numbers(tmp_path: Path, selection: str) -> None:
    """A frame that is missing moves no other one into a section."""
    folder = write_frames(tmp_path / "a", moving_square(20, 96, 64))
    every, _ = decode(folder)
    for number in (3, 4, 12):
        (folder / f"frame_{number:010d}.png").unlink()
    (folder / "frame_0000000016.png").write_bytes(b"no picture")
    cut = [
        frames(0, 5),
        frames(5, 10),
        frames(10, 14),
        frames(2, 4),
        frames(14, 17),
        frames(17, 19),
    ]
    crops, outcomes = sections_of(folder, cut, selection)
    assert [(o.status, o.num_frames) for o in outcomes] == [
        ("partial", 3), ("ok", 5), ("partial", 3), ("empty", 0), ("partial", 3), ("ok", 2),
    ]  # fmt: skip
    assert "2 frames are missing" in outcomes[0].error
    assert "1 packets or frames in it are damaged" in outcomes[4].error
    for number, crop in zip(outcomes[1].frame_numbers, outcomes[1].crops or (), strict=True):
        assert np.array_equal(crops[crop], every[5 + number])


@pytest.mark.parametrize(("damage", "second"), [((0.33, 0.66), "ok"), ((0.6, 0.75), "partial")])
@pytest.mark.parametrize("selection", ["all", "segments:3"])
def test_damage_is_told_of_the_sections_that_have_it(
    tmp_path: Path,
    write_clip: WriteClip,
    damage: tuple[float, float],
    second: str,
    selection: str,
) -> None:
    path = write_clip(tmp_path / "a.avi", 60, width=160, height=120)
    data = bytearray(path.read_bytes())
    start, stop = (int(len(data) * share) for share in damage)
    data[start:stop] = np.random.default_rng(0).bytes(stop - start)
    path.write_bytes(data)
    _, whole = decode(path)
    _, outcomes = sections_of(path, [frames(n, n + 10) for n in range(0, 60, 10)], selection)
    statuses = [outcome.status for outcome in outcomes]
    assert statuses == ["ok", second, "ok", "partial", "empty", "empty"]
    assert second == "ok" or "1 packets or frames in it are damaged" in outcomes[1].error
    assert sum(outcome.num_frames for outcome in outcomes) == whole.num_frames < 60
    for outcome in outcomes:
        # Which frames stand for a section follows from those that it turned out to have.
        kept = FrameSelection.parse(selection).indices(outcome.num_frames)
        assert list(outcome.frame_numbers) == list(kept)
        assert ("the video is damaged" in outcome.warning) == (outcome.status == "ok")


def test_a_video_that_cannot_be_opened_fails_all_its_sections(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("<html>")
    _, outcomes = sections_of(path, [frames(0, 5), frames(5, 9)], "segments:2")
    assert {outcome.status for outcome in outcomes} == {"failed"}
    assert all("a web page, not a video" in outcome.error for outcome in outcomes)


def test_a_video_that_the_disk_does_not_tell_of_fails_them_too(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 300}.mp4"
    _, outcomes = sections_of(path, [frames(0, 5), frames(5, 9)], "segments:2")
    assert {(each.status, "too long" in each.error) for each in outcomes} == {("failed", True)}
