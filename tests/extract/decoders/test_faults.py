"""If this breaks, one clip that crashes or hangs FFmpeg takes a night's job down with it."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ta3n.common.errors import DataMissingError, InterruptedRunError, Ta3nError, WorkerError
from ta3n.common.log import LOGGER
from ta3n.common.records import PlannedClip
from ta3n.extract.decoders import pool
from ta3n.extract.decoders.pool import Decoders, Ended
from ta3n.extract.decoding.decode import ClipOutcome
from ta3n.extract.decoding.passes import PassDecoding
from ta3n.extract.job.run import ExtractionJob, run_job
from ta3n.extract.worker import quarantine
from ta3n.extract.worker.quarantine import (
    Quarantined,
    add_to_quarantine,
    read_quarantine,
    remove_from_quarantine,
)

from ...support.extract_jobs import group_members, wait_until
from ...support.extraction import FAULTY, job, rows_of, set_faults
from ...support.records import CONFIG

pytestmark = pytest.mark.slow

CRASHES, HANGS = "v_Archery_g01_c01", "v_Archery_g02_c01"


def planned(path: str) -> PlannedClip:
    return PlannedClip(
        id=7, path=path, class_name="A", splits={}, size_bytes=1, mtime_ns=2, shard="shard-00000"
    )


def decode_one(root: Path) -> ClipOutcome:
    """Return what becomes of a clip that a decoder is given."""
    clip = planned(f"Archery/{CRASHES}.avi")
    decoders = Decoders(
        PassDecoding(root, CONFIG),
        count=1,
        max_bytes=2**22,
        frame_bytes=224 * 224 * 3,
        command=FAULTY,
        timeout_s=1.0,
    )
    with decoders:
        (ended,) = (i for i in decoders.decoded([(clip,)]) if isinstance(i, Ended))
    return ended.outcomes[0]


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("segfault", "crashed", "SIGSEGV"),
        ("abort", "crashed", "SIGABRT"),
        ("kill", "crashed", "SIGKILL"),
        ("hang", "timeout", "no progress for 1 s"),
        ("freeze", "timeout", "no progress for 1 s"),
    ],
)
def test_end_of_a_real_process_is_told_with_its_clip(
    ucf_tree: Path, monkeypatch: pytest.MonkeyPatch, fault: str, status: str, reason: str
) -> None:
    set_faults(monkeypatch, **{CRASHES: fault})
    found = decode_one(ucf_tree)
    assert (found.status, found.attempts) == (status, 2)
    assert f"{reason}; tried 2 times" in found.error


def test_healthy_clip_ends_well(ucf_tree: Path) -> None:
    assert (decode_one(ucf_tree).status, decode_one(ucf_tree).attempts) == ("ok", 1)


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
        decoder_command=FAULTY,
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


def test_asked_to_retry_a_job_tries_what_crashed_in_a_shard_that_was_never_finished(
    ucf_tree: Path, tmp_path: Path
) -> None:
    """A job that was killed after the crash leaves no shard that tells of it."""
    task = job(ucf_tree, tmp_path, classes=("Archery",), retry_failed=True)
    clip = task.plan.clips[0]
    entry = Quarantined.of(clip, status="crashed", error="SIGSEGV", attempts=2)
    add_to_quarantine(tmp_path, clip, entry)
    manifest = run_job(task)
    assert [clip.status for clip in manifest.clips] == ["ok"] * 4
    assert [clip.attempts for clip in manifest.clips] == [3, 1, 1, 1]
    assert not list(tmp_path.glob("quarantine-*"))


def test_decoders_that_never_start_end_the_job_in_one_line(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_faults(monkeypatch, start="")
    with pytest.raises(WorkerError, match=r"again and again \(SIGABRT\), and no clip is to blame"):
        run_job(job(ucf_tree, tmp_path, decoder_command=FAULTY))
    assert not list(tmp_path.glob("quarantine-*"))


def test_memory_for_one_clip_at_a_time_is_enough(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is killed for want of memory is tried again with nothing else being decoded."""
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("TA3N_TEST_MARKS", str(marks))
    set_faults(monkeypatch, **{CRASHES: "kill in company", HANGS: "keep company"})
    manifest = run_job(job(ucf_tree, tmp_path / "f", classes=("Archery",), decoder_command=FAULTY))
    assert (marks / "tried").exists()
    assert manifest.status_counts() == {"ok": 4}
    assert {Path(clip.path).stem: clip.attempts for clip in manifest.clips}[CRASHES] == 2


