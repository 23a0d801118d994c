"""If this breaks, a damaged clip has no status, two, or silently wrong features."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ta3n.common import video
from ta3n.common.sampling import FrameSelection
from ta3n.common.video import write_video

from ...support.decoding import ALL, FIVE, check, decode
from ...support.videos import WriteClip, moving_square, write_seq, write_timed

PQ = "HDR (PQ) colours converted without tone mapping"
WARNINGS = {
    "bt2020_10bit": PQ,
    "nasa_13013_hdr": PQ,
    "testsrc2_hdr": PQ,
    "nasa_13013": "holds 2 video streams, of which number 3 of 480x270 is used",
    "transparent": "transparent pixels are taken as opaque",
    "demo": "pixels of 64:51 are taken as square",
    "carphone_distorted": "pixels of 128:117 are taken as square",
}


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def garbage(first: float, last: float) -> Callable[[bytes], bytes]:
    def overwrite(data: bytes) -> bytes:
        low, high = int(len(data) * first), int(len(data) * last)
        return data[:low] + np.random.default_rng(5).bytes(high - low) + data[high:]

    return overwrite


def without_first_packet(data: bytes) -> bytes:
    """Turn the first frame of an AVI, its key frame, into something to be skipped."""
    start = data.index(b"00dc", data.index(b"movi"))
    return data[:start] + b"JUNK" + data[start + 4 :]


def one_packet_lost(data: bytes) -> bytes:
    """Overwrite the content of an AVI's third frame."""
    start = data.index(b"movi")
    for _ in range(3):
        start = data.index(b"00dc", start + 4)
    length: int = struct.unpack_from("<I", data, start + 4)[0]
    return data[: start + 8] + b"\xff" * length + data[start + 8 + length :]


DAMAGES: list[tuple[str, str, Callable[[bytes], bytes], set[str], str]] = [
    ("a.avi", "mpeg4", cut(0), {"failed"}, "cannot be opened"),
    ("a.avi", "mpeg4", lambda _: bytes(3000), {"failed"}, "cannot be opened"),
    ("a.avi", "mpeg4", lambda d: d[: d.index(b"movi") + 4], {"empty", "failed"}, ""),
    ("a.avi", "mpeg4", cut(0.5), {"partial"}, "are missing"),
    ("a.avi", "mpeg4", garbage(0.4, 0.6), {"partial"}, ""),
    ("a.avi", "mpeg4", without_first_packet, {"partial"}, "the first key frame is missing"),
    ("a.avi", "mpeg4", one_packet_lost, {"partial"}, "undecodable packets"),
    ("a.mp4", "libx264", cut(0.9), {"failed"}, "cannot be opened"),
    ("a.mp4", "libx264", garbage(0.5, 0.7), {"partial"}, ""),
    ("a.mkv", "libx264", cut(0.6), {"partial"}, "are missing"),
    ("a.mkv", "libx264", garbage(0.5, 0.7), {"partial"}, ""),
    ("a.webm", "libvpx-vp9", cut(0.5), {"partial"}, "are missing"),
    ("a.ts", "mpeg2video", garbage(0.5, 0.6), {"partial"}, ""),
]


