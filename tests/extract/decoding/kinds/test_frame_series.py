"""If this breaks, frames in folders and archives are not those of the video that they came from."""

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ta3n.common.errors import ClipError
from ta3n.common.sampling import FrameSelection, Reading
from ta3n.common.video import RgbImage, write_video
from ta3n.extract.decoding.decode import ClipOutcome, decode_clip, drain, open_clip
from ta3n.extract.decoding.kinds import frame_series
from ta3n.extract.decoding.kinds.registry import KINDS

from ....support.decoding import ALL, FIVE
from ....support.frame_files import picture, tar_of, write_frames, write_tar
from ....support.videos import moving_square

LENGTH = 23


def decode(
    path: Path, selection: FrameSelection = ALL, **reading: Any
) -> tuple[list[RgbImage], ClipOutcome]:
    crops: list[RgbImage] = []
    found = drain(decode_clip(path, selection, reading=Reading(**reading)), crops.append)
    return crops, found


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "frames", moving_square(LENGTH, 96, 64))


@pytest.mark.parametrize(("codec", "pixels"), [("ffv1", "bgr0"), ("png", "rgb24")])
@pytest.mark.parametrize("frame_selection", ["all", "segments:5", "every:4", "fps:10"])
def test_folder_archive_and_lossless_video_are_equal_bit_by_bit(
    tmp_path: Path, frames: Path, codec: str, pixels: str, frame_selection: str
) -> None:
    drawn = moving_square(LENGTH, 96, 64)
    video = tmp_path / ("a.avi" if codec == "png" else "a.mkv")
    write_video(video, drawn, frame_rate=25, codec=codec, pixel_format=pixels)
    selection = FrameSelection.parse(frame_selection)
    of_video, told = decode(video, selection)
    for path in (frames, tar_of(frames, tmp_path / "a.tar")):
        found, outcome = decode(path, selection, frame_rate=25)
        assert (outcome.status, outcome.num_frames) == ("ok", LENGTH)
        assert outcome.frame_numbers == told.frame_numbers
        assert all(map(np.array_equal, found, of_video))
        assert len(found) == len(of_video) == len(selection.indices(LENGTH, 25))


