"""If this breaks, a night's job ends in the hands of the memory killer."""

from pathlib import Path

import pytest

from ta3n.common.records import ShardRecord, read_record

from ...support.tiny import memory_held
from ...support.videos import WriteClip, clips_of_all_kinds

WARM_UP, NUM_CLIPS, ALLOWED_MB = 256, 1024, 24.0


def test_memory_stays_flat(
    tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = clips_of_all_kinds(tmp_path / "clips", write_clip, NUM_CLIPS)
    held = memory_held(tmp_path, paths, monkeypatch, lambda num_clips: num_clips >= WARM_UP)
    assert len(held) == NUM_CLIPS - WARM_UP + 1
    assert held[-1] - held[0] < ALLOWED_MB
    record = read_record(ShardRecord, tmp_path / "features" / "shard-00000.json")
    assert {clip.status for clip in record.clips} == {"ok", "partial", "failed"}
