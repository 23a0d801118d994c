"""If this breaks, features from elsewhere are misread, or a file from a stranger is run."""

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch

from ta3n.common.errors import ClipError, DataMissingError
from ta3n.extract.exchange.feature_files import (
    find_features,
    open_arrays,
    write_array,
    write_frames,
)

ROWS = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


class Hostile:
    """What a pickle may hold: anything that is called when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("was-run",)


def read(folder: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    (files,) = find_features(folder)
    return files.read()


def test_frames_are_read_in_either_of_torchs_forms(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS, start=1):
        file = tmp_path / "v" / f"img_{number:05d}.t7"
        file.parent.mkdir(exist_ok=True)
        tensor = torch.from_numpy(row.copy()).reshape(1, -1)
        torch.save(tensor, file, _use_new_zipfile_serialization=number % 2 == 0)
    assert np.array_equal(read(tmp_path), ROWS)
    (found,) = find_features(tmp_path)
    assert found.name == "v"


def test_arrays_in_every_form(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS.astype(np.float64))
    np.savez_compressed(tmp_path / "b.npz", features=ROWS, label=np.array(3))
    torch.save(torch.from_numpy(ROWS), tmp_path / "c.pt")
    torch.save({"x": torch.from_numpy(ROWS)}, tmp_path / "d.pth")
    found = list(find_features(tmp_path))
    assert [files.name for files in found] == ["a", "b", "c", "d"]
    assert all(np.array_equal(files.read(), ROWS) for files in found)


def test_what_is_written_reads_back_in_the_same_bits(tmp_path: Path) -> None:
    write_frames(ROWS, tmp_path / "t7" / "v")
    write_array(ROWS, tmp_path / "npy" / "v.npy")
    assert read(tmp_path / "t7").tobytes() == ROWS.tobytes()
    assert read(tmp_path / "npy").tobytes() == ROWS.tobytes()
    sizes = {file.stat().st_size for file in (tmp_path / "t7" / "v").iterdir()}
    assert max(sizes) < 2000  # a row each, not all rows each


def test_a_damaged_video_tells_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "v"
    write_frames(ROWS, folder)
    frame = folder / "img_00003.t7"
    sound = frame.read_bytes()
    frame.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(ClipError, match=r"img_00003.t7 cannot be read: "):
        read(tmp_path)
    torch.save(Hostile(), frame)
    with pytest.raises(ClipError, match=r"img_00003.t7 cannot be read: it holds other objects"):
        read(tmp_path)
    assert not (tmp_path / "was-run").exists()
    torch.save(torch.zeros(5), frame)
    with pytest.raises(ClipError, match=r"img_00003.t7 has 5 values, the first frame 6"):
        read(tmp_path)
    torch.save(torch.full((6,), torch.nan), frame)
    with pytest.raises(ClipError, match="features of frame 3 are not finite"):
        read(tmp_path)
    torch.save("text", frame)
    with pytest.raises(ClipError, match=r"img_00003.t7 holds a str, not a tensor"):
        read(tmp_path)
    frame.unlink()
    with pytest.raises(ClipError, match=r"frame 3 is missing, img_00004.t7 comes in its place"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("v.npy", b"", "v.npy cannot be read"),
        ("v.npz", b"PK\x03\x04 no archive", "v.npz cannot be read"),
        ("v.pt", b"no tensor", "v.pt cannot be read: it is damaged, or no file that torch.save"),
        ("v.pt", b"PK\x03\x04", "v.pt cannot be read: it is damaged, or no file that torch.save"),
    ],
)
def test_a_damaged_array_tells_its_reason(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=told):
        read(tmp_path)


def test_arrays_that_are_no_features_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros(3))
    with pytest.raises(ClipError, match=r"has shape \[3\], not frames x features"):
        read(tmp_path)
    np.save(tmp_path / "v.npy", np.array([Hostile()], dtype=object))
    with pytest.raises(ClipError, match="cannot be read"):
        read(tmp_path)
    np.save(tmp_path / "v.npy", np.array([["a"]]))
    with pytest.raises(ClipError, match="not numbers"):
        read(tmp_path)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="no folder"):
        list(find_features(tmp_path / "none"))


def test_tensors_that_numpy_has_no_form_for_are_converted(tmp_path: Path) -> None:
    values = torch.arange(12.0).reshape(3, 4)
    forms = {
        "sparse.pt": values.to_sparse(),
        "float8.PT": values.to(torch.float8_e4m3fn),
        "quantised.Pth": torch.quantize_per_tensor(values, 1.0, 0, torch.qint8),
        "negated.pt": torch.complex(values, -values).conj().imag,
    }
    for name, tensor in forms.items():
        torch.save(tensor, tmp_path / name)
    np.save(tmp_path / "array", values.numpy())
    (tmp_path / "array.npy").rename(tmp_path / "array.NPY")
    torch.save(torch.complex(values, values), tmp_path / "complex.pt")
    found = {files.name: files for files in find_features(tmp_path)}
    assert len(found) == 6
    with pytest.raises(ClipError, match="complex64 values, not numbers"):
        found.pop("complex").read()
    for files in found.values():
        assert files.read().tolist() == values.tolist(), files.name


def test_a_file_whose_name_is_of_any_bytes_is_read_in_place(tmp_path: Path) -> None:
    file = tmp_path / "caf\udce9" / "a.pt"
    file.parent.mkdir()
    with file.open("wb") as opened_file:
        torch.save(torch.from_numpy(ROWS), opened_file)
    with ExitStack() as opened:
        assert np.array_equal(open_arrays(opened, file, in_place=True), ROWS)
