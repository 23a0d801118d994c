"""If this breaks, the challenge's features are of the wrong segments, or a bad file is believed."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ta3n.common.records import MANIFEST_NAME, ClipRecord, Manifest, read_record
from ta3n.common.sampling import FrameSelection
from ta3n.common.store import Features, ShardReader, shard_path
from ta3n.datasets.epic.challenge import MODALITIES, ROWS_PER_SEGMENT
from ta3n.extract.exchange.epic import EpicImport, import_epic
from ta3n.extract.features_cli import main

from ...support import commands
from ...support.epic import features_of, segment_ids, segment_rows, write_challenge, write_table
from ...support.extract_jobs import num_shards, wait_until

KEPT = [2, 7, 12, 17, 22]
DATASETS = ("epic100-source", "epic100-target")


def run(pickles: Path, annotations: Path, *more: object) -> Result:
    args = ("import", "--epic", pickles, "--annotations", annotations, "--out", *more)
    return CliRunner().invoke(main, [str(arg) for arg in args])


def clips_of(folder: Path) -> dict[str, tuple[ClipRecord, Features]]:
    """Return the record and the rows of every segment of a feature folder."""
    found = {}
    for clip in read_record(Manifest, folder / MANIFEST_NAME).clips:
        with ShardReader(shard_path(folder, clip.shard)) as reader:
            found[clip.path] = clip, reader.rows(clip.start, range(clip.length))
    return found


def hash_of(folder: Path) -> str:
    return read_record(Manifest, folder / MANIFEST_NAME).content_hash


def change(path: Path, **values: Any) -> None:
    """Write a pickle of a part anew, with other content."""
    content = pickle.loads(path.read_bytes())
    features = values.pop("features", {})
    content["features"] |= features
    path.write_bytes(pickle.dumps(content | values))


def test_segments_become_clips_of_two_datasets(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path)
    result = run(pickles, annotations, tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"30 segments in \d+ s", result.stderr)
    source, target = (clips_of(tmp_path / "out" / name) for name in DATASETS)
    assert (len(source), len(target)) == (12, 18)
    for name, (clip, rows) in (source | target).items():
        wanted = [segment_rows(name, modality, 4)[KEPT] for modality in MODALITIES]
        assert np.array_equal(rows, np.concatenate(wanted, axis=1))
        assert (clip.status, clip.num_frames, clip.length) == ("ok", ROWS_PER_SEGMENT, 5)
    places = {
        "source_train": ("5,7", {"final": "train"}),
        "source_val": ("5,7", {"tune": "train", "final": "test"}),
        "target_train": ("", {"final": "train"}),
        "target_val": ("5,7", {"tune": "train"}),
        "target_test": ("", {"final": "test"}),
    }
    for split, place in places.items():
        clip, _ = (source | target)[segment_ids(split, 2)[1]]  # type: ignore[arg-type]
        assert (clip.class_name, clip.splits) == place
    config = read_record(Manifest, tmp_path / "out" / DATASETS[0] / MANIFEST_NAME).config
    assert (config.backbone, config.weights, config.profile, config.frames) == (
        *("tbn", "imported:epic-kitchens-55", "imported", "segments:5"),
    )
    assert (config.feature_dim, config.transform) == (12, "columns RGB 4, Flow 4, Audio 4")
    folders = [tmp_path / "out" / name for name in DATASETS]
    verified = CliRunner().invoke(main, ["verify", str(tmp_path / "out")])
    assert verified.stdout == "".join(f"{folder}: sound\n" for folder in folders)


def test_modalities_are_columns_in_one_order(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path)
    for path in pickles.iterdir():
        content = pickle.loads(path.read_bytes())
        del content["features"]["Flow"]
        content["features"] = dict(reversed(content["features"].items()))
        path.write_bytes(pickle.dumps(content))
    result = run(pickles, annotations, tmp_path / "out")
    assert result.exit_code == 1
    assert "has no Flow, but Audio, RGB; --modalities chooses" in result.stderr
    result = run(pickles, annotations, tmp_path / "out", "--modalities", "Audio,RGB")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("holds Audio, RGB in this order; columns are in that of RGB, A") == 5
    folder = tmp_path / "out" / DATASETS[1]
    for name, (_, rows) in clips_of(folder).items():
        wanted = [segment_rows(name, modality, 4)[KEPT] for modality in ("RGB", "Audio")]
        assert np.array_equal(rows, np.concatenate(wanted, axis=1))
    config = read_record(Manifest, folder / MANIFEST_NAME).config
    assert config.transform == "columns RGB 4, Audio 4"
    # Other columns of the same width are other features.
    result = run(pickles, annotations, tmp_path / "out", "--modalities", "RGB")
    assert "was made with another setting" in result.stderr
    # An import has no option --retry-failed.
    assert result.stderr.endswith("Use another --out, or remove the folder to start afresh\n")


def test_all_rows_or_those_of_other_segments(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path, count=2)
    assert run(pickles, annotations, tmp_path / "all", "--all-rows").exit_code == 0
    assert run(pickles, annotations, tmp_path / "two", "--segments", 2).exit_code == 0
    for name, (clip, rows) in clips_of(tmp_path / "all" / DATASETS[0]).items():
        assert np.array_equal(rows[:, :4], segment_rows(name, "RGB", 4))
        assert clip.length == 25
    for name, (_, rows) in clips_of(tmp_path / "two" / DATASETS[0]).items():
        assert np.array_equal(rows[:, :4], segment_rows(name, "RGB", 4)[[6, 18]])


@pytest.mark.shared
def test_rows_of_segments_are_those_of_the_baseline(shared: Path) -> None:
    path = shared / "epic" / "golden" / "rows_reference.json"
    for count, rows in json.loads(path.read_text()).items():
        kept = FrameSelection.parse(f"segments:{count}").indices(ROWS_PER_SEGMENT)
        assert list(kept) == sorted(set(rows))


def test_another_order_is_told_and_names_decide(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path)
    assert run(pickles, annotations, tmp_path / "one").exit_code == 0
    path = pickles / "target_val.pkl"
    ids = segment_ids("target_val", 6)
    path.write_bytes(pickle.dumps(features_of([*ids[3:], *ids[:3]], 4)))
    result = run(pickles, annotations, tmp_path / "two")
    assert result.exit_code == 0
    (told,) = [line for line in result.stderr.splitlines() if "another order" in line]
    assert re.search(
        r"target_val.pkl has its segments in another order than .*target_val.csv", told
    )
    for name in DATASETS:
        assert hash_of(tmp_path / "one" / name) == hash_of(tmp_path / "two" / name)


def test_the_test_videos_of_the_source_are_taken_if_they_are_there(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path)
    ids = segment_ids("source_test", 2)
    (pickles / "source_test.pkl").write_bytes(pickle.dumps(features_of(ids, 4)))
    result = run(pickles, annotations, tmp_path / "out")
    assert "no annotations of source_test in" in result.stderr
    write_table(annotations, "source_test", [(name, None, None) for name in ids])
    assert run(pickles, annotations, tmp_path / "out").exit_code == 0
    clips = clips_of(tmp_path / "out" / DATASETS[0])
    assert len(clips) == 14
    assert clips[ids[0]][0].splits == {"source_test": "test"}


def damaged_contents() -> dict[str, tuple[dict[str, Any], str]]:
    ids = segment_ids("source_train", 6)
    rgb = features_of(ids, 4)["features"]["RGB"]
    bad = rgb.copy()
    bad[1, 12, 2] = np.nan
    infinite = rgb.astype(np.float64)
    infinite[5, 22] = 1e300  # of no float32
    return {
        "missing": ({"narration_ids": [*ids[:-1], "P99_99_9"]}, f"has no features of {ids[5]}, 1"),
        "twice": ({"narration_ids": [*ids[:-1], ids[0]]}, f"has {ids[0]} twice, as segments 0 and"),
        "fewer": ({"narration_ids": ids[:-1]}, "has 5 narration_ids for 6 segments"),
        "numbers": ({"narration_ids": list(range(6))}, "narration_ids hold an int, not texts"),
        "no list": ({"narration_ids": "P91"}, "narration_ids are a text, not a list"),
        "table": ({"narration_ids": np.array([ids])}, r"narration_ids have shape \[1, 6\]"),
        "rows": ({"features": {"RGB": rgb[:, :24]}}, r"RGB has shape \[6, 24, 4\], not segments x"),
        "order": ({"features": {"RGB": rgb.transpose(0, 2, 1)}}, r"RGB has shape \[6, 4, 25\]"),
        "width": ({"features": {"Flow": rgb[:, :, :3]}}, "values a row of Flow, "),
        "count": ({"features": {"Audio": rgb[:5]}}, "has 6 segments of RGB, but 5 of Audio"),
        "objects": ({"features": {"RGB": np.array([[None]])}}, "RGB has objects for values"),
        "whole": ({"features": {"RGB": rgb.astype(int)}}, "RGB has values of int64, not floats"),
        "list": ({"features": {"RGB": list(rgb)}}, "RGB is a list, not an array"),
        "nan": ({"features": {"RGB": bad}}, f"row 12 of RGB of {ids[1]} is not finite"),
        "infinite": ({"features": {"RGB": infinite}}, f"row 22 of RGB of {ids[5]} is not finite"),
    }


@pytest.mark.parametrize("name", damaged_contents())
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, name: str) -> None:
    pickles, annotations = write_challenge(tmp_path)
    values, told = damaged_contents()[name]
    change(pickles / "source_train.pkl", **values)
    result = run(pickles, annotations, tmp_path / "out")
    assert result.exit_code == 1
    error = result.stderr.splitlines()[-1]
    assert re.search(told, error)
    assert ".pkl'" in error
    assert not list(tmp_path.glob("out/*/shard-*"))


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path)
    (pickles / "target_val.pkl").unlink()
    result = run(pickles, annotations, tmp_path / "out")
    assert "target_val.pkl not in" in result.stderr
    assert "which has to hold source_train.pkl, source_val.pkl, target_train.pkl" in result.stderr
    result = run(tmp_path / "none", annotations, tmp_path / "out")
    assert "no folder" in result.stderr
    (annotations / "EPIC_100_uda_target_test_timestamps.csv").unlink()
    (pickles / "target_val.pkl").write_bytes(b"")
    result = run(pickles, annotations, tmp_path / "out")
    assert "no annotations of target_test" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--epic", "."), "give --annotations DIR as well"),
        ((), "give the folder or file with the features and --dataset NAME, or"),
        (("--epic", ".", "--annotations", ".", "arrays"), "DIR is not for imports with --epic"),
        (("--epic", ".", "--dataset", "ucf"), "--dataset is not for imports with --epic"),
        (("arrays", "--dataset", "ucf", "--all-rows"), "--all-rows is not for imports without"),
        (("--epic", ".", "--all-rows", "--segments", "5"), "--segments or --all-rows, not both"),
        (("--epic", ".", "--annotations", ".", "--modalities", "rgb"), "did you mean 'RGB'"),
        (
            ("--epic", ".", "--annotations", ".", "--modalities", "Flow, Flow"),
            "--modalities names Flow twice",
        ),
        (("--epic", ".", "--segments", "26"), "26 is not in the range"),
    ],
)
def test_options_that_make_no_sense_are_refused(args: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(main, ["import", *args])
    assert result.exit_code == 2
    assert told in result.stderr


def test_rows_that_are_not_kept_need_not_be_finite(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path)
    rgb = features_of(segment_ids("source_train", 6), 4)["features"]["RGB"]
    rgb[1, 13] = np.nan
    change(pickles / "source_train.pkl", features={"RGB": rgb})
    result = run(pickles, annotations, tmp_path / "out")
    assert result.exit_code == 0
    assert "1 rows that are not kept are not finite, the first is row 13 of RGB" in result.stderr
    result = run(pickles, annotations, tmp_path / "all", "--all-rows")
    assert "row 13 of RGB of P91_01_1 is not finite" in result.stderr


def start(pickles: Path, annotations: Path, out: Path) -> subprocess.Popen[str]:
    """Start an import of two segments a shard in a process of its own."""
    args = ("import", "--epic", pickles, "--annotations", annotations, "--out", out)
    return subprocess.Popen(
        [sys.executable, "-P", commands.__file__, "ta3n-features", *map(str, args)],
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_import_goes_on_where_it_was(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path, count=30)
    whole = start(pickles, annotations, tmp_path / "whole")
    killed = start(pickles, annotations, tmp_path / "killed")
    folder = tmp_path / "killed" / DATASETS[1]
    wait_until(lambda: num_shards(folder) > 3)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    made = {path.name: path.stat().st_mtime_ns for path in folder.glob("shard-*.json")}
    assert 0 < len(made) < 45
    assert not (folder / MANIFEST_NAME).exists()
    again = start(pickles, annotations, tmp_path / "killed")
    for process in (whole, again):
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    for name in DATASETS:
        assert hash_of(tmp_path / "killed" / name) == hash_of(tmp_path / "whole" / name)
        assert not list((tmp_path / "killed" / name).glob(".*"))
    assert {n: (folder / n).stat().st_mtime_ns for n in made} == made


@pytest.mark.usefixtures("one_clip_shards")
def test_other_pickles_are_not_mixed_with_those_before(tmp_path: Path) -> None:
    pickles, annotations = write_challenge(tmp_path, count=2)
    out, path = tmp_path / "out", pickles / "source_val.pkl"
    assert run(pickles, annotations, out).exit_code == 0
    os.utime(path, ns=(0, 0))
    result = run(pickles, annotations, out)
    assert result.exit_code == 0
    assert "holds features of source_val.pkl as it was before" in result.stderr
    last = out / DATASETS[0] / "shard-00000"
    for suffix in (".h5", ".json"):
        last.with_suffix(suffix).unlink()
    result = run(pickles, annotations, out)
    assert result.exit_code == 1
    assert "remove the folder to import them again" in result.stderr


@pytest.mark.parametrize(("protocol", "order"), [(2, "C"), (4, "C"), (2, "F"), (5, "F")])
def test_memory_is_that_of_one_array(
    tmp_path: Path, protocol: int, order: Literal["C", "F"]
) -> None:
    """And far less than that where the rows of a segment lie together."""
    count, dim = 320, 512
    pickles, annotations = write_challenge(tmp_path, count=2, dim=dim)
    ids = segment_ids("target_train", count)
    write_table(annotations, "target_train", [(name, None, None) for name in ids])
    array = np.random.default_rng(0).random((count, 25, dim), np.float32)
    features = {name: array.copy(order) for name in MODALITIES}
    content = {"features": features, "narration_ids": ids}
    (pickles / "target_train.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    del features, content
    job = EpicImport(source=pickles, annotations=annotations, out=tmp_path / "out")
    list(import_epic(replace(job, out=tmp_path / "warm")))
    tracemalloc.start()
    try:
        for folder, _ in import_epic(job):
            assert folder.exists()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    few = 8 * 2**20  # records, and the segments of a shard
    assert few < array.nbytes
    assert peak < (few if order == "C" else few + array.nbytes)
    rows = clips_of(tmp_path / "out" / DATASETS[1])[ids[7]][1]
    assert np.array_equal(rows[:, :dim], array[7][KEPT])
