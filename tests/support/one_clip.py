"""Extract one clip in this process and print the memory it took, for `soak_memory`."""

import json
import sys
from pathlib import Path

import pytest

from ta3n.extract.worker.shards import extract_shards

from .tiny import without_network, work_on


def peak_mb() -> float:
    """Return the most memory held so far; `getrusage` would count that of whoever started us."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def main() -> None:
    clip, folder, frames = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    folder.mkdir()
    before = peak_mb()
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_network(monkeypatch)
        work = work_on(clip.parent, folder, [clip.name], backbone="resnet101", frames=frames)
        extract_shards(work)
    print(json.dumps({"before": before, "most": peak_mb()}))


if __name__ == "__main__":
    main()
