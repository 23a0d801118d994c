"""If this breaks, frames are lost, scrambled or turned, or damage goes unnoticed."""

import csv
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from ta3n.common.errors import ClipError
from ta3n.common.video import VideoReader, write_video

from ..support.videos import WriteClip, moving_square, write_timed


def read(path: Path) -> tuple[list[np.ndarray], VideoReader]:
    with VideoReader(path) as reader:
        return [frame.rgb() for frame in reader.frames()], reader


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "size"),
    [
        ("a.avi", "mpeg4", "yuv420p", (96, 64)),
        ("a.mp4", "libx264", "yuv444p", (97, 65)),
        ("a.mkv", "libx264", "yuv420p", (96, 64)),
        ("a.webm", "libvpx-vp9", "yuv420p", (97, 65)),
    ],
)
def test_every_frame_comes_back_in_order(
    tmp_path: Path,
    write_clip: WriteClip,
    name: str,
    codec: str,
    pixel_format: str,
    size: tuple[int, int],
) -> None:
    width, height = size
    path = write_clip(
        tmp_path / name, width=width, height=height, codec=codec, pixel_format=pixel_format
    )
    frames, reader = read(path)
    assert len(frames) == reader.num_decoded == 12
    assert not reader.damage.describe()
    assert reader.info.frame_rate == 25
    assert frames[0].shape == (height, width, 3)
    drawn = np.stack(list(moving_square(12, width, height))).astype(int)
    for number, frame in enumerate(frames):
        assert np.abs(drawn - frame).mean(axis=(1, 2, 3)).argmin() == number


def test_cut_file_reports_what_is_missing(tmp_path: Path, write_clip: WriteClip) -> None:
    data = write_clip(tmp_path / "whole.avi", 60).read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: len(data) // 2])
    frames, reader = read(cut)
    assert 0 < len(frames) < 50
    assert reader.info.declared_frames == 60
    assert reader.damage.missing_tail_s > 0.5
    assert "missing" in reader.damage.describe()


def test_cut_matroska_reports_what_is_missing(tmp_path: Path, write_clip: WriteClip) -> None:
    data = write_clip(tmp_path / "whole.mkv", 60, codec="libx264").read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    frames, reader = read(cut)
    assert 0 < len(frames) < 60
    assert reader.damage.missing_tail_s > 0.2


def test_garbage_in_the_middle_is_counted(tmp_path: Path, write_clip: WriteClip) -> None:
    path = write_clip(tmp_path / "a.avi", 60, width=160, height=120)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = np.random.default_rng(3).bytes(1500)
    path.write_bytes(data)
    frames, reader = read(path)
    assert len(frames) > 40
    assert reader.damage.describe()


@pytest.mark.parametrize("content", [b"", b"RIFF", bytes(5000), b"ffconcat version 1.0\nfile x"])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(content)
    with pytest.raises(ClipError, match="cannot be opened"):
        read(path)


def test_a_playlist_opens_no_other_file(tmp_path: Path, write_clip: WriteClip) -> None:
    write_clip(tmp_path / "other.ts", codec="mpeg2video")
    playlist = tmp_path / "list.avi"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(ClipError):
        read(playlist)


def test_sound_without_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ClipError, match="no video stream"):
        read(path)


def write_streams(path: Path, *streams: tuple[str, tuple[int, int], int, int]) -> Path:
    """Write video streams of a codec, size, disposition and number of frames each."""
    formats = {"mjpeg": "yuvj420p"}
    with av.open(str(path), "w") as container:
        made = []
        for codec, (width, height), disposition, _ in streams:
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = width, height
            stream.pix_fmt = formats.get(codec, "yuv420p")
            stream.disposition = av.stream.Disposition(disposition)
            made.append(stream)
        for stream, (_, size, _, num_frames) in zip(made, streams, strict=True):
            for pixels in moving_square(num_frames, *size):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    return path


SMALL, LARGE = (96, 64), (160, 128)
DEFAULT, ATTACHED = 1, 1024


@pytest.mark.parametrize(
    ("suffix", "streams", "used", "told"),
    [
        ("mkv", [("mpeg4", SMALL, 0, 6), ("mpeg4", LARGE, DEFAULT, 6)], 1, True),
        ("mkv", [("mpeg4", SMALL, DEFAULT, 6), ("mpeg4", LARGE, 0, 6)], 0, True),
        ("mkv", [("mpeg4", SMALL, 0, 6), ("mpeg4", LARGE, 0, 6)], 1, True),
        ("avi", [("mpeg4", SMALL, 0, 6), ("mpeg4", LARGE, 0, 6)], 1, True),
        ("mp4", [("mpeg4", SMALL, DEFAULT, 6), ("mpeg4", LARGE, DEFAULT, 6)], 1, True),
        ("mkv", [("mpeg4", SMALL, 0, 6), ("mpeg4", SMALL, 0, 6)], 0, True),
        ("mkv", [("mjpeg", LARGE, 0, 1), ("mpeg4", SMALL, 0, 6)], 1, False),
        ("mkv", [("mjpeg", LARGE, DEFAULT, 1), ("mpeg4", SMALL, 0, 6)], 1, False),
        ("mp4", [("mjpeg", LARGE, DEFAULT, 1), ("mpeg4", SMALL, DEFAULT, 6)], 1, False),
        ("mp4", [("mjpeg", LARGE, ATTACHED, 1), ("mpeg4", SMALL, 0, 6)], 1, False),
        ("mkv", [("mjpeg", LARGE, 0, 6), ("mpeg4", SMALL, 0, 6)], 0, True),
        ("avi", [("mjpeg", SMALL, 0, 1)], 0, False),
    ],
)
def test_the_film_is_the_stream_that_players_show(
    tmp_path: Path,
    suffix: str,
    streams: list[tuple[str, tuple[int, int], int, int]],
    used: int,
    told: bool,
) -> None:
    path = write_streams(tmp_path / f"a.{suffix}", *streams)
    frames, reader = read(path)
    _, (width, height), _, num_frames = streams[used]
    assert [frame.shape for frame in frames] == [(height, width, 3)] * num_frames
    assert not reader.damage.describe()
    expected = f"holds 2 video streams, of which number {used} of {width}x{height} is used"
    assert reader.warning == (expected if told else "")


