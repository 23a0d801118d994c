"""If this breaks, features in memory are not those in the files, or one bad clip loses the rest."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ta3n.extract
from ta3n.common.errors import DataMissingError, DeviceError, UsageError, WeightsError
from ta3n.common.records import MANIFEST_NAME, Manifest, read_record
from ta3n.common.store import ShardReader, shard_path
from ta3n.extract import ClipFeatures, api, extract_features
from ta3n.extract.cli import main

from ..support.extract_jobs import wait_until
from ..support.videos import WriteClip

CODECS = {
    "a.avi": "mpeg4", "deep/b.mp4": "libx264", "deep/c.mkv": "libvpx-vp9", "d.mpg": "mpeg1video",
}  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> Path:
    """Return a folder of clips of several codecs, sizes and lengths, one cut, one no video."""
    root = tmp_path_factory.mktemp("api") / "clips"
    for number, (name, codec) in enumerate(CODECS.items()):
        write_clip(root / name, 7 + 6 * number, codec=codec, width=96 + 64 * number, seed=number)
    cut = write_clip(root / "cut.avi", 30)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    (root / "no-video.avi").write_bytes(b"no video")
    return root


def features(
    *paths: Path, frames: str = "all", weights: str = "random:0"
) -> dict[Path, ClipFeatures]:
    found = extract_features(
        paths, backbone="resnet18", weights=weights, frames=frames, device="cpu"
    )
    return {Path(path): clip for path, clip in found.items()}


@pytest.mark.parametrize("frames", ["all", "segments:5"])
def test_rows_and_records_are_those_that_the_command_writes(
    clips: Path, tmp_path: Path, frames: str
) -> None:
    line = ["--videos", clips, "--out", tmp_path, "--frames", frames, "--backbone", "resnet18"]
    line += ["--weights", "random:0", "--device", "cpu", "--no-supervise"]
    assert CliRunner().invoke(main, [*map(str, line)]).exit_code == 0
    manifest = read_record(Manifest, tmp_path / "videos" / MANIFEST_NAME)
    found = features(clips, frames=frames)
    assert [clips / clip.path for clip in manifest.clips] == list(found)
    assert {clip.status for clip in manifest.clips} == {"ok", "partial", "failed"}
    for clip in manifest.clips:
        ours = found[clips / clip.path]
        with ShardReader(shard_path(tmp_path / "videos", clip.shard)) as shard:
            rows = shard.rows(clip.start, range(clip.length))
            numbers = shard.frames[clip.start : clip.start + clip.length]
        assert ours.features.dtype == np.float32
        assert np.array_equal(ours.features, rows)
        assert np.array_equal(ours.frame_numbers, numbers)
        assert (ours.status, ours.reason, ours.warning) == (clip.status, clip.error, clip.warning)
        assert (ours.num_frames, ours.declared_frames) == (clip.num_frames, clip.declared_frames)
        assert ours.frame_rate == clip.frame_rate
        assert ours.config == manifest.config


def test_each_path_counts_once_and_nothing_is_written(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(clips.rglob("*"))
    alone = features(clips / "a.avi")
    assert list(alone) == [clips / "a.avi"]
    both = features(clips / "deep", clips / "deep" / "b.mp4", frames="segments:2")
    assert [path.name for path in both] == ["b.mp4", "c.mkv"]
    assert all(clip.features.shape == (2, 512) for clip in both.values())
    assert list(tmp_path.iterdir()) == []
    assert sorted(clips.rglob("*")) == before


def test_the_network_is_loaded_once(clips: Path) -> None:
    api._engine.cache_clear()
    for frames in ("segments:1", "segments:2"):
        features(clips / "a.avi", frames=frames)
    assert api._engine.cache_info().misses == 1
    features(clips / "a.avi", frames="segments:1", weights="random:1")
    assert api._engine.cache_info().misses == 2


def test_calls_of_several_threads_wait_for_each_other(clips: Path) -> None:
    ta3n.extract.release_networks()
    alone = features(clips / "a.avi")
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: features(clips / "a.avi"), range(3)))
    path = clips.resolve() / "a.avi"
    assert all(np.array_equal(each[path].features, alone[path].features) for each in found)
    assert api._engine.cache_info().misses == 1


FORKED = """
import multiprocessing, sys
from ta3n.extract import extract_features

