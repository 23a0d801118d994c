"""If this breaks, a job of hours dies of what could have been known before it began."""

import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from ta3n.common import device
from ta3n.common.device import peak_memory
from ta3n.common.sampling import FrameSelection, Section
from ta3n.extract.cli import main
from ta3n.extract.job import dry_run
from ta3n.extract.job.run import ExtractionJob, run_job, work_left
from ta3n.extract.worker.work import DECODER_COMMAND

from ...support.extraction import job
from ...support.videos import WriteClip

pytestmark = pytest.mark.usefixtures("one_clip_shards")


def run(root: Path, out: Path, *more: object) -> Result:
    arguments = (
        "--dataset", "ucf101", "--root", root, "--out", out, "--backbone", "resnet18",
        "--weights", "random:0", "--frames", "segments:2", "--batch-size", 4, "--no-supervise",
        "--device", "cpu", *more,
    )  # fmt: skip
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines_of(result: Result) -> dict[str, str]:
    pairs = (line.partition(": ") for line in result.stdout.splitlines())
    return {name: told for name, _, told in pairs}


def told_by(wanted: ExtractionJob) -> dict[str, str]:
    pairs = (line.partition(": ") for line in dry_run.look_ahead(wanted))
    return {name: told for name, _, told in pairs}


def test_it_tells_what_the_clips_cost_and_keeps_nothing(ucf_tree: Path, tmp_path: Path) -> None:
    result = run(ucf_tree, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.stderr
    told = lines_of(result)
    assert told["to be done"] == "8 clips in 8 shards"
    assert told["rows"] == "about 16, by the containers of all 8 clips"
    assert told["trial"] == "8 clips, 16 frames, not kept"
    pattern = r"about \d+ s on cpu \w+, \d+ s of them to start, then [\d.]+ frames/s"
    assert re.fullmatch(pattern, told["time"])
    assert re.fullmatch(r"about [\d.]+ [MG]B, of [\d.]+ GB that are free", told["memory"])
    assert re.fullmatch(rf"about [\d.]+ MB, of [\d.]+ GB that are free in {tmp_path}", told["disk"])
    assert list(tmp_path.iterdir()) == []


def test_the_disk_suffices_that_it_tells(ucf_tree: Path, tmp_path: Path) -> None:
    line = (ucf_tree, tmp_path, "--frames", "all")
    about = float(lines_of(run(*line, "--dry-run"))["disk"].split()[1]) * 1e6
    assert run(*line).exit_code == 0
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert taken < about < 3 * taken


def test_what_is_done_is_not_counted_again(ucf_tree: Path, tmp_path: Path) -> None:
    assert run(ucf_tree, tmp_path, "--shard", "0/2").exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    whole = lines_of(run(ucf_tree, tmp_path, "--dry-run"))
    assert whole["to be done"] == "4 clips in 4 shards"
    assert whole["rows"].startswith("about 8, ")
    done = run(ucf_tree, tmp_path, "--shard", "0/2", "--dry-run")
    assert (done.exit_code, lines_of(done)["to be done"]) == (0, "0 clips in 0 shards")
    assert "time" not in lines_of(done)
    other = run(ucf_tree, tmp_path, "--shard", "0/3", "--dry-run")
    assert (other.exit_code, "cut into 2 parts" in other.stderr) == (1, True)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}


