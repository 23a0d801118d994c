"""If this breaks, published features cannot be trained on, or are of the wrong videos."""

import csv
import errno
import os
import shutil
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.common.store import ShardReader, shard_path
from ta3n.datasets.benchmarks.registry import BUILT_IN_CATALOGUE
from ta3n.extract.exchange import exporting
from ta3n.extract.exchange.feature_files import write_array, write_frames
from ta3n.extract.features_cli import main

from ...support.feature_folders import MadeClip, make_features
from ...support.videos import WriteClip

NAMES = {
    "Film_golf_f_cm_np1_ba_bad_0": ("golf", "train"),
    "Other_klettern_pullup_f_cm_np1_ba_bad_1": ("pullup", "train"),
    "Third_golf_f_cm_np1_ba_bad_2": ("golf", "val"),
}
"""Names as published, with class and part."""

MADE = ("--backbone", "made-up")
"""Theirs have 2048 values a frame, which is more than a test needs."""

NUMBERED = ("--dataset", "hmdb", "--benchmark", "ucf-hmdb-small", "--lists")

CLASS_OF_LABEL = {"0": "golf", "1": "pullup"}


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def rows(number: int, length: int = 7) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(number).normal(size=(length, 5)).astype(np.float32)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Return a folder as the authors published theirs, with lists beside it."""
    folder = tmp_path / "hmdb51" / "RGB-feature"
    labels = {class_name: label for label, class_name in CLASS_OF_LABEL.items()}
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for number, (name, (class_name, part)) in enumerate(NAMES.items()):
        write_frames(rows(number), folder / name)
        lists[part].append(f"dataset/hmdb51/RGB-feature/{name} 7 {labels[class_name]}\n")
    for part, lines in lists.items():
        (tmp_path / f"list_hmdb51_{part}.txt").write_text("".join(lines))
    return folder


def by_lists(published: Path, *more: object) -> Result:
    lists = [published.parents[1] / f"list_hmdb51_{part}.txt" for part in ("train", "val")]
    named = ("--lists", lists[0], "--lists", lists[1], "--benchmark", "ucf-hmdb-small")
    out = published.parents[1] / "features"
    return run("import", published, "--dataset", "hmdb", *named, "--out", out, *MADE, *more)


def manifest(folder: Path) -> Manifest:
    return read_record(Manifest, folder / MANIFEST_NAME)


def test_published_features_become_a_sound_folder(published: Path, tmp_path: Path) -> None:
    result = by_lists(published)
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "features" / "hmdb51"
    clips = {clip.path: clip for clip in manifest(folder).clips}
    first = clips["golf/Film_golf_f_cm_np1_ba_bad_0.avi"]
    assert (first.class_name, first.splits, first.status) == ("golf", {"1": "train"}, "ok")
    assert (first.num_frames, first.declared_frames, first.length) == (7, 7, 7)
    assert run("verify", folder).stdout == f"{folder}: sound\n"
    with ShardReader(shard_path(folder, first.shard)) as shard:
        assert np.array_equal(shard.rows(first.start, range(7)), rows(0))
    assert by_lists(published).exit_code == 0  # again, nothing is left to do


def test_damaged_and_short_videos_are_told(published: Path, tmp_path: Path) -> None:
    first, second, third = (published / name for name in NAMES)
    (first / "img_00002.t7").write_bytes(b"damaged")
    (second / "img_00007.t7").unlink()
    shutil.rmtree(third)
    write_frames(rows(9), published / "Stranger_golf_f_cm_np1_ba_bad_0")
    result = by_lists(published, "--max-failures", 0)
    assert result.exit_code == 3
    assert "1 videos in" in result.stderr
    assert "Stranger_golf" in result.stderr
    found = manifest(tmp_path / "features" / "hmdb51")
    told = {clip.class_name: (clip.status, clip.error) for clip in found.clips}
    assert told["golf"][0] == "failed"
    assert told["golf"][1].startswith("img_00002.t7 cannot be read: ")
    assert told["pullup"] == ("partial", "6 of the 7 frames that the list declares")
    assert [clip.path for clip in found.absent] == ["golf/Third_golf_f_cm_np1_ba_bad_2"]


def test_official_splits_give_the_names_that_were_changed(published: Path, tmp_path: Path) -> None:
    splits = tmp_path / "splits"
    splits.mkdir()
    (splits / "pullup_test_split1.txt").write_text(
        "Other_(klettern)_pullup_f_cm_np1_ba_bad_1.avi 2 \n"
    )
    out = tmp_path / "features"
    named = ("--dataset", "hmdb51", "--splits", splits)
    result = run("import", published, *named, "--out", out, *MADE)
    assert result.exit_code == 0, result.stderr
    (clip,) = manifest(out / "hmdb51").clips
    assert clip.path == "pullup/Other_(klettern)_pullup_f_cm_np1_ba_bad_1.avi"
    assert clip.splits == {"1": "test"}


def test_features_of_a_ratio_keep_their_split_until_another_is_asked_for(
    published: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    """More features are added; another split is refused in one line, which says what takes it."""
    for number in range(6):
        write_clip(tmp_path / "mine" / "golf" / f"take{number}.avi", 8, seed=number)
        if number < 4:
            write_frames(rows(number), published / f"take{number}")
    settings, out = tmp_path / "mine.toml", tmp_path / "features"

    def imported(seed: int, *more: object) -> Result:
        table = f'[datasets.mine]\nroot = "mine"\nval_ratio = 0.5\nseed = {seed}\n'
        settings.write_text(table)
        named = ("--dataset", "mine", "--root", tmp_path / "mine", "--config", settings)
        return run("import", published, *named, "--out", out, *MADE, *more)

    def splits() -> dict[str, object]:
        return {clip.path: clip.splits for clip in manifest(out / "mine").clips}

    assert imported(0).exit_code == 0
    first = splits()
    write_frames(rows(4), published / "take4")
    assert imported(0).exit_code == 0
    grown = splits()
    assert (len(first), len(grown)) == (4, 5)
    assert first.items() <= grown.items()
    refused = imported(1)
    assert (refused.exit_code, refused.stdout) == (1, "")
    line = refused.stderr.splitlines()[-1]
    assert "clips are in another split" in line
    assert "--new-splits takes these" in line
    assert splits() == grown
    assert imported(1, "--new-splits").exit_code == 0
    assert splits() != grown
    assert run("verify", out / "mine").exit_code == 0


def test_features_replaced_before_they_were_imported_are_taken(
    published: Path, tmp_path: Path
) -> None:
    """An import was killed before its first shard, while the files were still being copied."""
    name = next(iter(NAMES))
    shutil.move(published / name / "img_00007.t7", tmp_path)
    assert by_lists(published).exit_code == 0
    folder = tmp_path / "features" / "hmdb51"
    for path in (*folder.glob("shard-*"), folder / MANIFEST_NAME):
        path.unlink()
    shutil.move(tmp_path / "img_00007.t7", published / name)
    for _ in range(2):
        result = by_lists(published)
        assert result.exit_code == 0, result.stderr
        assert [clip.length for clip in manifest(folder).clips] == [7, 7, 7]
        assert run("verify", folder).stdout == f"{folder}: sound\n"


@pytest.mark.parametrize("form", ["t7", "npy"])
def test_what_is_exported_comes_back_in_the_same_bits(
    published: Path, tmp_path: Path, form: str
) -> None:
    by_lists(published)
    features = tmp_path / "features" / "hmdb51"
    out = tmp_path / "exported"
    result = run("export", features, "--format", form, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("3 videos")
    lists = ("--lists", out / "train.txt", "--lists", out / "val.txt")
    back = run("import", out, "--dataset", "hmdb51", *lists, "--out", tmp_path / "back")
    assert back.exit_code == 0, back.stderr
    one, other = manifest(features), manifest(tmp_path / "back" / "hmdb51")
    assert one.content_hash == other.content_hash
    assert (other.config.backbone, other.config.weights) == ("made-up", "imported:published")
    again = run("export", features, "--format", form, "--out", out)
    assert (again.exit_code, "is not empty" in again.stderr) == (1, True)


def test_a_list_is_for_what_the_words_of_its_name_say(tmp_path: Path) -> None:
    """A dataset's or benchmark's own name stands in it too; all would be trained on."""
    clips = [MadeClip(class_name="golf", number=n, role="test") for n in range(2)]
    make_features(tmp_path / "made", "hmdb51", clips)
    out = tmp_path / "exported"
    exported = ("export", tmp_path / "made" / "hmdb51", "--format", "npy", "--out", out)
    assert run(*exported).exit_code == 0
    named = (out / "val.txt").rename(out / "list_trains_val_my-strains-feature.txt")
    into = ("--out", tmp_path / "back", *MADE)
    back = run("import", out, "--dataset", "hmdb51", "--lists", named, *into)
    assert back.exit_code == 0, back.stderr
    assert [c.splits for c in manifest(tmp_path / "back" / "hmdb51").clips] == [{"1": "test"}] * 2


def test_sampled_frames_come_back_as_what_they_are(tmp_path: Path) -> None:
    """Five rows of a long clip are not a clip of five frames."""
    folder = tmp_path / "made"
    clips = [MadeClip(class_name="golf", number=n, role="train", num_frames=40) for n in range(2)]
    made = make_features(folder, "hmdb51", clips)
    out = tmp_path / "exported"
    assert run("export", folder / "hmdb51", "--format", "npy", "--out", out).exit_code == 0
    named = ("--dataset", "hmdb51", "--lists", out / "train.txt", *MADE)
    back = run("import", out, *named, "--out", tmp_path / "back")
    assert back.exit_code == 0, back.stderr
    found = manifest(tmp_path / "back" / "hmdb51")
    assert (found.config.frames, found.config.weights) == ("segments:5", "imported:random:0")
    assert [(c.num_frames, c.length) for c in found.clips] == [(40, 5), (40, 5)]
    one, other = (
        ShardReader(shard_path(path, made.clips[0].shard)).frames
        for path in (folder / "hmdb51", tmp_path / "back" / "hmdb51")
    )
    assert one.tolist() == other.tolist()
    # A row less is not what was exported.
    name = next(out.glob("*_00.npy"))
    np.save(name, np.load(name)[:4])
    cut = run("import", out, *named, "--out", tmp_path / "cut")
    assert "has 4 frames with features; frames segments:5 of 40 are 5" in cut.stderr


def test_features_of_another_width_than_the_named_network_are_refused(published: Path) -> None:
    result = by_lists(published, "--backbone", "resnet101")
    assert result.exit_code == 1
    assert "have 5 values a frame, but resnet101 gives 2048; say what made them" in result.stderr


def test_a_split_that_is_not_there_is_refused(published: Path, tmp_path: Path) -> None:
    by_lists(published)
    features, out = tmp_path / "features" / "hmdb51", tmp_path / "exported"
    result = run("export", features, "--format", "npy", "--out", out, "--split", "9")
    assert (result.exit_code, "has no split 9; it has 1" in result.stderr) == (2, True)
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("--dataset", "hmdb"), 2, "give --lists, --splits"),
        (("--dataset", "hmd"), 2, "did you mean 'hmdb'?"),
        (("--dataset", "hmdb", "--splits", "."), 1, "no split files of hmdb51"),
        (("--dataset", "hmdb", "--splits", "~no-such-user"), 1, "no split files of hmdb51"),
        (("--dataset", "hmdb", "--lists", "videos.txt"), 2, "must hold train or val"),
        (("--dataset", "hmdb", "--lists", "val_of_train.txt"), 2, "train or val, not both"),
        (("--dataset", "hmdb", "--lists", "train.txt"), 2, "give --benchmark, which names it"),
        (("--dataset", "hmdb", "--lists", "train_other.txt"), 1, "no features of the 1 videos"),
        (("--dataset", "hmdb", "--lists", "train_twice.txt"), 1, "'a' is listed before, with"),
        (("--dataset", "hmdb", "--lists", "train_empty.txt"), 1, "no clip of hmdb51 is listed in"),
        ((*NUMBERED, "train_high.txt"), 2, "label 5 is of no class of ucf-hmdb-small (labels cou"),
        ((*NUMBERED, "train_other_label.txt"), 1, "label 0 is golf of ucf-hmdb-small, but 'x/a_pu"),
        (
            (*NUMBERED, "train_other_folder.txt"),
            1,
            "label 1 is pullup of ucf-hmdb-small, but 'gol",
        ),
    ],
)
def test_mistakes_are_told(
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("videos.txt").write_text("a 7 0\n")
    Path("train.txt").write_text("a 7 0\n")
    Path("val_of_train.txt").write_text("a 7 golf\n")
    Path("train_other.txt").write_text("a 7 golf\n")
    Path("train_twice.txt").write_text("a 7 golf\na 7 wave\n")
    Path("train_empty.txt").write_text("\n")
    Path("train_high.txt").write_text("a 7 5\n")
    Path("train_other_label.txt").write_text("x/a_pullup_f 7 0\n")
    Path("train_other_folder.txt").write_text("golf/a 7 1\n")
    result = run("import", published, *args)
    assert result.exit_code == code
    assert told in result.stderr
    assert not Path("features").exists()


def test_half_an_export_is_not_left_behind(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be taken for the features of fewer videos, or keep the next export from its name."""
    by_lists(published)
    features, out = tmp_path / "features" / "hmdb51", tmp_path / "exported"
    before = sorted(tmp_path.iterdir())
    made: list[Path] = []

    def until_full(values: Any, file: Path) -> None:
        if made:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_array(values, file)
        made.append(file)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "write_array", until_full)
        result = run("export", features, "--format", "npy", "--out", out)
    assert result.exit_code == 1
    assert f"No space left on device: {tmp_path}" in result.stderr
    assert (len(made), sorted(tmp_path.iterdir())) == (1, before)
    out.mkdir()
    assert run("export", features, "--format", "npy", "--out", out).exit_code == 0
    assert len(list(out.glob("*.npy"))) == 3


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Return a list of four videos, two of which have one name."""
    lines = ("golf/a.mp4", "golf/b.mp4", "Pull ups/a.mp4", "Pull ups/\u00e9.mp4")
    rows_of = [f"{line},{line.partition('/')[0]},train\n" for line in lines]
    (tmp_path / "list.csv").write_text("path,class,split\n" + "".join(rows_of))
    return tmp_path / "list.csv"


def by_list(listed: Path, source: Path, *more: object) -> Result:
    named = ("--dataset", "hmdb", "--lists", listed, "--out", listed.parent / "features")
    return run("import", source, *named, *MADE, *more)


def values_of(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    found = {}
    for clip in manifest(folder).clips:
        with ShardReader(shard_path(folder, clip.shard)) as shard:
            found[clip.path] = shard.rows(clip.start, range(clip.length))
    return found


LISTED = ("golf/a", "golf/b", "Pull ups/a", "Pull ups/\u00e9")


def test_folders_of_classes_tell_videos_of_one_name_apart(tmp_path: Path, listed: Path) -> None:
    for number, name in enumerate(LISTED):
        # The accent as a Mac writes it.
        written = unicodedata.normalize("NFD", name.replace("Pull ups/\u00e9", "Pull ups/\u00c9"))
        write_array(rows(number), tmp_path / "arrays" / f"{written}.npy")
    result = by_list(listed, tmp_path / "arrays")
    assert result.exit_code == 0, result.stderr
    assert "1 names are spelled otherwise: '\u00e9' is 'E\u0301'" in result.stderr
    found = values_of(tmp_path / "features" / "hmdb51")
    assert {*found} == {f"{name}.avi" for name in LISTED}
    for number, name in enumerate(LISTED):
        assert np.array_equal(found[f"{name}.avi"], rows(number))


def test_videos_of_one_name_need_folders(tmp_path: Path, listed: Path) -> None:
    write_array(rows(0), tmp_path / "arrays" / "a.npy")
    result = by_list(listed, tmp_path / "arrays")
    assert result.exit_code == 1
    assert "2 videos are called 'a', such as 'golf/a.avi'" in result.stderr
    assert not (tmp_path / "features").exists()


def test_what_follows_names_is_told_and_left_out(tmp_path: Path, listed: Path) -> None:
    for number, ending in enumerate(("_rgb", "_flow")):
        write_array(rows(number), tmp_path / "arrays" / f"b{ending}.npy")
    result = by_list(listed, tmp_path / "arrays")
    assert result.exit_code == 1
    assert "such as 'b_flow'; if that is 'b', give --ending '_flow'" in result.stderr
    assert by_list(listed, tmp_path / "arrays", "--ending", "_rgb").exit_code == 0
    found = values_of(tmp_path / "features" / "hmdb51")
    assert np.array_equal(found["golf/b.avi"], rows(0))


def test_features_x_frames_are_not_taken_for_frames(tmp_path: Path, listed: Path) -> None:
    """Each video would have as many frames as there are values, of as many values as frames."""
    for number, name in enumerate(LISTED):
        write_array(rows(number, 7 + number).T.copy(), tmp_path / "arrays" / f"{name}.npy")
    result = by_list(listed, tmp_path / "arrays")
    assert result.exit_code == 1
    told = "the first 4 videos have 5 rows of 9, 10, 7 and 1 more values: they seem to be features"
    assert told in result.stderr
    assert "give --transposed" in result.stderr
    assert by_list(listed, tmp_path / "arrays", "--transposed").exit_code == 0
    found = values_of(tmp_path / "features" / "hmdb51")
    assert all(np.array_equal(found[f"{n}.avi"], rows(i, 7 + i)) for i, n in enumerate(LISTED))
    for name in LISTED:
        write_array(np.zeros((512, 7), np.float32), tmp_path / "same" / f"{name}.npy")
    result = by_list(listed, tmp_path / "same", "--out", tmp_path / "other")
    assert "512 rows of 7 values; if these are features x frames, give --transp" in result.stderr


def test_a_video_of_another_width_is_told_if_it_is_the_first(tmp_path: Path, listed: Path) -> None:
    for number, name in enumerate(LISTED):
        values = rows(number, 7 + number)
        write_array(values[:, : 4 if number == 2 else 5], tmp_path / "arrays" / f"{name}.npy")
    assert by_list(listed, tmp_path / "arrays").exit_code == 0
    clips = manifest(tmp_path / "features" / "hmdb51").clips
    assert [clip.status for clip in clips] == ["failed", "ok", "ok", "ok"]


def test_files_that_were_replaced_are_not_taken_for_those_before(
    tmp_path: Path, listed: Path
) -> None:
    arrays = tmp_path / "arrays"
    for number, name in enumerate(LISTED):
        write_array(rows(number), arrays / f"{name}.npy")
    assert by_list(listed, arrays).exit_code == 0
    for file in arrays.rglob("*.npy"):
        os.utime(file, ns=(1, 1))  # copied: the same bytes
    assert by_list(listed, arrays).exit_code == 0
    write_array(rows(9), arrays / "golf" / "b.npy")
    result = by_list(listed, arrays)
    assert result.exit_code == 1
    assert "holds other features of 1 videos than there are now (golf/b.avi)" in result.stderr


def test_another_entry_is_not_taken_for_the_one_before(tmp_path: Path, listed: Path) -> None:
    (tmp_path / "arrays").mkdir()
    np.savez(tmp_path / "arrays" / "b.npz", rgb=rows(0), flow=rows(1))
    assert by_list(listed, tmp_path / "arrays", "--key", "rgb").exit_code == 0
    found = values_of(tmp_path / "features" / "hmdb51")
    assert np.array_equal(found["golf/b.avi"], rows(0))
    result = by_list(listed, tmp_path / "arrays", "--key", "flow")
    assert result.exit_code == 1
    assert "their files were replaced, or are read by other options" in result.stderr


@pytest.mark.shared
def test_all_published_videos_are_matched(shared: Path, tmp_path: Path) -> None:
    """Every published name of HMDB51, with its official class and split, and its frame count."""
    with (shared / "lists" / "ucf-hmdb-full.csv").open(newline="") as file:
        wanted = [row for row in csv.DictReader(file) if row["dataset"] == "hmdb51"]
    for row in wanted:
        values = np.zeros((int(row["published_frames"]), 1), np.float32)
        write_array(values, tmp_path / "arrays" / f"{row['video']}.npy")
    common = ("import", tmp_path / "arrays", "--dataset", "hmdb51", *MADE)
    benchmark = BUILT_IN_CATALOGUE.benchmark("ucf-hmdb-full")
    listed = (*common, "--lists", shared / "lists" / "ucf-hmdb-full.csv", "--benchmark")
    assert run(*listed, benchmark.name, "--out", tmp_path / "one").exit_code == 0
    splits = ("--splits", shared / "splits" / "hmdb51", "--out", tmp_path / "two")
    assert run(*common, *splits).exit_code == 0
    expected = Counter((row["split"], int(row["label"])) for row in wanted)
    frames = sum(int(row["published_frames"]) for row in wanted)
    for name in ("one", "two"):
        found = manifest(tmp_path / name / "hmdb51")
        assert found.status_counts() == {"ok": 1200}
        assert sum(clip.length for clip in found.clips) == frames
        places = [benchmark.place_of("hmdb51", c.class_name, c.splits) for c in found.clips]
        assert Counter((p.role, p.label) for p in places if p) == expected