@pytest.fixture
def stalling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the disk of the clips stall at the second clip; return the file that keeps it so."""
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("TA3N_TEST_MARKS", str(marks))
    set_faults(monkeypatch, **{HANGS: "stall"})
    return marks / "stalled"


def stalled_job(root: Path, folder: Path) -> ExtractionJob:
    return job(
        root,
        folder,
        classes=("Archery",),
        decoder_command=FAULTY,
        decode_threads=1,
        clip_timeout_s=1.5,
    )


class AtStall(logging.Handler):
    """Lets the disk answer again once it is told that it does not."""

    def __init__(self, stalled: Path) -> None:
        super().__init__()
        self.stalled = stalled
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if "the disk does not answer and is waited for" in self.lines[-1]:
            self.stalled.unlink()


def test_a_disk_that_stalls_is_waited_for_and_no_clip_is_blamed(
    ucf_tree: Path, tmp_path: Path, stalling: Path
) -> None:
    handler = AtStall(stalling)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    manifest = run_job(stalled_job(ucf_tree, tmp_path / "f"))
    assert [line for line in handler.lines if f"{CRASHES}.avi', which was decoded before" in line]
    assert manifest.status_counts() == {"ok": 4}
    assert not list((tmp_path / "f").glob("quarantine-*"))


def test_a_disk_that_stalls_for_good_ends_the_job_in_one_line(
    ucf_tree: Path, tmp_path: Path, stalling: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_MAX_STALLS", 2)
    with pytest.raises(DataMissingError, match="the disk of the clips does not answer"):
        run_job(stalled_job(ucf_tree, tmp_path / "f"))
    assert stalling.exists()
    assert not list((tmp_path / "f").glob("quarantine-*"))


def test_a_disk_that_never_answered_ends_the_job_and_no_clip_is_blamed(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every clip is waited for twice over, and none of them is decoded again unasked."""
    monkeypatch.setattr(pool, "_MAX_STALLS", 2)
    task = stalled_job(ucf_tree, tmp_path / "f")
    set_faults(monkeypatch, **{Path(clip.path).stem: "hang" for clip in task.plan.clips})
    with pytest.raises(DataMissingError, match=r"all of 2 clips hung \(no progress for 1.5 s\)"):
        run_job(task)
    assert not list((tmp_path / "f").glob("quarantine-*"))


ORPHANS = """
import sys
from pathlib import Path
from ta3n.extract.decoders.pool import Decoders
from tests.extract.decoders.test_faults import decode_one
decode_one(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("fault", ["hang", "freeze"])
def test_decoders_end_with_the_process_that_started_them(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("TA3N_TEST_MARKS", str(tmp_path))
    set_faults(monkeypatch, **{CRASHES: fault})
    with subprocess.Popen(
        [sys.executable, "-c", ORPHANS, str(ucf_tree)],
        cwd=Path(__file__).parents[3],
        start_new_session=True,
    ) as process:
        wait_until(lambda: bool(list(tmp_path.glob("decoding-*"))))
        process.kill()
    wait_until(lambda: not group_members(process.pid), 20)


def test_error_of_ours_ends_the_job_and_fails_no_clip(
    ucf_tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    task = job(ucf_tree, tmp_path, frames="all", decoder_command=FAULTY)
    set_faults(monkeypatch, **{Path(task.plan.clips[0].path).stem: "misuse"})
    with pytest.raises(Ta3nError, match=r"unexpected TypeError: .* no clip is to blame"):
        run_job(task)
    assert "Traceback" in capfd.readouterr().err
    assert not list(tmp_path.glob("shard-*"))
    assert not list(tmp_path.glob("quarantine-*"))


def interrupted(*_: object) -> None:
    raise InterruptedRunError("interrupted by SIGTERM")


def test_journal_counts_for_the_very_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = planned("A/\udce9 b.avi")
    found = Quarantined.of(clip, status="timeout", error="hung", attempts=2)
    assert read_quarantine(tmp_path, [clip]) == {}
    add_to_quarantine(tmp_path, clip, found)
    assert read_quarantine(tmp_path, [clip]) == {7: found}
    changed = clip.model_copy(update={"mtime_ns": 3})
    assert read_quarantine(tmp_path, [changed]) == {}
    # What is unreadable counts for nothing, but a signal that comes meanwhile does.
    with monkeypatch.context() as patch:
        patch.setattr(quarantine, "read_record", interrupted)
        with pytest.raises(InterruptedRunError):
            read_quarantine(tmp_path, [clip])
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(b"{half")
    assert read_quarantine(tmp_path, [clip]) == {}
    remove_from_quarantine(tmp_path, [clip, clip])
    assert not list(tmp_path.iterdir())