@pytest.mark.parametrize("name", [b"a b#&%d:[1]'.avi", b"-dash.avi", b"caf\xe9.avi"])
def test_any_file_name_opens(tmp_path: Path, write_clip: WriteClip, name: bytes) -> None:
    plain = write_clip(tmp_path / "plain.avi")
    odd = tmp_path / os.fsdecode(name)
    plain.rename(odd)
    assert len(read(odd)[0]) == 12


def test_tags_that_are_not_utf8_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE_OF_CLIP"
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for pixels in moving_square(5, 96, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert b"TITLE_OF_CLIP" in data
    path.write_bytes(data.replace(b"TITLE_OF_CLIP", b"TITLE\xe9\xff\xfe_CLIP"))
    assert len(read(path)[0]) == 5


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "mpeg4"), ("a.mp4", "libx264"), ("a.webm", "libvpx-vp9")]
)
def test_a_clip_has_the_same_bytes_however_often_it_is_written(
    tmp_path: Path, write_clip: WriteClip, name: str, codec: str
) -> None:
    """Also by x264, whose code for AVX-512 does not repeat itself."""
    written = {write_clip(tmp_path / name, 30, codec=codec).read_bytes() for _ in range(20)}
    assert len(written) == 1


def test_writing_nothing_or_sound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frames"):
        write_video(tmp_path / "a.avi", [], frame_rate=25, codec="mpeg4")
    with pytest.raises(TypeError):
        write_video(tmp_path / "b.mkv", moving_square(1, 32, 32), frame_rate=25, codec="pcm_s16le")


def test_a_full_disk_is_told_as_for_any_file() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_video(
            Path("/dev/full"), moving_square(3, 32, 32), frame_rate=25, codec="mpeg4",
            container_format="avi",
        )  # fmt: skip
    assert type(pickle.loads(pickle.dumps(caught.value))) is OSError
    caught.value.filename = "where"  # as whoever knows the folder does


UNTURNED = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("matrix", "shown", "rotation"),
    [
        ((1, 0, 0, 1), lambda p: p, 0),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1), -90),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2), -180),
        ((0, -1, 1, 0), lambda p: np.rot90(p), 90),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1], 0),
        ((1, 0, 0, -1), lambda p: p[::-1], -180),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2), 90),
        ((0, -1, -1, 0), lambda p: p[::-1, ::-1].transpose(1, 0, 2), -90),
    ],
)
def test_display_matrix_turns_and_mirrors(
    tmp_path: Path,
    matrix: tuple[int, int, int, int],
    shown: Callable[[np.ndarray], np.ndarray],
    rotation: int,
) -> None:
    path = write_timed(tmp_path / "a.mp4", [0, 0.1, 0.2])
    (plain, *_), _ = read(path)
    data = bytearray(path.read_bytes())
    a, b, c, d = (each << 16 for each in matrix)
    at = data.index(UNTURNED, data.index(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    (found, *_), reader = read(path)
    assert np.array_equal(found, shown(plain))
    assert reader.rotation % 360 == rotation % 360


@pytest.mark.shared
def test_decoded_counts_of_real_clips(shared: Path) -> None:
    """Frame counts equal those measured before, and no genuine clip is called damaged."""
    with (shared / "clips" / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 200
    wrong = []
    (two_films,) = (row for row in rows if row["file"] == "odd/torchcodec__nasa_13013.mp4")
    # The table counts the first of its streams; the larger one, which FFmpeg takes, has others.
    assert two_films["decoded_frames"] == "325"
    two_films["decoded_frames"] = "390"
    for row in rows:
        with VideoReader(shared / "clips" / row["file"]) as reader:
            count = sum(1 for _ in reader.frames())
        if count != int(row["decoded_frames"]) or reader.damage.describe():
            wrong.append((row["file"], count, row["decoded_frames"], reader.damage.describe()))
    assert not wrong


@pytest.mark.shared
def test_rotation_flag_turns_the_picture_upright(shared: Path) -> None:
    """Both files show one desk, filmed upright and turned: bright keys above, dark edge below."""
    frames, reader = read(shared / "clips" / "odd" / "decord__video_270.mov")
    assert reader.rotation == 90
    assert (reader.info.width, reader.info.height) == (568, 320)
    assert frames[0].shape == (568, 320, 3)
    # The red line of the track point buttons runs across, not down.
    red = frames[0][..., 0].astype(int) - frames[0][..., 1]
    assert np.ptp(np.argwhere(red > 60)[:, 0]) < np.ptp(np.argwhere(red > 60)[:, 1])
