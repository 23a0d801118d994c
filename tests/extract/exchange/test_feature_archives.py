"""If this breaks, features of all videos in one file are of other videos, or fill the memory."""

import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ta3n.common.errors import ClipError, DataConflictError, UsageError
from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.common.store import Features, ShardReader, shard_path
from ta3n.extract.exchange.feature_archives import open_features
from ta3n.extract.features_cli import main

Save = Callable[[Any, Path], object]

NAMES = ("golf_1", "golf_2", "pullup_1")
ROWS = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


class Hostile:
    """What a pickle may hold: anything that is called when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("was-run",)


def pickled(protocol: int) -> Save:
    return lambda value, path: path.write_bytes(pickle.dumps(value, protocol=protocol))


def as_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_tensors(one) for key, one in value.items()}
    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value


def saved_by_torch(*, new: bool) -> Save:
    def save(value: Any, path: Path) -> None:
        torch.save(as_tensors(value), path, _use_new_zipfile_serialization=new)

    return save


FORMS: dict[str, tuple[str, Save]] = {
    **{f"pickle {n}": ("x.pkl", pickled(n)) for n in (0, 2, 4, 5)},
    "torch": ("x.pt", saved_by_torch(new=True)),
    "old torch": ("x.pth", saved_by_torch(new=False)),
    "npz": ("x.npz", lambda value, path: np.savez(path, **value)),
    "packed npz": ("x.npz", lambda value, path: np.savez_compressed(path, **value)),
}


def read(source: Path, names: Path | None = None, *, pooled: bool = False) -> dict[str, Features]:
    with open_features(source, names) as found:
        return {one.name: one.read(pooled=pooled) for one in found}


WITH_DICTS: dict[str, Any] = {
    "as folders": {"golf": {n: ROWS[i] for i, n in enumerate(NAMES)}},
    "as paths of Windows": {f"D:\\x\\{n}.avi": ROWS[i] for i, n in enumerate(NAMES)},
    "below features": {"backbone": "x", "features": {n: ROWS[i] for i, n in enumerate(NAMES)}},
    "a dict each": {n: {"rgb": ROWS[i], "fps": 25.0} for i, n in enumerate(NAMES)},
    "a list each": {n: [*ROWS[i]] for i, n in enumerate(NAMES)},
    "records": [{"video": f"x/{n}.mp4", "rgb": ROWS[i]} for i, n in enumerate(NAMES)],
    "records below": {
        "features": [
            {"video_name": n[:-2], "uid": int(n[-1]), "features_RGB": ROWS[i]}
            for i, n in enumerate(NAMES)
        ]
    },
    "lists side by side": {"features": [*ROWS], "video_names": list(NAMES)},
}


@pytest.mark.parametrize("kind", WITH_DICTS)
def test_a_file_as_other_programs_save_it(tmp_path: Path, kind: str) -> None:
    value = WITH_DICTS[kind]
    pickled(4)(value, tmp_path / "x.pkl")
    torch.save(value, tmp_path / "x.pt")
    if isinstance(value, dict):
        np.save(tmp_path / "x.npy", value)  # type: ignore[arg-type]
    for path in sorted(tmp_path.iterdir()):
        with open_features(path, is_video=NAMES.__contains__) as found:
            videos = {one.name: one.read() for one in found if one.name != "backbone"}
        check(videos)


def test_an_hdf5_file_is_as_a_dict(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number, name in enumerate(NAMES[:2]):
            file[f"golf/{name}"] = ROWS[number]
        file[f"pullup/{NAMES[2]}/c3d"] = ROWS[2]
        file[f"pullup/{NAMES[2]}/itself"] = file["pullup"]
        file["elsewhere"] = h5py.ExternalLink(tmp_path / "other.h5", "x")
    with open_features(tmp_path / "x.h5", is_video=NAMES.__contains__) as found:
        videos = list(found)
        assert [one.folder for one in videos] == ["golf", "golf", "pullup"]
        check({one.name: one.read() for one in videos})
    with h5py.File(tmp_path / "y.hdf5", "w") as file:
        file["features"], file["names"] = ROWS, [name.encode() for name in NAMES]
    check(read(tmp_path / "y.hdf5"))


def test_what_an_archive_lacks_is_told(tmp_path: Path) -> None:
    pickled(4)([{"rgb": ROWS[0]}], tmp_path / "x.pkl")
    with pytest.raises(DataConflictError, match="record 0 has rgb, and none of narration_id"):
        read(tmp_path / "x.pkl")
    np.savez(tmp_path / "x.npz", features=np.array([*ROWS, None], object)[:-1], names=NAMES)
    with pytest.raises(DataConflictError, match=r"x\.npz' cannot be read: features: .* array"):
        read(tmp_path / "x.npz")
    pickled(4)({"features": [*ROWS], "names": ["a"]}, tmp_path / "x.pkl")
    with pytest.raises(DataConflictError, match="holds a list of 3 for 1 names of videos"):
        read(tmp_path / "x.pkl")


def check(found: dict[str, Features], expected: np.ndarray[Any, Any] = ROWS) -> None:
    assert list(found) == list(NAMES)
    assert all(
        np.array_equal(rows, one) for rows, one in zip(found.values(), expected, strict=True)
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_dict_of_arrays_by_name(tmp_path: Path, form: str) -> None:
    name, save = FORMS[form]
    save(dict(zip(NAMES, ROWS, strict=True)), tmp_path / name)
    check(read(tmp_path / name))


@pytest.mark.parametrize("form", FORMS)
def test_one_array_with_names_beside_it(tmp_path: Path, form: str) -> None:
    name, save = FORMS[form]
    names = np.array(NAMES) if name == "x.npz" else list(NAMES)
    save({"features": ROWS, "names": names}, tmp_path / name)
    check(read(tmp_path / name))


@pytest.mark.parametrize("order", ["C", "F"])
def test_one_array_with_a_list_of_names(tmp_path: Path, order: Any) -> None:
    listed = tmp_path / "names.txt"
    listed.write_text("\n".join(f"videos/{name}.avi" for name in NAMES) + "\n")
    np.save(tmp_path / "x.npy", ROWS.copy(order))
    pickled(4)(ROWS.copy(order), tmp_path / "x.pkl")
    saved_by_torch(new=True)({"features": ROWS}, tmp_path / "x.pt")
    for name in ("x.npy", "x.pkl", "x.pt"):
        check(read(tmp_path / name, listed))


def test_one_row_a_video_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    pooled = ROWS[:, 0]
    pickled(4)(dict(zip(NAMES, pooled, strict=True)), tmp_path / "x.pkl")
    check(read(tmp_path / "x.pkl", pooled=True), pooled[:, None])
    with pytest.raises(ClipError, match=r"has shape \[5\], not frames x features; --pooled takes"):
        read(tmp_path / "x.pkl")
    np.save(tmp_path / "golf_1.npy", pooled[0])
    (tmp_path / "x.pkl").unlink()
    assert np.array_equal(read(tmp_path, pooled=True)["golf_1"], pooled[:1])


def test_a_pickle_for_each_video(tmp_path: Path) -> None:
    for name, rows in zip(NAMES, ROWS, strict=True):
        pickled(4)({"features": rows, "fps": 25}, tmp_path / f"{name}.pkl")
    check(read(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.pkl", {"a": Hostile()}, "mkdir, which no array needs; nothing in it was run"),
        ("x.pkl", {1: ROWS[0]}, "a key is a int, not the name of a video"),
        ("x.pkl", {"features": ROWS, "ids": ["a", "b"]}, r"shape \[3, 4, 5\] for 2 names"),
        ("x.pkl", {"features": ROWS, "ids": [1, 2, 3]}, "names of the videos are no list of texts"),
        ("x.pkl", {"features": ROWS, "ids": 3}, "names of the videos are no list of texts"),
        ("x.pkl", {"features": "abc", "ids": ["a"]}, "holds a str for 1 names"),
        ("x.npz", b"PK\x03\x04", "x.npz' cannot be read"),
        ("x.pt", b"PK\x03\x04", "x.pt' cannot be read"),
        ("x.npy", np.array([Hostile()], dtype=object), "x.npy' cannot be read"),
    ],
)
def test_a_file_that_is_no_such_thing_is_told(
    tmp_path: Path, name: str, content: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    with pytest.raises(DataConflictError, match=told):
        read(path)
    assert not (tmp_path / "was-run").exists()


def test_a_hostile_file_of_torch_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for new in (True, False):
        saved_by_torch(new=new)({"a": Hostile()}, tmp_path / "x.pt")
        with pytest.raises(
            DataConflictError, match=r"x\.pt' cannot be read: it holds other objects than tensors"
        ):
            read(tmp_path / "x.pt")
        assert not (tmp_path / "was-run").exists()


def test_one_bad_entry_is_one_bad_video(tmp_path: Path) -> None:
    entries = {"a": ROWS[0], "b": np.array(["x"]), "c": ["x"], "d": np.full((1, 2), np.inf)}
    pickled(4)(entries, tmp_path / "x.pkl")
    told = {"b": "has shape", "c": "it is a list, not an array", "d": "are not finite"}
    with open_features(tmp_path / "x.pkl") as found:
        videos = {one.name: one for one in found}
        assert np.array_equal(videos["a"].read(), ROWS[0])
        for name, text in told.items():
            with pytest.raises(ClipError, match=text):
                videos[name].read()


def test_names_have_to_be_of_one_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    (tmp_path / "x.txt").write_text("a\n")
    with pytest.raises(UsageError, match="holds one array: name its videos with --ids FILE"):
        read(tmp_path / "x.npy")
    with pytest.raises(UsageError, match="--ids is for one array of all videos"):
        read(tmp_path, tmp_path / "x.txt")
    with pytest.raises(UsageError, match=r"x\.txt' is not a folder, nor one of"):
        read(tmp_path / "x.txt")
    pickled(4)({"a": ROWS[0]}, tmp_path / "x.pkl")
    with pytest.raises(DataConflictError, match="has no features that --ids could name"):
        read(tmp_path / "x.pkl", tmp_path / "x.txt")


@pytest.mark.parametrize("form", ["x.npy", "x.pkl"])
def test_memory_is_that_of_few_videos(tmp_path: Path, form: str) -> None:
    array = np.zeros((64, 16, 1024), np.float32)
    (tmp_path / "names.txt").write_text("\n".join(map(str, range(64))))
    if form == "x.pkl":
        pickled(4)(array, tmp_path / form)
    else:
        np.save(tmp_path / form, array)
    size = array.nbytes
    tracemalloc.start()
    try:
        with open_features(tmp_path / form, tmp_path / "names.txt") as found:
            assert sum(len(one.read()) for one in found) == 64 * 16
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 4


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize("name", ["x.pkl", "x.npy"])
def test_a_file_becomes_a_feature_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "train.csv").write_text(
        "path,label,split\n" + "".join(f"{n}.avi,{n.partition('_')[0]},train\n" for n in NAMES)
    )
    more: tuple[object, ...] = ()
    if name == "x.npy":
        np.save(tmp_path / name, ROWS)
        (tmp_path / "names.txt").write_text("\n".join(NAMES))
        more = ("--ids", tmp_path / "names.txt")
    else:
        pickled(4)(dict(zip(NAMES, ROWS, strict=True)), tmp_path / name)
    options = ("--lists", tmp_path / "train.csv", "--backbone", "i3d", "--out", tmp_path / "out")
    result = run("import", tmp_path / name, "--dataset", "hmdb51", *options, *more)
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "out" / "hmdb51"
    clips = read_record(Manifest, folder / MANIFEST_NAME).clips
    assert [clip.path for clip in clips] == [f"{n.partition('_')[0]}/{n}.avi" for n in NAMES]
    for clip, rows in zip(clips, ROWS, strict=True):
        with ShardReader(shard_path(folder, clip.shard)) as reader:
            assert np.array_equal(reader.rows(clip.start, range(clip.length)), rows)
