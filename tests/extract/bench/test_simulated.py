"""If this breaks, it is not known what bounds extraction where the device is fast."""

import json
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from ta3n.extract.bench import simulated
from ta3n.extract.bench.simulated import Rate, SimulatedDevice
from ta3n.extract.cli import main
from ta3n.extract.worker.progress import Advanced


def test_a_device_takes_its_time_and_works_by_itself() -> None:
    device = SimulatedDevice(1000.0)
    first, second = device.new_done(), device.new_done()
    started = time.perf_counter()
    device.compute(50)
    first.record()
    device.compute(100)
    second.record()
    first.synchronize()
    assert time.perf_counter() - started >= 0.05
    second.synchronize()
    assert time.perf_counter() - started >= 0.15
    assert device.idle_s == 0
    began = time.perf_counter()
    while time.perf_counter() - began < 0.05:
        pass
    device.compute(1)
    assert 0.05 <= device.idle_s < time.perf_counter() - began + 0.1
    assert 0 < device.idle_share < 1


def test_a_rate_is_of_the_time_when_all_decoders_are_busy() -> None:
    rate = Rate(1000)
    # A slow start, 500 frames/s, a slow end.
    rate.told = [(0, 0.0), (100, 5.0), (300, 5.4), (800, 6.4), (1000, 20.0)]
    assert rate.steady == pytest.approx(500)
    rate(Advanced(1, 1000, 0.0))
    assert rate.told[-1][0] == 1000


def test_the_share_that_is_kept_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(simulated, "LENGTHS", {"mixed": (30, 90)})
    monkeypatch.setattr(simulated, "_FRAMES_EACH", 300)
    monkeypatch.setattr(simulated, "_SHARDS", 1)
    monkeypatch.setattr(simulated, "_FRAMES_A_SHARD", 2000)
    monkeypatch.setattr(simulated, "_CRASHES", (1,))
    monkeypatch.setattr(simulated, "_CRASH_CLIPS", 6)
    monkeypatch.setattr(simulated, "_FRAMES_TO_CRASH", 10)
    monkeypatch.setattr(simulated, "_CRASH_ROUNDS", 1)
    line = ["--bench", "--simulate", "2000", "--decode-threads", "2", "--decode-memory", "8"]
    line += ["--json", "found.json"]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "8 MB for frames that wait: at most 500 frames/s" in lines[0]
    shares = [re.search(r" ([0-9.]+) of what there is", line) for line in lines]
    found = [float(share[1]) for share in shares if share]
    assert len(found) == 3
    record = json.loads((tmp_path / "found.json").read_text())
    assert [f"{record[name]['share']:.2f}" for name in list(record)[3:6]] == [
        f"{share:.2f}" for share in found
    ]
    # Decoders of a fixed time a frame, and a device of a fixed one, cannot be faster.
    assert all(0 < share < 1.15 for share in found)
    assert re.search(r"the device idles [0-9.]+ % of the time", lines[-2])
    assert lines[-1].startswith("crashes in a job of 6 clips")
    assert record["crashes in a job of 6 clips"]["without_s"] >= 6 * 10 * 0.004 / 2
    assert list(record["crashes in a job of 6 clips"]["more_s"]) == ["1"]
    assert result.stderr.count("SIGABRT; it is tried again") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--simulate", "7000"), "give --bench with it"),
        (("--bench", "--simulate", "0"), "a device's speed is more than 0"),
    ],
)
def test_mistakes_are_told(args: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert message in result.stderr
