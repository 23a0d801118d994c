"""If this breaks, one clip that crashes or hangs FFmpeg takes a night's job down with it."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.errors import Ta3nError, WorkerError
from ta3n.common.records import PlannedClip
from ta3n.extract.job.run import run_job
from ta3n.extract.supervision.quarantine import (
    add_to_quarantine,
    read_quarantine,
    remove_from_quarantine,
)
from ta3n.extract.supervision.supervisor import WorkerExit, WorkerProcess
from ta3n.extract.worker.messages import Quarantined

from ...support.extraction import FAULTY, job, rows_of, set_faults
from ...support.tiny import work_on

pytestmark = pytest.mark.slow

CRASHES, HANGS = "v_Archery_g01_c01", "v_Archery_g02_c01"


def planned(path: str) -> PlannedClip:
    return PlannedClip(
        id=7, path=path, class_name="A", splits={}, size_bytes=1, mtime_ns=2, shard="shard-00000"
    )


def probe(root: Path, timeout_s: float = 1.0) -> WorkerExit | None:
    clip = planned(f"Archery/{CRASHES}.avi")
    order = replace(work_on(root, root, []), alone=clip, clip_timeout_s=timeout_s)
    with WorkerProcess(FAULTY, order) as worker:
        return worker.watch(lambda _: None)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("segfault", "crashed", "SIGSEGV"),
        ("abort", "crashed", "SIGABRT"),
        ("kill", "crashed", "SIGKILL"),
        ("hang", "timeout", "no progress for 1 s"),
    ],
)
def test_end_of_a_real_process_is_told_with_its_clip(
    ucf_tree: Path, monkeypatch: pytest.MonkeyPatch, fault: str, status: str, reason: str
) -> None:
    set_faults(monkeypatch, **{CRASHES: fault})
    found = probe(ucf_tree)
    assert found == WorkerExit(status=status, reason=reason, in_flight=(7,), suspects=(7,))  # type: ignore[arg-type]


def test_healthy_clip_ends_well(ucf_tree: Path) -> None:
    assert probe(ucf_tree) is None


def test_crashing_clips_are_quarantined_and_neighbours_bit_equal(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clip crashes, one hangs; the others' rows are as if these two held no frame."""
    root = tmp_path / "UCF-101"
    shutil.copytree(ucf_tree, root)
    set_faults(monkeypatch, **{CRASHES: "segfault", HANGS: "hang"})
    archery = ("Archery",)
    task = job(
        root,
        tmp_path / "f",
        frames="segments:5",
        classes=archery,
        worker_command=FAULTY,
        clip_timeout_s=1.5,
    )
    manifest = run_job(task)
    bad = {Path(clip.path).stem: clip for clip in manifest.clips if clip.status != "ok"}
    assert {name: clip.status for name, clip in bad.items()} == {
        CRASHES: "crashed",
        HANGS: "timeout",
    }
    assert bad[CRASHES].attempts == bad[HANGS].attempts == 2
    assert "SIGSEGV; tried 2 times" in bad[CRASHES].error
    assert "no progress for 1.5 s; tried 2 times" in bad[HANGS].error

    for clip in bad.values():
        (root / clip.path).write_bytes(b"no video")
    without = job(root, tmp_path / "g", frames="segments:5", classes=archery)
    expected = rows_of(tmp_path / "g", run_job(without))
    found = rows_of(tmp_path / "f", manifest)
    for path, rows in expected.items():
        assert np.array_equal(found[path], rows), path


def test_quarantine_is_known_to_other_jobs_until_asked_to_retry(
    ucf_tree: Path, tmp_path: Path
) -> None:
    task = job(ucf_tree, tmp_path, classes=("Archery",))
    clip = task.plan.clips[0]
    entry = Quarantined.of(clip, status="crashed", error="SIGSEGV", attempts=2)
    add_to_quarantine(tmp_path, clip, entry)
    manifest = run_job(task)
    assert [clip.status for clip in manifest.clips] == ["crashed", "ok", "ok", "ok"]
    assert (manifest.clips[0].error, manifest.clips[0].attempts) == ("SIGSEGV", 2)
    before = rows_of(tmp_path, manifest)
    # Asked for, and healthy by now.
    redone = run_job(job(ucf_tree, tmp_path, classes=("Archery",), retry_failed=True))
    assert redone.status_counts() == {"ok": 4}
    assert redone.clips[0].attempts == 3
    after = rows_of(tmp_path, redone)
    assert len(after[redone.clips[0].path]) == 2
    for clip in redone.clips[1:]:
        assert np.array_equal(before[clip.path], after[clip.path])


def test_worker_that_never_starts_ends_the_job_in_one_line(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_faults(monkeypatch, start="")
    with pytest.raises(WorkerError, match=r"again and again \(SIGABRT\), and no clip is to blame"):
        run_job(job(ucf_tree, tmp_path, worker_command=FAULTY))
    assert not list(tmp_path.glob("quarantine-*"))


def test_error_of_ours_ends_the_job_and_fails_no_clip(
    ucf_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    task = job(ucf_tree, tmp_path, frames="all", worker_command=FAULTY)
    set_faults(monkeypatch, **{Path(task.plan.clips[0].path).stem: "misuse"})
    with pytest.raises(Ta3nError, match=r"unexpected TypeError: .* no clip is to blame"):
        run_job(task)
    assert "Traceback" in capfd.readouterr().err
    assert not list(tmp_path.glob("shard-*"))
    assert not list(tmp_path.glob("quarantine-*"))


def test_journal_counts_for_the_very_file_alone(tmp_path: Path) -> None:
    clip = planned("A/\udce9 b.avi")
    found = Quarantined.of(clip, status="timeout", error="hung", attempts=2)
    assert read_quarantine(tmp_path, [clip]) == {}
    add_to_quarantine(tmp_path, clip, found)
    assert read_quarantine(tmp_path, [clip]) == {7: found}
    changed = clip.model_copy(update={"mtime_ns": 3})
    assert read_quarantine(tmp_path, [changed]) == {}
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(b"{half")
    assert read_quarantine(tmp_path, [clip]) == {}
    remove_from_quarantine(tmp_path, [clip, clip])
    assert not list(tmp_path.iterdir())
