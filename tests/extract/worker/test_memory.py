"""If this breaks, a night's job ends in the hands of the memory killer."""

from pathlib import Path

import pytest

from ta3n.common.records import ShardRecord, read_record
from ta3n.extract.worker.heartbeat import Reporter
from ta3n.extract.worker.pipeline import extract_shards
from ta3n.extract.worker.protocol import Advanced, Message

from ...support.tiny import resident_mb, without_network, work_on
from ...support.videos import WriteClip

WARM_UP, NUM_CLIPS, ALLOWED_MB = 256, 1024, 24.0


def clips_of_all_kinds(root: Path, write_clip: WriteClip, count: int) -> list[str]:
    """Return names of so many clips: good ones, damaged ones, and files that are no video."""
    for name, codec in (("a.avi", "mpeg4"), ("b.mp4", "libx264"), ("c.mkv", "libx264")):
        write_clip(root / name, 5, codec=codec)
    cut = write_clip(root / "d.avi", 30)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    (root / "e.avi").write_bytes(b"no video")
    kinds = sorted(path.name for path in root.iterdir())
    return [kinds[number % len(kinds)] for number in range(count)]


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