def test_only_frames_that_are_kept_are_decoded(
    tmp_path: Path, frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    of_one = frame_series.decode_picture

    def count(data: bytes) -> tuple[RgbImage, bool]:
        decoded.append(data)
        return of_one(data)

    monkeypatch.setattr(frame_series, "decode_picture", count)
    for path in (frames, tar_of(frames, tmp_path / "a.tar")):
        decoded.clear()
        decode(path, FIVE)
        assert len(decoded) == 5


@pytest.mark.parametrize("first", [0, 1])
def test_missing_numbers_are_partial_and_named(tmp_path: Path, first: int) -> None:
    folder = write_frames(tmp_path / "a", moving_square(LENGTH, 96, 64), "img_%05d.png", first)
    every, _ = decode(folder)
    for number in (5, 7, 8):
        (folder / f"img_{number:05d}.png").unlink()
    for path in (folder, tar_of(folder, tmp_path / "a.tar", "P01/")):
        found, outcome = decode(path)
        assert outcome.status == "partial"
        assert outcome.error == "20 frames decoded, 23 declared: 3 numbers are missing: 5, 7 to 8"
        assert outcome.frame_numbers == tuple(range(20))
        left = [f for n, f in enumerate(every, first) if n not in (5, 7, 8)]
        assert all(map(np.array_equal, found, left))


def test_a_series_that_starts_later_says_so(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "a", moving_square(4, 96, 64), first=1000)
    _, outcome = decode(folder)
    assert (outcome.status, outcome.warning) == ("ok", "its frames are numbered from 1000")


def test_a_pattern_chooses_among_files(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "a", moving_square(4, 96, 64))
    for number in range(1, 4):
        shutil.copy(folder / f"frame_{number:010d}.png", folder / f"flow%x-{number:05d}.png")
    (folder / "notes.txt").touch()
    assert decode(folder)[1].error == (
        "is a folder without frames: none of 8 is pictures of one name and a number"
    )
    assert decode(folder, frames="flow%%x-%05d.png")[1].num_frames == 3
    assert decode(folder, frames="frame_%010d.png")[1].num_frames == 4
    assert decode(tar_of(folder, tmp_path / "a.tar"), frames="frame_%010d.png")[1].num_frames == 4
    assert "none of 8 is x_%d.png" in decode(folder, frames="x_%d.png")[1].error


@pytest.mark.parametrize("selection", [ALL, FIVE])
def test_a_damaged_frame_is_shown_as_the_one_before(
    frames: Path, selection: FrameSelection
) -> None:
    every, _ = decode(frames)
    bad = frames / "frame_0000000003.png"
    bad.write_bytes(bad.read_bytes()[:200])
    found, outcome = decode(frames, selection)
    assert outcome.status == "partial"
    assert "1 frames are damaged and shown as the nearest one, such as frame_0000000003.png" in (
        outcome.error
    )
    assert np.array_equal(found[outcome.frame_numbers.index(2)], every[1])
    assert outcome.num_frames == LENGTH


def test_frames_that_are_no_pictures_fail_the_clip(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(40):
        (folder / f"frame_{number}.jpg").write_text("version https://git-lfs.github.com/spec/v1")
    _, outcome = decode(folder)
    assert outcome.status == "failed"
    assert outcome.error == "no picture near frame 0 can be decoded: frame_0.jpg: no picture"


def test_pictures_of_other_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    turned = np.zeros((40, 60, 3), np.uint8)
    turned[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(turned).save(folder / "f1.jpg", exif=exif, quality=95)
    Image.fromarray(turned).convert("L").save(folder / "f2.jpg")
    with open_clip(folder) as reader:
        first, second = (frame.rgb() for frame in reader.frames())
    assert (first.shape, second.shape) == ((60, 40, 3), (40, 60, 3))
    assert (first[:15] > 240).all()
    assert reader.warning == "frames of 2 sizes: 40x60 60x40"
    deep = tmp_path / "deep"
    deep.mkdir()
    for number in range(2):
        Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep / f"{number}.png")
    assert "pixels of more than 8 bits" in decode(deep)[1].error
    clear = tmp_path / "clear"
    clear.mkdir()
    for number in range(2):
        Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(clear / f"{number}.png")
    assert decode(clear)[1].warning == "transparent pixels are taken as opaque"


def test_a_pipe_among_the_frames_is_not_waited_for(frames: Path) -> None:
    (frames / "frame_0000000004.png").unlink()
    os.mkfifo(frames / "frame_0000000004.png")
    _, outcome = decode(frames)
    assert "frame_0000000004.png: no file" in outcome.error
    assert outcome.num_frames == LENGTH


def test_one_number_twice_is_refused(frames: Path) -> None:
    shutil.copy(frames / "frame_0000000004.png", frames / "frame_4.png")
    assert "holds frame 4 twice" in decode(frames)[1].error


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_form_are_read(tmp_path: Path, frames: Path, form: int) -> None:
    every, _ = decode(frames)
    deep = "/".join(["a long folder name " * 2] * (4 if form == tarfile.USTAR_FORMAT else 12))
    files = [(f"{deep}/{f.name}", f.read_bytes()) for f in sorted(frames.iterdir())]
    found, outcome = decode(write_tar(tmp_path / "a.tar", files, form))
    assert outcome.status == "ok"
    assert all(map(np.array_equal, found, every))
    assert len(found) == LENGTH


def test_nothing_is_unpacked_and_reads_are_in_place(tmp_path: Path, frames: Path) -> None:
    """Names that lead out of the archive are names, no places."""
    files = [(f"../../out/{f.name}", f.read_bytes()) for f in sorted(frames.iterdir())]
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)
    path = write_tar(folder / "a.tar", files)
    before = sorted(tmp_path.rglob("*"))
    assert decode(path)[1].num_frames == LENGTH
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_compressed_archive_is_told_by_its_kind(tmp_path: Path, mode: str, name: str) -> None:
    files = [(f"{n}.png", picture(f)) for n, f in enumerate(moving_square(3, 96, 64))]
    path = write_tar(tmp_path / "a.tar", files, mode=mode)
    with pytest.raises(ClipError, match=f"is compressed .{name}., and frames are read in place"):
        open_clip(path).__enter__()
    assert decode(path)[1].status == "failed"


def test_a_cut_archive_is_partial(tmp_path: Path, frames: Path) -> None:
    files = [(f.name, f.read_bytes()) for f in sorted(frames.iterdir())]
    path = write_tar(tmp_path / "a.tar", files, tarfile.USTAR_FORMAT)
    every, _ = decode(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found, outcome = decode(path)
    assert outcome.status == "partial"
    assert 5 < outcome.num_frames < LENGTH
    assert "is a damaged archive" in outcome.error
    assert "are left" in outcome.error
    assert all(map(np.array_equal, found, every))
    # Cut where a file ends: only the end mark is missing.
    size = len(files[0][1])
    path.write_bytes(data[: 512 + -(-size // 512) * 512])
    outcome = decode(path, frames="frame_%010d.png")[1]
    assert (outcome.status, outcome.num_frames) == ("partial", 1)
    assert "it ends at byte" in outcome.error


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path, frames: Path) -> None:
    files = [(f.name, f.read_bytes()) for f in sorted(frames.iterdir())]
    path = write_tar(tmp_path / "a.tar", files, tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    at = data.index(b"frame_0000000012.png")
    data[at : at + 5] = b"FRAME"
    path.write_bytes(data)
    outcome = decode(path)[1]
    assert (outcome.status, outcome.num_frames) == ("partial", 11)
    assert f"has no sound header at byte {at}" in outcome.error


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no archive" * 100, "it is a text, not a video"),
        (b"\x01no archive" * 100, "is no tar archive"),
        (header(b"1.png", b"\xff" * 12), "has -1 bytes"),
        (header(b"1.png", b"\x80" + b"\xff" * 11), "bytes, and 0 are left"),
        (header(b"1.png", b"77777777777\0"), "has 8589934591 bytes, and 0 are left"),
        (header(b"x", b"00000000030\0", b"x") + b"0 path=a\n".ljust(512), "no pax record"),
        (header(b"x", b"00000000030\0", b"x") + b"\xb2 path=a\n".ljust(512), "no pax record"),
        (header(b"a", b"00010000000\0", b"L") + bytes(2**21), "a name of 2097152 bytes"),
        (header(b"1.png", b"00000000000\0", b"S"), "as a sparse file"),
    ],
)
def test_hostile_archives_end_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    _, outcome = decode(path)
    assert outcome.status == "failed"
    assert reason in outcome.error
    assert "\n" not in outcome.error


def test_links_and_several_videos_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"{number}.png")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    assert "holds '0.png' as a link" in decode(path)[1].error
    files = [(f"{folder}/{n}.png", b"x") for folder in "ab" for n in range(3)]
    outcome = decode(write_tar(tmp_path / "b.tar", files))[1]
    assert outcome.error == (
        "holds frames of 2 videos, in 'a', 'b': pack each into its own archive"
    )


def test_every_kind_is_read_through_one_interface(tmp_path: Path, frames: Path) -> None:
    """A further kind is a file that registers one: decoding asks for no kind by name."""
    kinds = KINDS.all()
    assert list(kinds) == ["frame folder", "norpix", "frame archive", "video"]
    for path, name in ((frames, "frame folder"), (tmp_path / "a.tar", "frame archive")):
        assert next(kind.name for kind in kinds.values() if kind.reads(path)) == name
