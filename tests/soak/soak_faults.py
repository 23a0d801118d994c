"""Every way in which a clip takes its decoder down, in whole jobs. Run by `make soak`."""

import time
from pathlib import Path

import numpy as np
import pytest

from ta3n.extract.job.run import run_job

from ..support.extraction import FAULTY, job, rows_of, set_faults
from ..support.videos import WriteClip

HANGS = "v_Archery_g02_c01"
FAULTS = ("segfault", "abort", "kill", "hang", "freeze")


@pytest.mark.parametrize("fault", FAULTS)
def test_every_kind_of_crash_costs_one_clip(
    ucf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    set_faults(monkeypatch, **{HANGS: fault})
    started_s = time.monotonic()
    manifest = run_job(job(ucf_tree, tmp_path, decoder_command=FAULTY, clip_timeout_s=3))
    status = "timeout" if fault in {"freeze", "hang"} else "crashed"
    assert manifest.status_counts() == {"ok": 7, status: 1}
    (bad,) = (clip for clip in manifest.clips if clip.status != "ok")
    assert Path(bad.path).stem == HANGS
    print(f"{fault}: {bad.status}, {bad.error}, {time.monotonic() - started_s:.0f} s")


def test_ten_crashes_in_a_hundred_clips(
    tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network is not loaded again, and nothing else is decoded again."""
    folder = tmp_path / "UCF-101" / "Archery"
    made = [write_clip(tmp_path / f"{seed}.avi", 60, seed=seed) for seed in range(5)]
    folder.mkdir(parents=True)
    names = [f"v_Archery_g{n // 10 + 1:02d}_c{n % 10 + 1:02d}" for n in range(100)]
    for number, name in enumerate(names):
        (folder / f"{name}.avi").hardlink_to(made[number % len(made)])
    seconds, rows = [], []
    for bad in ((), names[::10]):
        set_faults(monkeypatch, **dict.fromkeys(bad, "segfault"))
        out = tmp_path / f"out-{len(bad)}"
        started_s = time.monotonic()
        manifest = run_job(job(tmp_path / "UCF-101", out, decoder_command=FAULTY))
        seconds.append(time.monotonic() - started_s)
        rows.append(rows_of(out, manifest))
        assert manifest.status_counts().get("crashed", 0) == len(bad)
        assert manifest.status_counts()["ok"] == 100 - len(bad)
    for path, some in rows[0].items():
        if Path(path).stem not in names[::10]:
            assert np.array_equal(rows[1][path], some), path
    print(f"100 clips: {seconds[0]:.1f} s, with ten that crash {seconds[1]:.1f} s")
    assert seconds[1] - seconds[0] < 20
