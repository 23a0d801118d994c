"""If this breaks, features of a long video's sections are lost, or those of other frames."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ta3n.common.records import Manifest, read_plan, read_record
from ta3n.common.store import Features
from ta3n.common.video import Frame, VideoReader, write_video
from ta3n.extract.cli import main
from ta3n.extract.features_cli import main as features
from ta3n.extract.inspect.show import read_sampled
from ta3n.extract.worker import work

from ...support.extraction import FAULTY, rows_of, set_faults
from ...support.tiny import without_network
from ...support.videos import moving_square

LENGTHS = {"long1": (9, 4, 12), "long2": (6, 7)}
LINE = (
    "--backbone", "resnet18", "--weights", "random:0", "--device", "cpu", "--batch-size", "4",
    "--decode-threads", "2",
)  # fmt: skip
ALONE = ("--no-supervise",)


def write(path: Path, videos: Sequence[tuple[int, int]]) -> None:
    """Write clips, of a length and a seed each, one behind the other."""
    path.parent.mkdir(exist_ok=True)
    every = [frame for length, seed in videos for frame in moving_square(length, 96, 64, seed)]
    write_video(path, every, frame_rate=25, codec="ffv1", pixel_format="bgr0")


@pytest.fixture
def rows_in_list() -> list[str]:
    """Return the rows of a list: each clip of which a long video is joined, as a section."""
    rows = []
    for video, lengths in LENGTHS.items():
        start = 1
        for number, length in enumerate(lengths):
            role = "val" if video == "long2" else "train"
            name = "wave" if number % 2 else "turn"
            rows.append(f"{video}-{number},{video}.mkv,{name},{role},{start},{start + length - 1}")
            start += length
    return rows


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_in_list: list[str]) -> Path:
    """Return a folder with a dataset `long` of sections, and `short` of the same clips alone."""
    without_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    seed = 0
    short = []
    for video, lengths in LENGTHS.items():
        clips = [(length, seed + number) for number, length in enumerate(lengths)]
        seed += len(lengths)
        write(tmp_path / "long" / f"{video}.mkv", clips)
        for number, clip in enumerate(clips):
            write(tmp_path / "short" / f"{video}-{number}.mkv", [clip])
            short.append(f"{video}-{number}.mkv,{'wave' if number % 2 else 'turn'},train")
    (tmp_path / "short.csv").write_text("\n".join(["path,class,split", *short]))
    list_sections(tmp_path, rows_in_list)
    return tmp_path


def list_sections(folder: Path, rows: Sequence[str], stop_frame: str = "included") -> None:
    heading = "id,path,class,split,start_frame,stop_frame"
    (folder / "long.csv").write_text("\n".join([heading, *rows]))
    (folder / "pipeline.toml").write_text(
        "[datasets.short]\nroot = 'short'\nclips = 'short.csv'\n"
        "[datasets.long]\nroot = 'long'\nclips = 'long.csv'\nfirst_frame = 1\n"
        f"stop_frame = '{stop_frame}'\n"
    )


def extract(dataset: str = "long", *args: object) -> Result:
    line = ("--dataset", dataset, "--out", "features", *LINE, *map(str, args))
    return CliRunner().invoke(main, line)


def manifest_of(folder: Path, dataset: str = "long") -> Manifest:
    return read_record(Manifest, folder / "features" / dataset / "manifest.json")


def rows_by_name(folder: Path, dataset: str = "long") -> dict[str, Features]:
    rows = rows_of(folder / "features" / dataset, manifest_of(folder, dataset))
    return {path.removesuffix(".mkv"): found for path, found in rows.items()}


@pytest.mark.parametrize("frames", ["all", "segments:5", "every:3"])
def test_sections_of_a_joined_video_have_the_rows_of_the_clips(
    folder: Path, frames: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    plain = VideoReader.frames

    def count(self: VideoReader) -> Iterator[Frame]:
        for frame in plain(self):
            decoded.append(self.path.name)
            yield frame

    monkeypatch.setattr(VideoReader, "frames", count)
    result = extract("long", "--frames", frames, *ALONE)
    assert result.exit_code == 0, result.stderr
    assert len(decoded) == sum(map(sum, LENGTHS.values())), "each video is decoded once"
    assert extract("short", "--frames", frames, *ALONE).exit_code == 0
    long, short = rows_by_name(folder), rows_by_name(folder, "short")
    assert long.keys() == short.keys()
    assert all(np.array_equal(long[name], short[name]) for name in long)
    counts = [(c.num_frames, c.length, c.crc32) for c in manifest_of(folder).clips]
    assert counts == [(c.num_frames, c.length, c.crc32) for c in manifest_of(folder, "short").clips]
    told = CliRunner().invoke(features, ["verify", "features/long"])
    assert told.exit_code == 0, told.output


@pytest.mark.usefixtures("one_clip_shards")
def test_all_sections_of_a_video_are_in_one_shard(folder: Path, rows_in_list: list[str]) -> None:
    """Each job of an array decodes its videos once; a killed job goes on behind finished ones."""
    list_sections(folder, [*rows_in_list, "late,long1.mkv,wave,train,3,20"])
    assert extract("long", "--shard", "1/2", *ALONE).exit_code == 0
    assert {clip.file for clip in manifest_of(folder).clips} == {"long2.mkv"}
    assert len(manifest_of(folder).pending) == 4
    result = extract("long", "--shard", "0/2", *ALONE)
    assert result.exit_code == 0, result.stderr
    clips = manifest_of(folder).clips
    assert {(clip.file, clip.shard) for clip in clips} == {
        ("long1.mkv", "shard-00000"), ("long2.mkv", "shard-00001"),
    }  # fmt: skip
    rows = rows_by_name(folder)
    joined = np.concatenate([rows["long1-0"], rows["long1-1"], rows["long1-2"]])
    assert np.array_equal(rows["late"], joined[2:20])
    again = extract("long", *ALONE)
    assert "2 of 2 shards of this job are done" in again.stderr


def test_new_sections_are_added_and_old_ones_stay(folder: Path, rows_in_list: list[str]) -> None:
    assert extract("long", "--frames", "segments:2", *ALONE).exit_code == 0
    before = {path.name: path.read_bytes() for path in (folder / "features/long").glob("*.h5")}
    list_sections(folder, [*rows_in_list, "late,long1.mkv,wave,train,3,20"])
    result = extract("long", "--frames", "segments:2", *ALONE)
    assert result.exit_code == 0, result.stderr
    assert "grows by 1 clips in 1 shards" in result.stderr
    for name, data in before.items():
        assert (folder / "features/long" / name).read_bytes() == data
    clips = {clip.path: clip for clip in manifest_of(folder).clips}
    assert (clips["late"].status, clips["late"].num_frames) == ("ok", 18)
    # Other frames under a name that is there are refused, and so is another convention.
    list_sections(folder, [*rows_in_list, "late,long1.mkv,wave,train,3,21"])
    moved = extract("long", "--frames", "segments:2", *ALONE)
    assert moved.exit_code == 1
    assert "1 clips are other sections (late)" in moved.stderr
    settings = folder / "pipeline.toml"
    text = settings.read_text()
    settings.write_text(text.replace("first_frame = 1", "first_frame = 0"))
    from_zero = extract("long", "--frames", "segments:2", *ALONE)
    assert from_zero.exit_code == 1
    assert "reading.first_frame is 1 there, 0 now" in from_zero.stderr
    settings.write_text(text)
    list_sections(folder, rows_in_list, stop_frame="excluded")
    other = extract("long", "--frames", "segments:2", *ALONE)
    assert other.exit_code == 1
    assert "reading.stop_frame is included there, excluded now" in other.stderr


def test_sections_that_are_none_are_recorded(folder: Path, rows_in_list: list[str]) -> None:
    bad = ["beyond,long1.mkv,wave,train,26,30", "past,long1.mkv,wave,train,20,40",
           "reversed,long2.mkv,wave,train,9,3", "before,long2.mkv,wave,train,0,3"]  # fmt: skip
    list_sections(folder, [*rows_in_list, *bad])
    result = extract("long", "--frames", "segments:2", *ALONE)
    assert result.exit_code == 0, result.stderr
    clips = {clip.path: clip for clip in manifest_of(folder).clips}
    assert {name: clips[name.split(",")[0]].status for name in bad} == dict(
        zip(bad, ["empty", "partial", "failed", "failed"], strict=True)
    )
    assert "the video ends after 25 frames" in clips["past"].error
    assert clips["past"].declared_frames == 21
    told = CliRunner().invoke(features, ["verify", "features/long"])
    assert told.exit_code == 0, told.output


@pytest.mark.slow
def test_a_video_that_crashes_costs_its_sections_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "DECODER_COMMAND", FAULTY)
    set_faults(monkeypatch, long1="segfault")
    result = extract("long", "--frames", "segments:2")
    assert result.exit_code == 0, result.stderr
    assert "'long1.mkv' and its 3 sections" in result.stderr
    clips = manifest_of(folder).clips
    statuses = [(clip.file, clip.status) for clip in clips]
    assert statuses == [("long1.mkv", "crashed")] * 3 + [("long2.mkv", "ok")] * 2
    assert {clip.attempts for clip in clips if clip.status == "crashed"} == {2}
    set_faults(monkeypatch)
    again = extract("long", "--frames", "segments:2", "--retry-failed")
    assert again.exit_code == 0, again.stderr
    assert {clip.status for clip in manifest_of(folder).clips} == {"ok"}
    assert extract("short", "--frames", "segments:2").exit_code == 0
    long, short = rows_by_name(folder), rows_by_name(folder, "short")
    assert all(np.allclose(long[name], short[name], atol=1e-5) for name in long)


def test_show_and_export_know_sections(folder: Path) -> None:
    assert extract("long", "--frames", "all", *ALONE).exit_code == 0
    line = ["show", "features/long", "long1-1", "--root", "long", "--out", "a.png"]
    told = CliRunner().invoke(features, line)
    assert told.exit_code == 0, told.output
    assert "video: long1.mkv" in told.stdout
    assert "section: {'start': 9.0, 'stop': 13.0, 'unit': 'frames'}" in told.stdout
    clip = next(c for c in manifest_of(folder).clips if c.path == "long1-1")
    shown = read_sampled(folder / "long" / clip.file, clip.section)
    alone = read_sampled(folder / "short" / "long1-1.mkv")
    assert all(map(np.array_equal, shown, alone))
    line = ["export", "features/long", "--format", "npy", "--out", "out"]
    exported = CliRunner().invoke(features, line)
    assert exported.exit_code == 0, exported.output
    assert (folder / "out" / "train.txt").read_text().startswith("long1-0 9 turn\n")


def test_records_of_whole_clips_are_as_before(folder: Path) -> None:
    assert extract("short", "--frames", "segments:2", *ALONE).exit_code == 0
    plan = json.loads((folder / "features/short/plan.json").read_text())
    assert {"video", "section"}.isdisjoint(plan["clips"][0])
    assert "reading" not in plan["config"]
    assert extract("long", "--frames", "segments:2", *ALONE).exit_code == 0
    kept = read_plan(folder / "features/long")
    assert kept.config.reading.first_frame == 1
    assert [clip.file for clip in kept.clips] == ["long1.mkv"] * 3 + ["long2.mkv"] * 2


@pytest.mark.shared
def test_real_clips_joined_without_loss_have_the_rows_of_the_clips(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    found = sorted((shared / "clips" / "UCF-101").rglob("*.avi"))[:12:3]
    joined, rows, short, start = [], [], [], 0
    for number, path in enumerate(found):
        with VideoReader(path) as reader:
            pixels = [frame.rgb() for frame in reader.frames()][:60]
        (tmp_path / "short").mkdir(exist_ok=True)
        write_video(tmp_path / "short" / f"{number}.mkv", pixels, frame_rate=25, codec="ffv1",
                    pixel_format="bgr0")  # fmt: skip
        short.append(f"{number}.mkv,a,train")
        rows.append(f"{number},joined.mkv,a,train,{start + 1},{start + len(pixels)}")
        joined += pixels
        start += len(pixels)
    (tmp_path / "long").mkdir()
    write_video(tmp_path / "long" / "joined.mkv", joined, frame_rate=25, codec="ffv1",
                pixel_format="bgr0")  # fmt: skip
    (tmp_path / "short.csv").write_text("\n".join(["path,class,split", *short]))
    list_sections(tmp_path, rows)
    for frames in ("segments:5", "every:12"):
        for dataset in ("long", "short"):
            out = ("--out", f"features/{frames}", "--frames", frames, *ALONE)
            result = extract(dataset, *out)
            assert result.exit_code == 0, result.stderr
        results = []
        for dataset in ("long", "short"):
            at = tmp_path / "features" / frames / dataset
            of_each = rows_of(at, read_record(Manifest, at / "manifest.json"))
            results.append({path.removesuffix(".mkv"): r for path, r in of_each.items()})
        assert results[0].keys() == results[1].keys()
        assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])
