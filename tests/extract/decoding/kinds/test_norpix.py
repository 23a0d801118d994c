"""If this breaks, the Olympic Sports download cannot be read, or is read with frames missing."""

import struct
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.errors import ClipError
from ta3n.extract.decoding.kinds.norpix import NorpixReader

from ....support.videos import moving_square, write_seq


@pytest.mark.parametrize("padding", [0, 2, 8, 10])
def test_every_frame_comes_back_in_order(tmp_path: Path, padding: int) -> None:
    with NorpixReader(write_seq(tmp_path / "a.seq", padding=padding)) as reader:
        assert reader.count_packets() == 6
        frames = [frame.rgb() for frame in reader.frames()]
    assert reader.num_decoded == 6
    assert not reader.damage.describe()
    info = reader.info
    assert (info.width, info.height, info.frame_rate, info.declared_frames) == (96, 64, 30.0, 6)
    drawn = np.stack(list(moving_square(6, 96, 64))).astype(int)
    for number, frame in enumerate(frames):
        assert np.abs(drawn - frame).mean(axis=(1, 2, 3)).argmin() == number


def test_cut_sequence_reports_what_is_missing(tmp_path: Path) -> None:
    path = write_seq(tmp_path / "a.seq")
    path.write_bytes(path.read_bytes()[:-2500])
    with NorpixReader(path) as reader:
        assert sum(1 for _ in reader.frames()) < 6
    assert reader.damage.describe()


def test_damaged_frame_is_counted_and_skipped(tmp_path: Path) -> None:
    path = write_seq(tmp_path / "a.seq")
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<I", data, 1024)
    data[1024 + 6 : 1024 + length] = bytes(length - 6)
    path.write_bytes(data)
    with NorpixReader(path) as reader:
        assert sum(1 for _ in reader.frames()) == 5
    assert reader.damage.num_errors == 1


@pytest.mark.parametrize("content", [b"", b"short", bytes(2000)])
def test_what_is_no_sequence_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.seq"
    path.write_bytes(content)
    with pytest.raises(ClipError), NorpixReader(path):
        pass


def test_raw_sequences_are_refused_by_name(tmp_path: Path) -> None:
    path = write_seq(tmp_path / "a.seq", image_format=100)
    with pytest.raises(ClipError, match="image format 100"), NorpixReader(path):
        pass
