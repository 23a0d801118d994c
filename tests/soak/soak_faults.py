"""Every way in which a clip takes its worker down, in whole jobs. Run by `make soak`."""

import time
from pathlib import Path

import pytest

from ta3n.extract.job.run import run_job

from ..support.extraction import FAULTY, job, set_faults

HANGS = "v_Archery_g02_c01"
FAULTS = ("segfault", "abort", "kill", "hang", "freeze", "kill in company")


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
