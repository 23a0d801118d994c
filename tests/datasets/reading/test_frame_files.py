"""If this breaks, a folder of frames is not taken for a video, or pictures are that are none."""

from pathlib import Path

import pytest

from ta3n.datasets.reading.folders import clip_stem, videos_below
from ta3n.datasets.reading.frame_files import expression_of, frames_among, missing_numbers

from ...support.frame_files import tar_of, write_frames, write_tar
from ...support.videos import moving_square


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["frame_0000000001.jpg", "frame_0000000002.jpg"], [1, 2]),
        (["img_00010.JPG", "img_00009.jpg", ".img_1.jpg", "Thumbs.db"], [9, 10]),
        (["frame10.png", "frame9.png"], [9, 10]),
        (["0.jpeg", "1.jpeg"], [0, 1]),
        (["cam2_01.jpg", "cam2_02.jpg"], [1, 2]),
        (["cam1_01.jpg", "cam2_02.jpg"], []),
        (["frame_1.jpg", "frame_2.png"], []),
        (["frame_1.jpg", "frame_2.jpg", "notes.txt"], []),
        (["frame_1.jpg"], []),
        (["clip_1.mp4", "clip_2.mp4"], []),
        ([], []),
    ],
)
def test_frames_are_told_by_their_names(names: list[str], numbers: list[int]) -> None:
    assert [frame.number for frame in frames_among(names)] == numbers


def test_a_pattern_takes_what_it_says() -> None:
    names = ["a_001.jpg", "a_01.jpg", "a_1000.jpg", "b_001.jpg", "50%_7.jpg"]
    assert [f.name for f in frames_among(names, "a_%03d.jpg")] == ["a_001.jpg", "a_1000.jpg"]
    assert [f.name for f in frames_among(names, "a_%d.jpg")] == ["a_001.jpg", "a_01.jpg", names[2]]
    assert [f.number for f in frames_among(names, "50%%_%d.jpg")] == [7]


@pytest.mark.parametrize("pattern", ["frame.jpg", "%d_%d.jpg", "f/%d.jpg", "frame_%s.jpg"])
def test_patterns_without_one_number_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="one place for a number"):
        expression_of(pattern)


def test_missing_numbers_are_shortened() -> None:
    assert missing_numbers([1, 2, 3]) == ""
    assert missing_numbers([1, 3, 10**9]) == "999999997 numbers are missing: 2, 4 to 999999999"
    assert missing_numbers(range(0, 20, 2)) == "9 numbers are missing: 1, 3, 5, 7, 9 and 4 more"


def test_folders_and_archives_are_found_where_they_are_looked_for(tmp_path: Path) -> None:
    frames = write_frames(tmp_path / "wave" / "deep" / "v1.5", moving_square(3, 96, 64))
    tar_of(frames, tmp_path / "wave" / "two.tar")
    write_tar(tmp_path / "wave" / "backup.tar", [("notes.txt", b"x")])
    # A clip that fails with the reason, as a damaged video does.
    (tmp_path / "wave" / "cut.tar").write_bytes((tmp_path / "wave" / "two.tar").read_bytes()[:300])
    (tmp_path / "wave" / "three.mp4").write_bytes(b"x")
    videos, left_out = videos_below(tmp_path / "wave", frames="")
    assert [(v.name, v.stem) for v in videos] == [
        ("cut.tar", "cut"), ("deep/v1.5", "v1.5"), ("three.mp4", "three"), ("two.tar", "two"),
    ]  # fmt: skip
    assert videos[1].size_bytes == sum(file.stat().st_size for file in frames.iterdir())
    assert [path for path, _ in left_out] == ["backup.tar"]
    assert [v.name for v in videos_below(tmp_path / "wave")[0]] == ["three.mp4"]
    assert [clip_stem(n) for n in ("a.b", "a.tar", "a.mp4", ".tar")] == ["a.b", "a", "a", ".tar"]
