"""The rendered benchmark must be real video files, and the same ones whatever happened before."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from ta3n.common.errors import DataConflictError, DataMissingError, Ta3nError, UsageError
from ta3n.common.files import sha256_of_file
from ta3n.datasets.reading.base import Dataset
from ta3n.datasets.synthetic.dataset import (
    SYNTHETIC_A,
    SYNTHETIC_B,
    SYNTHETIC_C,
    SYNTHETIC_LABELS,
)
from ta3n.datasets.synthetic.generate import (
    clip_names,
    draw_scene,
    generate,
    render,
    write_clip,
)
from ta3n.datasets.synthetic.looks import LOOKS, Domain
from ta3n.datasets.synthetic.motions import MOTIONS

OneLine = Callable[[pytest.ExceptionInfo[Ta3nError]], str]
DOMAINS: tuple[Domain, ...] = ("a", "b", "c")
NUM_TRAIN, NUM_TEST = 1, 1
NUM_CLIPS = len(MOTIONS) * (NUM_TRAIN + NUM_TEST)


def _generate(root: Path, domain: Domain, *, seed: int = 3, train: int = NUM_TRAIN) -> None:
    generate(
        root,
        domain=domain,
        seed=seed,
        clips_per_class_train=train,
        clips_per_class_test=NUM_TEST,
        jobs=1,
    )


def _generate_long_tail(root: Path, domain: Domain, *, train: int = NUM_TRAIN) -> None:
    generate(
        root,
        domain=domain,
        seed=3,
        clips_per_class_train=train,
        clips_per_class_test=NUM_TEST,
        class_frequencies="long-tail",
        jobs=1,
    )


def _hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): sha256_of_file(path) for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[Domain, Path]:
    """Return the folder of each domain; tests only read it."""
    base = tmp_path_factory.mktemp("synthetic")
    for domain in DOMAINS:
        _generate(base / domain, domain)
    return {domain: base / domain for domain in DOMAINS}


@pytest.mark.parametrize("domain", DOMAINS)
def test_clips_are_videos_with_all_their_frames(made: dict[Domain, Path], domain: Domain) -> None:
    look = LOOKS[domain]
    sizes = set()
    for name in clip_names(domain, "train", NUM_TRAIN):
        motion = MOTIONS[name.motion]
        scene = draw_scene(3, domain, motion, name.group, name.clip)
        with av.open(str(made[domain] / name.path)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == look.frame_rate
            assert sum(1 for _ in container.decode(stream)) == scene.num_frames
            sizes.add((stream.width, stream.height))
            assert (stream.width, stream.height) == (scene.size.width_px, scene.size.height_px)
    assert (161, 121) in sizes


def test_the_domains_have_a_container_and_a_codec_each(made: dict[Domain, Path]) -> None:
    seen = set()
    for root in made.values():
        path = next(path for path in root.glob("Grow/*"))
        with av.open(str(path)) as container:
            seen.add((path.suffix, container.streams.video[0].codec_context.name))
    assert seen == {(".avi", "mpeg4"), (".mp4", "h264"), (".mov", "mjpeg")}


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_seed_gives_the_same_bytes_in_any_order(
    made: dict[Domain, Path], domain: Domain, tmp_path: Path
) -> None:
    """Also one by one, last first, and whatever the number of clips."""
    names = [*clip_names(domain, "test", 1), *clip_names(domain, "train", NUM_TRAIN)]
    for name in names[::-5]:
        write_clip(tmp_path, name, seed=3)
    made_once = _hashes(made[domain])
    made_again = _hashes(tmp_path)
    assert made_again.items() <= made_once.items()
    assert len(made_again) == len(names[::-5])


def test_more_processes_give_the_same_files(made: dict[Domain, Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    generate(
        tmp_path,
        domain="a",
        seed=3,
        clips_per_class_train=NUM_TRAIN,
        clips_per_class_test=NUM_TEST,
        jobs=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert _hashes(tmp_path) == _hashes(made["a"])
    assert seen == [(done, NUM_CLIPS) for done in range(1, NUM_CLIPS + 1)]


def test_a_rerun_writes_what_is_missing_and_nothing_else(
    made: dict[Domain, Path], tmp_path: Path
) -> None:
    shutil.copytree(made["a"], tmp_path, dirs_exist_ok=True)
    victim, *others = sorted(tmp_path.glob("*/*.avi"))
    victim.unlink()
    (tmp_path / "splits" / "testlist01.txt").unlink()
    stray = victim.with_name(f".{victim.name}.01234567-1-89abcdef.tmp")
    stray.write_bytes(b"half a clip")
    os.utime(stray, (0, 0))
    recent = stray.with_name(f".{victim.name}.01234567-2-89abcdef.tmp")
    recent.write_bytes(b"of a run beside this one")
    before = {path: path.stat().st_mtime_ns for path in others}
    _generate(tmp_path, "a")
    assert {path: path.stat().st_mtime_ns for path in others} == before
    assert recent.exists()
    recent.unlink()
    assert _hashes(tmp_path) == _hashes(made["a"])


def test_a_killed_run_leaves_only_whole_clips_and_can_go_on(
    made: dict[Domain, Path], tmp_path: Path
) -> None:
    code = (
        "import os, pathlib\n"
        "from ta3n.datasets.synthetic.generate import generate\n"
        "def kill(done, total):\n"
        "    if done == 5: os.kill(os.getpid(), 9)\n"
        f"generate(pathlib.Path({str(tmp_path)!r}), domain='b', seed=3, jobs=1,\n"
        f"    clips_per_class_train={NUM_TRAIN}, clips_per_class_test={NUM_TEST}, progress=kill)\n"
    )
    run = subprocess.run([sys.executable, "-P", "-c", code], check=False, cwd=tmp_path)
    assert run.returncode == -9
    assert 5 <= len(list(tmp_path.glob("*/*.mp4"))) < NUM_CLIPS
    with pytest.raises(DataMissingError, match="no official splits"):
        SYNTHETIC_B.scan(tmp_path)
    _generate(tmp_path, "b")
    assert _hashes(tmp_path) == _hashes(made["b"])


@pytest.mark.parametrize(
    ("change", "named"), [({"seed": 4}, "seed 3"), ({"train": 3}, "'train': 1")]
)
def test_a_folder_made_otherwise_is_refused_and_left_alone(
    made: dict[Domain, Path], change: dict[str, int], named: str, one_line: OneLine
) -> None:
    before = _hashes(made["a"])
    with pytest.raises(DataConflictError, match=named) as caught:
        _generate(made["a"], "a", **change)
    one_line(caught)
    assert _hashes(made["a"]) == before


def test_other_class_frequencies_in_a_folder_are_refused(
    made: dict[Domain, Path], one_line: OneLine
) -> None:
    """Also where the record is of a time without the choice: such folders are balanced."""
    record = made["a"] / "synthetic.json"
    before = record.read_bytes()
    old = json.loads(before)
    del old["class_frequencies"]
    for text in (before, json.dumps(old).encode()):
        record.write_bytes(text)
        _generate(made["a"], "a")
        with pytest.raises(DataConflictError, match="class_frequencies balanced") as caught:
            _generate_long_tail(made["a"], "a")
        one_line(caught)
    record.write_bytes(before)


def test_the_other_domain_in_a_folder_is_refused(
    made: dict[Domain, Path], one_line: OneLine
) -> None:
    with pytest.raises(DataConflictError, match="domain a") as caught:
        _generate(made["a"], "b")
    one_line(caught)
    with pytest.raises(DataConflictError, match="holds synthetic-a") as caught:
        SYNTHETIC_B.scan(made["a"])
    one_line(caught)


@pytest.mark.parametrize("record", ["{", "[]"])
def test_an_unreadable_record_is_named(tmp_path: Path, record: str, one_line: OneLine) -> None:
    (tmp_path / "synthetic.json").write_text(record)
    with pytest.raises(DataConflictError, match=r"synthetic\.json") as caught:
        _generate(tmp_path, "a")
    one_line(caught)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"train": 0}, {"train": 1000}])
def test_senseless_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        _generate(tmp_path / "new", "a", **wrong)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("domain", "dataset"), [("a", SYNTHETIC_A), ("b", SYNTHETIC_B), ("c", SYNTHETIC_C)]
)
def test_a_domain_is_a_dataset_like_any_other(
    made: dict[Domain, Path], domain: Domain, dataset: Dataset
) -> None:
    listing = dataset.scan(made[domain])
    assert set(listing.classes) == set(SYNTHETIC_LABELS)
    assert len(listing.clips) == NUM_CLIPS
    assert not listing.absent
    train = [clip for clip in listing.clips if clip.splits.get("1") == "train"]
    test = [clip for clip in listing.clips if clip.splits.get("1") == "test"]
    assert (len(train), len(test)) == (12 * NUM_TRAIN, 12 * NUM_TEST)


def test_no_group_is_trained_and_tested_on() -> None:
    groups = {
        role: {(name.motion, name.group) for name in clip_names("a", role, 40)}
        for role in ("train", "test")
    }
    assert groups["train"].isdisjoint(groups["test"])
    assert len(groups["train"]) == 12 * 10


def test_more_clips_keep_the_ones_that_were_there() -> None:
    assert set(clip_names("b", "train", 5)) < set(clip_names("b", "train", 9))


def test_long_tails_of_two_domains_have_other_heads() -> None:
    counts = {
        domain: Counter(name.motion for name in clip_names(domain, "train", 40, "long-tail"))
        for domain in DOMAINS
    }
    a, b, c = ([counts[domain][motion] for motion in range(12)] for domain in DOMAINS)
    assert a == [40, 32, 26, 21, 17, 14, 11, 9, 7, 6, 5, 4]
    assert b == a[::-1]
    assert sorted(c) == sorted(a)
    assert abs(np.corrcoef(a, c)[0, 1]) < 0.5
    assert abs(np.corrcoef(b, c)[0, 1]) < 0.5


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_long_tail_is_a_part_of_the_balanced_clips_and_is_tested_on_the_same(
    domain: Domain,
) -> None:
    tail = set(clip_names(domain, "train", 9, "long-tail"))
    assert tail < set(clip_names(domain, "train", 9))
    assert {name.motion for name in tail} == set(range(12))
    test = list(clip_names(domain, "test", 5))
    assert list(clip_names(domain, "test", 5, "long-tail")) == test


def test_a_long_tail_has_the_bytes_of_the_balanced_clips(
    made: dict[Domain, Path], tmp_path: Path
) -> None:
    _generate_long_tail(tmp_path, "c", train=2)
    balanced, tail = _hashes(made["c"]), _hashes(tmp_path)
    common = {path for path in balanced.keys() & tail.keys() if path.endswith(".mov")}
    assert len(common) == NUM_CLIPS
    assert all(balanced[path] == tail[path] for path in common)
    listing = SYNTHETIC_C.scan(tmp_path)
    assert not listing.left_out, "the folder of the lists holds none of the clips"
    train = Counter(clip.class_name for clip in listing.clips if clip.splits["1"] == "train")
    assert (train["Fall"], train["Split"]) == (2, 1)


# Of the seed 3. Bytes are those of FFmpeg's encoders, so the pixels are held before them.
_PIXELS: dict[Domain, str] = {
    "a": "26d18ce4a989e426",
    "b": "f5b68c25edb6532c",
    "c": "e01138283cd75e54",
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_a_seed_gives_stays_what_it_was(domain: Domain) -> None:
    """Whoever changes it has to raise GENERATOR_VERSION, and to measure all figures again."""
    digest = hashlib.sha256()
    for motion in MOTIONS[::3]:
        scene = draw_scene(3, domain, motion, 1, 1)
        for frame in list(render(scene, motion, LOOKS[domain]))[::8]:
            digest.update(frame.tobytes())
    assert digest.hexdigest()[:16] == _PIXELS[domain]