def rows(path):
    (clip,) = extract_features(path, backbone="resnet18", weights="random:0", device="cpu").values()
    return clip.features

ours = rows(sys.argv[1])
with multiprocessing.get_context("fork").Pool(1) as forked:
    theirs = forked.apply(rows, sys.argv[1:])
print("equal" if (ours == theirs).all() else "different")
"""


def test_a_forked_process_loads_a_network_of_its_own(clips: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-P", "-c", FORKED, clips / "a.avi"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stdout == "equal\n", result.stderr


def test_torch_is_as_the_caller_had_it(clips: Path) -> None:
    """Threads that start later, and precision in force, are none of a library's business."""

    def threads_of_a_new_thread() -> int:
        with ThreadPoolExecutor(1) as one:
            return one.submit(torch.get_num_threads).result()

    ta3n.extract.release_networks()
    before, threads = features(clips / "a.avi"), torch.get_num_threads()
    ta3n.extract.release_networks()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu"):
            after = features(clips / "a.avi")
            assert torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    path = clips.resolve() / "a.avi"
    assert np.array_equal(before[path].features, after[path].features)
    assert torch.get_num_threads() == threads_of_a_new_thread() == threads


def test_mistakes_are_errors_that_say_what_is_wrong(clips: Path) -> None:
    with pytest.raises(DataMissingError, match=r"no file or folder 'gone\.mp4'"):
        extract_features("gone.mp4")
    with pytest.raises(UsageError, match="no videos"):
        extract_features([])
    with pytest.raises(UsageError, match="frames = 'some': frames 'some' is not known"):
        features(clips, frames="some")
    with pytest.raises(UsageError, match="backbone 'resnet' is not known"):
        extract_features(clips, backbone="resnet")
    with pytest.raises(UsageError, match="device 'cpu,cpu' is not known"):
        extract_features(clips, backbone="resnet18", weights="random:0", device="cpu,cpu")
    with pytest.raises(DeviceError, match="cuda:99 is not here"):
        extract_features(clips, backbone="resnet18", weights="random:0", device="cuda:99")
    with pytest.raises(WeightsError, match="nor an existing file"):
        extract_features(clips, backbone="resnet18", weights=clips / "none.pth")
    with pytest.raises(AttributeError, match="no attribute 'extract_feature'"):
        ta3n.extract.extract_feature  # type: ignore[attr-defined]  # noqa: B018


def test_ctrl_c_is_not_hidden_by_a_lock(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come while a condition takes its lock again, which is then released unheld."""

    def interrupted(*_: object) -> None:
        lock = threading.Lock()
        with lock:
            lock.release()
            raise KeyboardInterrupt

    monkeypatch.setattr(api, "_extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        features(clips / "a.avi")


SCRIPT = """
import logging, signal, sys
from ta3n.extract import extract_features
# Whoever runs the tests in the background may have switched it off.
signal.signal(signal.SIGINT, signal.default_int_handler)
logging.basicConfig(level=logging.INFO)
extract_features(sys.argv[1:], backbone="resnet18", weights="random:0", device="cpu")
"""


def test_ctrl_c_ends_it(tmp_path: Path, write_clip: WriteClip) -> None:
    clip = write_clip(tmp_path / "long.avi", 3000)
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-P", "-c", SCRIPT, clip], stderr=file)
    wait_until(lambda: "resnet18 with weights" in log.read_text())
    process.send_signal(signal.SIGINT)
    # Python dies of the signal, or ends with 1: it forgets the signal where a thread that ends
    # meanwhile imports something that calls `exec`, as named tuples do.
    assert process.wait(timeout=20) in (-signal.SIGINT, 1)
    assert log.read_text().strip().endswith("KeyboardInterrupt")
