"""If this breaks, features from elsewhere are misread, or a file from a stranger is run."""

import os
import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
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


def of_objects(*values: object) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def save_hdf5(path: Path, **entries: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, values in entries.items():
            file[name] = values


TENSOR = torch.from_numpy(ROWS)
WRITERS: dict[str, Callable[[Path], object]] = {
    "axes of one value.npy": lambda path: np.save(path, ROWS[:, :, None, None]),
    "one clip.npy": lambda path: np.save(path, ROWS[None]),
    "rows as objects.npy": lambda path: np.save(path, of_objects(*ROWS)),
    "values as objects.npy": lambda path: np.save(path, ROWS.astype(object)),
    "dict.npy": lambda path: np.save(path, {"features": ROWS, "fps": 25.0}),  # type: ignore[arg-type]
    "one entry with rows.npz": lambda path: np.savez(path, feat=ROWS, fps=25, times=np.arange(4)),
    "arrays saved by torch.pt": lambda path: torch.save(ROWS, path),
    "array and number.pt": lambda path: torch.save({"features": ROWS, "label": 3}, path),
    "rows saved by torch.pt": lambda path: torch.save(list(TENSOR), path),
    "checkpoint.pth.tar": lambda path: torch.save(TENSOR, path),
    "archive by another name.npy": lambda path: torch.save(TENSOR, path),
    "array by another name.pt": lambda path: path.write_bytes(as_bytes(ROWS)),
    "pickle by another name.npy": lambda path: path.write_bytes(pickle.dumps(ROWS)),
    "short suffix.p": lambda path: path.write_bytes(pickle.dumps(ROWS)),
    "numbers of numpy.pkl": lambda path: path.write_bytes(
        pickle.dumps({"features": ROWS, "fps": np.float64(25), "name": np.str_("v")})
    ),
    "ordered.pkl": lambda path: path.write_bytes(pickle.dumps(OrderedDict(x=ROWS))),
    "with default.pkl": lambda path: path.write_bytes(pickle.dumps(defaultdict(list, x=[*ROWS]))),
    "rows.pkl": lambda path: path.write_bytes(pickle.dumps(list(ROWS))),
    "numbers.pkl": lambda path: path.write_bytes(pickle.dumps(ROWS.tolist())),
    "hdf5.h5": lambda path: save_hdf5(path, features=ROWS),
    "hdf5.HDF5": lambda path: save_hdf5(path, rgb=ROWS, fps=25.0),
}
"""How people's programs save the features of a video."""


def as_bytes(rows: np.ndarray[Any, Any]) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {rows.shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + rows.tobytes()


@pytest.mark.parametrize("name", WRITERS)
def test_a_video_as_other_programs_save_it(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    assert read(tmp_path).tobytes() == ROWS.tobytes()


@pytest.mark.parametrize("protocol", [0, 2])
def test_an_ordered_dict_of_older_pythons(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(OrderedDict(x=ROWS, n=np.int64(3)), protocol))
    assert read(tmp_path).tobytes() == ROWS.tobytes()
    pairs = b"ccollections\nOrderedDict\n((l(lVx\na" + pickle.dumps(ROWS, 0)[:-1] + b"aatR."
    (tmp_path / "v.pkl").write_bytes(pairs)  # Python 2 hands over a list of pairs
    assert read(tmp_path).tobytes() == ROWS.tobytes()


def test_suffixes_of_videos_are_no_part_of_names(tmp_path: Path) -> None:
    for name in ("a.mp4.npy", "b.avi.NPY", "c.1.npy"):
        (tmp_path / name).write_bytes(as_bytes(ROWS))
    assert [found.name for found in find_features(tmp_path)] == ["a", "b", "c.1"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
        (b"<!DOCTYPE html><title>429</title>", "it is a web page"),
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "pkl", "h5"])
def test_what_came_in_the_place_of_a_file_is_told(
    tmp_path: Path, suffix: str, content: bytes, told: str
) -> None:
    (tmp_path / f"v.{suffix}").write_bytes(content)
    with pytest.raises(ClipError, match=rf"v.{suffix} cannot be read: {told}"):
        read(tmp_path)


def test_one_of_several_entries_is_chosen_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", rgb=ROWS, flow=ROWS + 1)
    with pytest.raises(ClipError, match=r"v\.npz holds rgb, flow; name the one to take with --key"):
        read(tmp_path)
    (found,) = find_features(tmp_path, key="flow")
    assert np.array_equal(found.read(), ROWS + 1)
    (found,) = find_features(tmp_path, key="audio")
    with pytest.raises(ClipError, match=r"no entry audio \(it has rgb, flow\); correct --key"):
        found.read()


def test_a_folder_called_as_a_video_is_all_its_own(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS):
        write_array(row[None], tmp_path / "frames" / f"frame_{number}.npy")
    write_array(ROWS, tmp_path / "array" / "feature.npy")
    write_array(ROWS, tmp_path / "both" / "rgb.npy")
    write_array(ROWS + 1, tmp_path / "both" / "flow.npy")
    write_array(ROWS, tmp_path / "class" / "video.npy")
    names = ("frames", "array", "both", "video", "class")
    found = {
        one.name: one for one in find_features(tmp_path, key="flow", is_video=names.__contains__)
    }
    assert {*found} == {"frames", "array", "both", "video"}
    assert found["frames"].read().tobytes() == ROWS.tobytes()
    assert found["array"].read().tobytes() == ROWS.tobytes()
    assert np.array_equal(found["both"].read(), ROWS + 1)
    (both,) = (o for o in find_features(tmp_path, is_video=names.__contains__) if o.name == "both")
    with pytest.raises(ClipError, match=r"folder holds flow.npy, rgb.npy; name the one to take"):
        both.read()
    (tmp_path / "frames" / "frame_2.npy").unlink()
    (frames, *_) = find_features(tmp_path / "frames", is_video=names.__contains__)
    with pytest.raises(ClipError, match=r"frame 2 is missing, frame_3.npy comes in its place"):
        frames.read()


def test_lists_of_other_things_are_refused(tmp_path: Path) -> None:
    loop: list[Any] = [[1.0]]
    loop.append(loop)
    things: tuple[Any, ...] = (
        [],
        ["a"],
        [[["a"]]],
        [[1.0], ["a"]],
        [[1.0], [1.0, 2.0]],
        [None],
        [of_objects("a")],
        loop,
    )
    for thing in things:
        (tmp_path / "v.pkl").write_bytes(pickle.dumps(thing))
        with pytest.raises(ClipError, match=r"v\.pkl (holds|cannot be read)"):
            read(tmp_path)
    (tmp_path / "v.pkl").write_bytes(pickle.dumps([np.zeros((1, 2**20))] * 300))
    with pytest.raises(ClipError, match="a list of more than 268435456 values"):
        read(tmp_path)