@pytest.mark.parametrize("selection", [ALL, FIVE], ids=str)
@pytest.mark.parametrize(("name", "codec", "damage", "statuses", "reason"), DAMAGES)
def test_damaged_copies_have_one_status_and_its_reason(
    tmp_path: Path,
    write_clip: WriteClip,
    selection: FrameSelection,
    name: str,
    codec: str,
    damage: Callable[[bytes], bytes],
    statuses: set[str],
    reason: str,
) -> None:
    path = write_clip(tmp_path / name, 60, width=160, height=120, codec=codec)
    path.write_bytes(damage(path.read_bytes()))
    crops, outcome = decode(path, selection)
    assert outcome.status in statuses, outcome
    assert reason in outcome.error
    check(outcome, len(crops), selection)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_cut_avi_lacks_as_long_a_part_as_it_lacks_frames(
    tmp_path: Path, write_clip: WriteClip, share: float
) -> None:
    path = write_clip(tmp_path / "a.avi", 240, width=160, height=120, codec="mpeg4")
    path.write_bytes(cut(share)(path.read_bytes()))
    outcome = decode(path, ALL)[1]
    assert outcome.info is not None
    assert outcome.info.declared_frames == 240
    assert outcome.info.frame_rate
    seconds = re.search(r"the last ([0-9.]+) s are missing", outcome.error)
    assert seconds, outcome.error
    lacking = (240 - outcome.num_frames) / outcome.info.frame_rate
    assert float(seconds[1]) == pytest.approx(lacking, abs=2 / outcome.info.frame_rate)


def at_24(num_frames: int) -> list[float]:
    return [number / 24 for number in range(num_frames)]


def trimmed(path: Path, *, start_s: float, length_s: float) -> Path:
    """Let an MP4's edit list show a part of it, which is how phones trim without encoding."""
    data = bytearray(path.read_bytes())
    movie, track, media, edit = (data.find(n) for n in (b"mvhd", b"tkhd", b"mdhd", b"elst"))
    length = round(length_s * struct.unpack_from(">I", data, movie + 16)[0])
    for at in (movie + 20, track + 24, edit + 12):
        struct.pack_into(">I", data, at, length)
    start = struct.unpack_from(">I", data, edit + 16)[0]
    start += round(start_s * struct.unpack_from(">I", data, media + 16)[0])
    struct.pack_into(">I", data, edit + 16, start)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("selection", [ALL, FIVE], ids=str)
@pytest.mark.parametrize("start_s", [0, 1.5])
def test_what_an_edit_list_leaves_out_is_not_missing(
    tmp_path: Path, selection: FrameSelection, start_s: float
) -> None:
    path = trimmed(write_timed(tmp_path / "a.mp4", at_24(96)), start_s=start_s, length_s=2)
    crops, outcome = decode(path, selection)
    assert (outcome.status, outcome.num_frames) == ("ok", 48), outcome
    check(outcome, len(crops), selection)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "ts", "avi", "flv"])
@pytest.mark.parametrize("num_frames", [1, 2, 4, 6, 12, 20])
def test_short_clips_with_reordered_frames_are_whole(
    tmp_path: Path, suffix: str, num_frames: int
) -> None:
    ticks = {"avi": 24, "flv": 1000}.get(suffix, 90000)
    path = write_timed(tmp_path / f"a.{suffix}", at_24(num_frames), ticks=ticks)
    _, outcome = decode(path)
    assert (outcome.status, outcome.num_frames) == ("ok", num_frames), outcome


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "wmv", "nut"])
@pytest.mark.parametrize("sound_s", [0, 4.5, 9])
def test_pauses_and_longer_sound_are_no_damage(tmp_path: Path, suffix: str, sound_s: float) -> None:
    times = [*at_24(48), 2.5, 3, 3.5, 4]
    ticks = 1000 if suffix == "wmv" else 90000
    _, outcome = decode(write_timed(tmp_path / f"a.{suffix}", times, sound_s=sound_s, ticks=ticks))
    assert (outcome.status, outcome.num_frames) == ("ok", 52), outcome


@pytest.mark.parametrize(
    ("name", "sound_s"),
    [
        *[("a.mkv", 0), ("a.mkv", 4), ("a.mkv", 9), ("a.mp4", 0), ("a.mp4", 9)],
        *[("a.wmv", 0), ("a.wmv", 4), ("a.wmv", 9), ("a.flv", 0)],
    ],
)
def test_a_cut_file_is_told_also_by_its_times(tmp_path: Path, name: str, sound_s: float) -> None:
    header_first = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = write_timed(
        tmp_path / name,
        at_24(96),
        sound_s=sound_s,
        ticks=1000 if name.endswith(("wmv", "flv")) else 90000,
        container_options=header_first,
    )
    assert decode(path)[1].status == "ok"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 7 // 10])
    _, outcome = decode(path)
    assert outcome.status == "partial"
    assert "missing" in outcome.error


