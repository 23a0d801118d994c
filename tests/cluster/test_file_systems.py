"""If this breaks, jobs on a network file system lock each other out or spoil each other's files."""

import json
import os
import subprocess
import sys
from pathlib import Path

from ta3n.common.records import MANIFEST_NAME, Manifest, read_record

from ..support.feature_folders import made_clips, make_features

SCRIPT = Path(__file__).parents[1] / "support" / "without_locks.py"


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a command where nothing can be locked or linked."""
    return subprocess.Popen(
        [sys.executable, "-P", str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files that do not say when, where or how fast they were made."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "environment.json"
    }


def test_two_jobs_at_the_same_clips_leave_what_one_leaves(ucf_tree: Path, tmp_path: Path) -> None:
    def extract(out: str) -> subprocess.Popen[str]:
        return start(
            "ta3n-extract", "--dataset", "ucf101", "--root", ucf_tree, "--out", tmp_path / out,
            "--backbone", "resnet18", "--weights", "random:0", "--frames", "segments:2",
            "--device", "cpu", "--no-supervise", "--shard", "0/1",
        )  # fmt: skip

    finish(extract("both"), extract("both"), extract("one"))
    folders = tmp_path / "both" / "ucf101", tmp_path / "one" / "ucf101"
    both, one = (read_record(Manifest, folder / MANIFEST_NAME) for folder in folders)
    assert both.content_hash == one.content_hash
    assert sorted(path.name for path in folders[0].iterdir()) == [
        "manifest.json",
        "plan.json",
        "shard-00000.h5",
        "shard-00000.json",
        "shares.json",
    ]


def test_two_jobs_at_the_same_runs_leave_what_one_leaves(tmp_path: Path) -> None:
    for seed, dataset in enumerate(("ucf101", "hmdb51")):
        make_features(tmp_path / "features", dataset, made_clips(dataset), seed=seed)

    def train(out: str) -> subprocess.Popen[str]:
        return start(
            "ta3n-train", "--source", "ucf", "--target", "hmdb", "--method", "source-only",
            "--benchmark", "ucf-hmdb-small", "--allow-missing", "--epochs", 3, "--device", "cpu",
            "--features", tmp_path / "features", "--out", tmp_path / out, "--shard", "0/1",
        )  # fmt: skip

    finish(train("both"), train("both"), train("one"))
    both, one = contents(tmp_path / "both"), contents(tmp_path / "one")
    assert both.keys() == one.keys()
    for name, content in one.items():
        # A checkpoint holds the same tensors, but its archive does not have the same bytes.
        assert name.endswith(".pt") or both[name] == content, name
    (shares,) = (name for name in one if "shares-" in name)
    assert json.loads(one[shares]) == {"num_jobs": 1}
