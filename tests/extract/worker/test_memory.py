"""If this breaks, a night's job ends in the hands of the memory killer."""

from pathlib import Path

import pytest

from ta3n.common.records import ShardRecord, read_record
from ta3n.extract.worker.messages import Advanced, Message, Reporter
from ta3n.extract.worker.shards import extract_shards

from ...support.tiny import resident_mb, without_network, work_on
from ...support.videos import WriteClip, clips_of_all_kinds

WARM_UP, NUM_CLIPS, ALLOWED_MB = 256, 1024, 24.0


def test_memory_stays_flat(
    tmp_path: Path, write_clip: WriteClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_network(monkeypatch)
    root, folder = tmp_path / "clips", tmp_path / "features"
    folder.mkdir()
    work = work_on(root, folder, clips_of_all_kinds(root, write_clip, NUM_CLIPS))
    held: list[float] = []

    def look(message: Message) -> None:
        if isinstance(message, Advanced) and message.num_clips >= WARM_UP:
            held.append(resident_mb())

    extract_shards(work, Reporter(look))
    assert len(held) == NUM_CLIPS - WARM_UP + 1
    assert held[-1] - held[0] < ALLOWED_MB
    record = read_record(ShardRecord, folder / "shard-00000.json")
    assert {clip.status for clip in record.clips} == {"ok", "partial", "failed"}
