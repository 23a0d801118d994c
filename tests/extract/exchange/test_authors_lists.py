"""If this breaks, features exported for the authors' program are not what it trains on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ta3n.common.records import MANIFEST_NAME, ClipRecord, Manifest, read_record
from ta3n.common.store import ShardReader, shard_path
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.extract.features_cli import main

from ...support.feature_folders import CLASSES, ROLES, MadeClip, made_clips, make_features

SMALL = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-small")


@dataclass(frozen=True, kw_only=True)
class NestedClip(MadeClip):
    """A clip in a folder of its class folder."""

    below: str

    @property
    def path(self) -> str:
        return f"{self.class_name}/{self.below}/x.avi"


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def rows_of(folder: Path, clip: ClipRecord) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with ShardReader(shard_path(folder, clip.shard)) as shard:
        return shard.rows(clip.start, range(clip.length))


def central_rows(num_frames: int, num_segments: int) -> list[int]:
    """Return the numbers of the files that their reader opens for a video (test mode).

    That is the frame in the middle of each of equal segments; a video with fewer frames than
    segments gives all of them and its last one again for the rest.
    """
    if num_frames < num_segments:
        return [min(number, num_frames) for number in range(1, num_segments + 1)]
    length = num_frames / num_segments
    return [int(length / 2 + length * segment) + 1 for segment in range(num_segments)]


def as_theirs_reads(
    file: Path, num_segments: int = 5
) -> list[tuple[str, list[int], torch.Tensor, int]]:
    """Return path, files' numbers, features [K, D] and label for each line, by their reader's rule.

    The line is cut at each blank; the path is taken as it stands, from the current folder.
    """
    videos = []
    for line in file.read_text().removesuffix("\n").split("\n"):
        path, num_frames, label = line.split(" ")
        numbers = central_rows(int(num_frames), num_segments)
        tensors = [torch.load(f"{path}/img_{number:05d}.t7") for number in numbers]
        assert not Path(path, f"img_{int(num_frames) + 1:05d}.t7").exists()
        videos.append((path, numbers, torch.stack(tensors), int(label)))
    return videos


def classes_as_theirs_reads(file: Path) -> list[str]:
    return [line.split(" ", 1)[1] for line in file.read_text().splitlines()]


def of_own_names(dataset: str) -> list[MadeClip]:
    """Return a training and a validation clip of every class, no two of one name; one is short."""
    return [
        MadeClip(class_name=name, number=label, role=role, num_frames=12 if label else 3)
        for label, name in enumerate(CLASSES[dataset])
        for role in ROLES
    ]


@pytest.mark.parametrize("frames", ["all", "segments:5"])
@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_their_reader_finds_what_the_lists_say(tmp_path: Path, dataset: str, frames: str) -> None:
    folder = tmp_path / "features"
    failed = MadeClip(class_name=CLASSES[dataset][0], number=9, role="train", status="failed")
    made = make_features(folder, dataset, [*of_own_names(dataset), failed], frames=frames)
    clips = {Path(c.path).stem: c for c in made.clips if c.status == "ok"}
    out = tmp_path / "RGB-feature"
    result = run("export", folder / dataset, "--format", "t7", "--out", out)
    assert result.exit_code == 0, result.stderr
    (class_file,) = out.glob("classInd_*.txt")  # the full benchmark has classes of no clip
    assert class_file.name == "classInd_ucf-hmdb-small.txt"
    assert classes_as_theirs_reads(class_file) == list(SMALL.class_names)
    seen = set()
    for part, role in (("train", "train"), ("val", "test")):
        for path, numbers, features, label in as_theirs_reads(
            out / f"list_{dataset}_{part}_ucf-hmdb-small-feature.txt"
        ):
            clip = clips[Path(path).name]
            assert clip.splits == {"1": role}
            assert SMALL.label_of(dataset, clip.class_name) == label
            stored = rows_of(folder / dataset, clip)
            assert np.array_equal(features.numpy(), stored[[number - 1 for number in numbers]])
            seen.add(Path(path).name)
    assert seen == clips.keys()
    assert len(seen) == 10


def test_clips_outside_the_benchmark_are_in_no_list(tmp_path: Path) -> None:
    clips = made_clips("ucf101", 1, 1)
    make_features(tmp_path, "ucf101", clips)
    out = tmp_path / "exported"
    asked = ("--benchmark", "ucf-olympic")  # of its classes only Basketball is there
    result = run("export", tmp_path / "ucf101", "--format", "t7", "--out", out, *asked)
    assert result.exit_code == 0, result.stderr
    assert "no train clip of clean_and_jerk, discus_throw" in result.stderr
    for part in ("train", "val"):
        (video,) = as_theirs_reads(out / f"list_ucf101_{part}_ucf-olympic-feature.txt")
        assert (video[0].count("Basketball"), video[3]) == (1, 0)
    assert len(classes_as_theirs_reads(out / "classInd_ucf-olympic.txt")) == 6
    assert not [*out.glob("*small*")]


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51"])
def test_the_lists_bring_the_features_back(tmp_path: Path, dataset: str) -> None:
    features = tmp_path / "features" / dataset
    one = make_features(tmp_path / "features", dataset, of_own_names(dataset))
    out = tmp_path / "exported"
    assert run("export", features, "--format", "t7", "--out", out).exit_code == 0
    lists = sorted(out.glob(f"list_{dataset}_*-feature.txt"))
    named = [word for file in lists for word in ("--lists", file)]
    back = ("--dataset", dataset, "--benchmark", SMALL.name, "--out", tmp_path / "back")
    result = run("import", out, *named, *back, "--backbone", "made-up")
    assert result.exit_code == 0, result.stderr
    other = read_record(Manifest, tmp_path / "back" / dataset / MANIFEST_NAME)
    told = [
        [(c.path, c.class_name, c.splits, c.num_frames, c.length, c.crc32) for c in each.clips]
        for each in (one, other)
    ]
    assert told[0] == told[1]


def test_files_are_of_the_form_that_their_torch_can_read(tmp_path: Path) -> None:
    """Theirs is 0.4.1; it knows no archives, which begin as zip files do."""
    make_features(tmp_path, "hmdb51", made_clips("hmdb51", 1, 1))
    out = tmp_path / "exported"
    assert run("export", tmp_path / "hmdb51", "--format", "t7", "--out", out).exit_code == 0
    files = list(out.rglob("*.t7"))
    assert len(files) == 50
    assert not [file for file in files if file.read_bytes().startswith(b"PK")]


def test_a_folder_that_is_to_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_features(tmp_path, "hmdb51", made_clips("hmdb51", 1, 1))
    out = tmp_path / "exported"
    place = "dataset/hmdb51/RGB-feature"
    asked = ("--benchmark", SMALL.name, "--list-root", f"{place}/")
    assert run("export", tmp_path / "hmdb51", "--format", "t7", "--out", out, *asked).exit_code == 0
    (tmp_path / place).parent.mkdir(parents=True)
    out.rename(tmp_path / place)
    monkeypatch.chdir(tmp_path)
    videos = as_theirs_reads(Path(place, "list_hmdb51_val_ucf-hmdb-small-feature.txt"))
    assert len(videos) == 5
    assert all(path.startswith(f"{place}/") for path, *_ in videos)


def nested(*below: str) -> Sequence[NestedClip]:
    return [
        NestedClip(class_name="golf", number=n, role="train", below=b) for n, b in enumerate(below)
    ]


def test_clips_of_one_name_keep_their_folders_in_it(tmp_path: Path) -> None:
    one = make_features(tmp_path / "one", "hmdb51", nested("a", "b/c"))
    out = tmp_path / "exported"
    asked = ("--format", "t7", "--benchmark", SMALL.name, "--out", out)
    assert run("export", tmp_path / "one" / "hmdb51", *asked).exit_code == 0
    file = out / "list_hmdb51_train_ucf-hmdb-small-feature.txt"
    videos = as_theirs_reads(file)
    assert [Path(path).name for path, *_ in videos] == ["golf__a__x", "golf__b__c__x"]
    for clip, (_, _, features, _) in zip(one.clips, videos, strict=True):
        assert np.array_equal(features.numpy(), rows_of(tmp_path / "one" / "hmdb51", clip))
    back = ("--lists", out / "train.txt", "--out", tmp_path / "back", "--backbone", "made-up")
    result = run("import", out, "--dataset", "hmdb51", *back)
    assert result.exit_code == 0, result.stderr
    other = read_record(Manifest, tmp_path / "back" / "hmdb51" / MANIFEST_NAME)
    assert [c.crc32 for c in one.clips] == [c.crc32 for c in other.clips]


def test_names_that_stay_equal_are_refused_in_a_line(tmp_path: Path) -> None:
    make_features(tmp_path, "hmdb51", nested("a/b", "a__b"))
    out = tmp_path / "exported"
    result = run("export", tmp_path / "hmdb51", "--format", "npy", "--out", out)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "would both be 'golf__a__b__x'; rename one of the clips" in result.stderr
    assert not out.exists()


def test_a_blank_in_a_path_is_told(tmp_path: Path) -> None:
    """Their reader would take what comes after it for the number of frames."""
    make_features(tmp_path, "hmdb51", made_clips("hmdb51", 1, 1))
    asked = ("export", tmp_path / "hmdb51", "--format", "t7", "--out", tmp_path / "my features")
    result = run(*asked, "--benchmark", SMALL.name)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "has a blank in it, at which the authors' program ends a path" in result.stderr
    assert not (tmp_path / "my features").exists()
    # Nobody asked for these lists: the rest is written.
    assert run(*asked).exit_code == 0
    assert (tmp_path / "my features" / "train.txt").exists()
    assert not [*(tmp_path / "my features").glob("list_*")]


@pytest.mark.parametrize(
    ("form", "more", "told"),
    [
        ("npy", ("--benchmark", "ucf-hmdb-small"), "are for the lists of --format t7"),
        ("t7", ("--benchmark", "ucf-olympic"), "does not hold dataset 'hmdb51'"),
        ("t7", ("--benchmark", "ucf-hmdb-smal"), "did you mean 'ucf-hmdb-small'?"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, form: str, more: tuple[str, ...], told: str) -> None:
    make_features(tmp_path, "hmdb51", made_clips("hmdb51", 1, 1))
    out = tmp_path / "exported"
    result = run("export", tmp_path / "hmdb51", "--format", form, "--out", out, *more)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert not out.exists()
