"""If this breaks, jobs on one folder lose, double or lock out each other's work."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from ta3n.common.store import shard_path
from ta3n.extract.job.run import run_job

from ...support.extract_jobs import check_sound, start_job
from ...support.extraction import job


@pytest.mark.usefixtures("one_clip_shards")
def test_the_same_job_twice_at_once_gives_what_one_gives(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One asks HDF5 for locks, as some clusters do, the other for none."""
    started = []
    for locking in ("TRUE", "FALSE"):
        monkeypatch.setenv("HDF5_USE_FILE_LOCKING", locking)
        started.append(start_job(ucf_tree, tmp_path, "--decode-threads", "1"))
    for process in started:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
    folder = tmp_path / "ucf101"
    check_sound(folder)
    names = {path.name for path in folder.iterdir()}
    shards = {f"shard-{n:05d}.{suffix}" for n in range(8) for suffix in ("h5", "json")}
    assert names == shards | {"plan.json", "manifest.json"}
    alone = run_job(job(ucf_tree, tmp_path / "alone", selection="all classes"))
    both = run_job(job(ucf_tree, folder, selection="all classes"))
    assert both.complete
    assert both.content_hash == alone.content_hash


READ = """
import sys
from pathlib import Path
from ta3n.common.store import ShardReader
with ShardReader(Path(sys.argv[1])) as shard:
    shard.verify()
"""


@pytest.mark.parametrize("locking", ["TRUE", "BEST_EFFORT", "FALSE", None])
def test_a_lock_that_someone_holds_does_not_matter(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locking: str | None
) -> None:
    """A file system without locks fails the same call that this lock would make fail."""
    run_job(job(ucf_tree, tmp_path, classes=("Biking",)))
    if locking is None:
        monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    else:
        monkeypatch.setenv("HDF5_USE_FILE_LOCKING", locking)
    path = shard_path(tmp_path, "shard-00000")
    with path.open("r+b") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        subprocess.run([sys.executable, "-P", "-c", READ, str(path)], check=True)