def test_clips_to_be_tried_again_or_repaired_are_counted(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    root, out = tmp_path / "UCF-101", tmp_path / "out"
    for group in (1, 2):
        write_clip(root / "Archery" / f"v_Archery_g0{group}_c01.avi")
    (root / "Archery" / "v_Archery_g03_c01.avi").write_bytes(b"no video")
    run_job(job(root, out))
    (sound, *_) = sorted(out.glob("shard-*.h5"))
    assert told_by(job(root, out))["to be done"] == "0 clips in 0 shards"
    again = told_by(job(root, out, retry_failed=True))
    assert again["to be done"] == "1 clips in 1 shards"
    assert again["trial"].startswith("1 clips, 0 frames, not kept, 1 failed (Archery/")
    assert again["time"] == "not known, no clip of the trial had a frame"
    sound.write_bytes(sound.read_bytes()[:-100])
    damaged = sound.read_bytes()
    assert told_by(job(root, out, repair=True))["to be done"] == "1 clips in 1 shards"
    assert sound.read_bytes() == damaged


def test_time_and_rows_are_those_of_all_clips_where_a_few_are_tried(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "_MOST_CLIPS", 2)
    monkeypatch.setattr(dry_run, "_MOST_CONTAINERS", 4)
    told = told_by(job(ucf_tree, tmp_path, frames="all"))
    assert told["trial"].startswith("2 clips, ")
    estimate = re.fullmatch(
        r"about (\d+), estimated by the containers of 4 of 8 clips", told["rows"]
    )
    assert estimate
    # Of two classes, four clips each: 9, 10, 16 and 17 frames.
    assert 80 < int(estimate[1]) < 130


def test_a_trial_ends_in_time(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "_BUDGET_S", -1.0)
    told = told_by(job(ucf_tree, tmp_path, frames="all", decode_threads=1))
    num_clips, num_frames = map(int, re.findall(r"(\d+) (?:clips|frames)", told["trial"]))
    assert num_clips < 8
    assert 0 < num_frames < 104
    assert told["time"].startswith("about ")
    assert list(tmp_path.iterdir()) == []


def test_rows_of_sections_are_counted_by_their_length(ucf_tree: Path, tmp_path: Path) -> None:
    wanted = job(ucf_tree, tmp_path, frames="all")
    clip = wanted.plan.clips[0]
    for unit, stop in (("frames", 6), ("seconds", 0.24)):
        section = Section(start=0, stop=stop, unit=unit)  # type: ignore[arg-type]
        cut = clip.model_copy(update={"section": section})
        assert dry_run._rows_of(wanted.work, cut, FrameSelection()) == 6


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--device", "cuda:7"), 1, "device cuda:7 is not here"),
        (("--device", "cpu,cuda:7"), 1, "device cuda:7 is not here"),
        (("--weights", "none.pth"), 1, "none.pth"),
        (("--benchmark", "ucf-hmdb-full"), 1, "is not on disk"),
        (("--out", "file"), 1, "file"),
        (("--max-failures", "few"), 2, "max_failures = 'few'"),
    ],
)
def test_what_stops_a_job_ends_it_with_the_same_code(
    ucf_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[object, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    result = run(ucf_tree, tmp_path / "out", *more, "--dry-run")
    assert result.exit_code == code, result.stderr
    assert message in result.stderr.strip().splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert run(ucf_tree, tmp_path / "out", *more).exit_code == code


def test_a_folder_of_other_features_ends_it(ucf_tree: Path, tmp_path: Path) -> None:
    assert run(ucf_tree, tmp_path, "--limit", 1).exit_code == 0
    result = run(ucf_tree, tmp_path, "--frames", "all", "--dry-run")
    assert result.exit_code == 1
    assert "was made with another setting: frames is segments:2 there" in result.stderr


def test_too_many_failures_end_it_if_all_clips_were_tried(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    root, out = tmp_path / "UCF-101", tmp_path / "out"
    write_clip(root / "Archery" / "v_Archery_g01_c01.avi")
    (root / "Archery" / "v_Archery_g02_c01.avi").write_bytes(b"no video")
    assert run(root, out, "--dry-run").exit_code == 0
    result = run(root, out, "--max-failures", 0, "--dry-run")
    assert result.exit_code == 3
    assert "1 of 2 clips failed, --max-failures allows 0" in result.stderr
    assert not out.exists()


def test_too_little_space_or_memory_is_told(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**3))
    result = run(ucf_tree, tmp_path, "--dry-run")
    assert result.exit_code == 1
    assert "no space: the features take about" in result.stderr
    monkeypatch.undo()
    # What this process holds already is not asked for again.
    monkeypatch.setattr(device, "available_memory", lambda _: -(10**12))
    result = run(ucf_tree, tmp_path, "--dry-run")
    assert result.exit_code == 1
    assert re.search(r"no memory: it takes about .* give fewer --decode-threads", result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_memory_of_this_machine_is_held_to_its_own_not_to_that_of_a_gpu(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU with little memory left is no reason to refuse what takes that of the machine."""
    gpu, resolve = torch.device("cuda", 0), device.resolve_device
    trial = dry_run.Trial(
        clips=(), num_frames=1, start_s=1, frames_a_second=1, memory=2 * peak_memory(),
        memory_of_gpu=1,
    )  # fmt: skip
    monkeypatch.setattr(dry_run, "_try", lambda *_, **__: trial)
    monkeypatch.setattr(
        device, "resolve_device", lambda name: {"gpu": gpu}.get(name) or resolve(name)
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 1000))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    told = told_by(job(ucf_tree, tmp_path, device="gpu"))
    assert re.search(r", of [\d.]+ GB that are free", told["memory"])


def test_decoders_of_their_own_count_for_the_memory(ucf_tree: Path, tmp_path: Path) -> None:
    wanted = job(ucf_tree, tmp_path, frames="all", decoder_command=DECODER_COMMAND)
    trial = dry_run._try(
        work_left(wanted, wanted.plan, wanted.plan.shards, mends=False),
        tmp_path,
        num_devices=1,
    )
    assert trial.memory > peak_memory() + 10**7
    assert len(trial.clips) == 8