FORMATS = [
    ("raw.avi", "libx264", "yuv420p", "h264"),  # no count, no timestamps, and a wrong suffix
    ("raw.m4v", "mpeg4", "yuv420p", ""),
    ("a.mpg", "mpeg2video", "yuv420p", ""),
    ("a.gif", "gif", "rgb8", ""),
    ("alpha.webm", "libvpx-vp9", "yuva420p", ""),
    ("alpha.mov", "qtrle", "argb", ""),
    ("deep.mkv", "ffv1", "yuv420p12le", ""),
    ("deep.mp4", "libx264", "yuv444p10le", ""),
    ("grey.avi", "rawvideo", "gray", ""),
    ("grey.mkv", "ffv1", "gray16le", ""),
    ("mjpeg.avi", "mjpeg", "yuvj420p", ""),
]


@pytest.mark.parametrize("selection", [ALL, FIVE], ids=str)
@pytest.mark.parametrize(("name", "codec", "pixel_format", "container"), FORMATS)
def test_unusual_formats_are_no_damage(
    tmp_path: Path,
    write_clip: WriteClip,
    selection: FrameSelection,
    name: str,
    codec: str,
    pixel_format: str,
    container: str,
) -> None:
    suffix = f".{container}" if container else Path(name).suffix
    made = write_clip(
        tmp_path / f"made{suffix}", 9, width=98, height=66, codec=codec, pixel_format=pixel_format
    )
    path = made.rename(tmp_path / name)
    crops, outcome = decode(path, selection)
    assert (outcome.status, outcome.num_frames) == ("ok", 9), outcome
    check(outcome, len(crops), selection)


@pytest.mark.parametrize("selection", [ALL, FIVE], ids=str)
def test_size_that_changes_inside_a_file_is_told(tmp_path: Path, selection: FrameSelection) -> None:
    path = tmp_path / "a.h264"
    parts = []
    for size in ((96, 64), (128, 96)):
        write_video(path, moving_square(6, *size), frame_rate=25, codec="libx264")
        parts.append(path.read_bytes())
    path.write_bytes(b"".join(parts))
    crops, outcome = decode(path, selection)
    assert (outcome.status, outcome.num_frames) == ("ok", 12)
    assert outcome.warning == "frames of 2 sizes: 96x64 128x96"
    assert {crop.shape for crop in crops} == {(224, 224, 3)}


def test_a_header_that_asks_for_all_memory_is_refused(
    tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "MAX_PIXELS", 96 * 64 - 1)
    for selection in (ALL, FIVE):
        crops, outcome = decode(write_clip(tmp_path / "a.avi"), selection)
        assert outcome.status == "failed"
        assert outcome.error == "cannot be opened: mpeg4 of 96x64 pixels: Invalid argument"
        check(outcome, len(crops), selection)


@pytest.mark.parametrize("damage", [cut(0.4), garbage(0.3, 0.5), cut(0.01)])
def test_damaged_sequence_has_one_status(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_seq(tmp_path / "a.seq", 12)
    path.write_bytes(damage(path.read_bytes()))
    crops, outcome = decode(path)
    assert outcome.status in {"partial", "failed"}
    check(outcome, len(crops), ALL)


@pytest.mark.shared
def test_odd_clips_of_others_are_all_read(shared: Path) -> None:
    warned = {}
    for path in sorted((shared / "clips" / "odd").iterdir()):
        crops, outcome = decode(path, FIVE)
        assert outcome.status == "ok", (path.name, outcome)
        check(outcome, len(crops), FIVE)
        if outcome.warning:
            warned[path.stem.partition("__")[2]] = outcome.warning
    assert warned == WARNINGS
