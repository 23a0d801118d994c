"""If this breaks, a killed job or a full disk costs more than the shard it was at."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.common import store
from ta3n.common.errors import DataMissingError, FeatureStoreError
from ta3n.common.files import temporary_beside
from ta3n.common.records import Manifest
from ta3n.common.store import shard_path, sidecar_path
from ta3n.extract.cli import main
from ta3n.extract.job.run import run_job
from ta3n.extract.worker import publishing

from ...support.extract_jobs import (
    check_sound,
    group_members,
    num_shards,
    send,
    start_job,
    wait_until,
)
from ...support.extraction import job, rows_of
from ...support.videos import WriteClip

pytestmark = pytest.mark.slow


def no_temporaries(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("one_clip_shards")
def test_killed_and_terminated_job_ends_as_an_undisturbed_one(
    ucf_tree: Path, tmp_path: Path
) -> None:
    """First the job alone is killed, then the whole group is told to stop, as clusters do."""
    folder = tmp_path / "ucf101"
    process = start_job(ucf_tree, tmp_path)
    wait_until(lambda: num_shards(folder) >= 1)
    send(process, signal.SIGKILL, to_group=False)
    process.communicate()
    wait_until(lambda: not group_members(process.pid), 20)
    check_sound(folder)

    process = start_job(ucf_tree, tmp_path)
    had = num_shards(folder)
    wait_until(lambda: num_shards(folder) > had or process.poll() is not None)
    send(process, signal.SIGTERM, to_group=True)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 75, stderr
    assert stderr.splitlines()[-1].startswith("ta3n-extract: interrupted by SIGTERM")
    assert "Traceback" not in stderr
    assert not group_members(process.pid)
    assert no_temporaries(folder)
    check_sound(folder)

    undisturbed = run_job(job(ucf_tree, tmp_path / "whole", selection="all classes"))
    resumed = run_job(job(ucf_tree, folder, selection="all classes"))
    assert resumed.complete
    assert resumed.content_hash == undisturbed.content_hash


def test_only_what_dead_processes_left_is_removed(ucf_tree: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    with temporary_beside(tmp_path / "shard-00000.h5") as live:
        live.write_bytes(b"another job's")
        stale = live.with_name(live.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
        elsewhere = live.with_name(f".a.json.00000000-{dead.pid}-00000000.tmp")
        older = live.with_name(f".b.json.00000000-{dead.pid}-00000000.tmp")
        for path in (stale, elsewhere, older):
            path.write_bytes(b"")
        os.utime(older, (0, 0))
        run_job(job(ucf_tree, tmp_path, classes=("Biking",)))
        assert live.exists()
        assert elsewhere.exists()
        assert not stale.exists()
        assert not older.exists()


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 128 KiB."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=128k", "none", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def extract(root: Path, out: Path) -> tuple[int, list[str]]:
    result = CliRunner().invoke(
        main,
        [
            *("--dataset", "ucf101", "--root", str(root), "--out", str(out)),
            *("--backbone", "resnet18", "--weights", "random:0", "--batch-size", "4"),
            *("--frames", "segments:5", "--no-supervise"),
        ],
    )
    return result.exit_code, result.stderr.splitlines()


@pytest.mark.usefixtures("one_clip_shards")
def test_full_disk_is_told_and_the_job_goes_on_once_there_is_room(
    ucf_tree: Path, small_disk: Path
) -> None:
    code, lines = extract(ucf_tree, small_disk)
    folder = small_disk / "ucf101"
    assert code == 1
    assert lines[-1] == f"ta3n-extract: error: No space left on device: {folder}"
    assert 0 < num_shards(folder) < 8
    assert no_temporaries(folder)
    check_sound(folder)
    mount("-o", "remount,size=16m", str(small_disk))
    assert extract(ucf_tree, small_disk)[0] == 0
    # Full and finished, or finished and read-only: nothing is to be written, so all is well.
    mount("-o", "remount,ro", str(small_disk))
    assert extract(ucf_tree, small_disk)[0] == 0
    shard_path(folder, "shard-00000")
    mount("-o", "remount,rw", str(small_disk))
    shard_path(folder, "shard-00000").unlink()
    mount("-o", "remount,ro", str(small_disk))
    code, lines = extract(ucf_tree, small_disk)
    assert code == 1
    assert "Read-only file system" in lines[-1]


@pytest.mark.usefixtures("one_clip_shards")
def test_feature_folder_that_vanishes_ends_the_job_and_is_not_made_anew(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(folder: Path, *args: object, **options: object) -> object:
        shutil.rmtree(folder)
        return store.write_shard(folder, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "write_shard", vanish)
    with pytest.raises(FileNotFoundError, match="the feature folder is gone"):
        run_job(job(ucf_tree, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_clips_that_vanish_all_at_once_are_no_failed_clips(ucf_tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "UCF-101"
    shutil.copytree(ucf_tree, root)
    task = job(root, tmp_path / "out")
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    with pytest.raises(DataMissingError, match="missing or empty now; mount it"):
        run_job(task)
    assert not list((tmp_path / "out").glob("shard-*"))
    root.rmdir()
    (tmp_path / "unmounted").rename(root)
    assert run_job(task).status_counts() == {"ok": 8}


@pytest.mark.usefixtures("one_clip_shards")
def test_repair_makes_damaged_and_missing_shards_again(ucf_tree: Path, tmp_path: Path) -> None:
    before = run_job(job(ucf_tree, tmp_path))
    data = bytearray(shard_path(tmp_path, "shard-00001").read_bytes())
    data[data.index(rows_of(tmp_path, before)[before.clips[1].path].tobytes())] ^= 1
    shard_path(tmp_path, "shard-00001").write_bytes(data)
    shard_path(tmp_path, "shard-00002").unlink()
    sidecar_path(tmp_path, "shard-00003").write_text("{half")
    sidecar_path(tmp_path, "shard-00004").unlink()
    stamp = shard_path(tmp_path, "shard-00005").stat().st_mtime_ns
    with pytest.raises(FeatureStoreError, match=r"shard-00003\.json is damaged"):
        run_job(job(ucf_tree, tmp_path))
    after = run_job(job(ucf_tree, tmp_path, repair=True))
    assert after.content_hash == before.content_hash
    check_sound(tmp_path)
    assert shard_path(tmp_path, "shard-00005").stat().st_mtime_ns == stamp


def test_retry_takes_a_replaced_file_and_leaves_other_rows_alone(
    ucf_tree: Path, tmp_path: Path, write_clip: WriteClip
) -> None:
    root, out = tmp_path / "UCF-101", tmp_path / "out"
    shutil.copytree(ucf_tree, root)
    bad = root / "Archery" / "v_Archery_g02_c01.avi"
    bad.write_bytes(b"no video")
    first = run_job(job(root, out))
    before = rows_of(out, first)
    write_clip(bad, 10, seed=2)
    second = run_job(job(root, out, retry_failed=True))
    assert second.status_counts() == {"ok": 8}
    after = rows_of(out, second)
    for clip in second.clips:
        same = clip.path != "Archery/v_Archery_g02_c01.avi"
        assert len(after[clip.path]) == 2
        assert (before[clip.path].tobytes() == after[clip.path].tobytes()) is same
    check_sound(out)
    # The folder holds the new file's features now: no complaint about its size.
    assert isinstance(run_job(job(root, out)), Manifest)
